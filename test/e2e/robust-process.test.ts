import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { seededRandom } from "#sandbox/random.ts";
import { DaemonProcess, runPonte } from "#test/support/daemon-process.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { Outside, type SilentCall } from "#test/support/outside.ts";
import { eventually } from "#test/support/world.ts";

let database: TestDatabase;
let outside: Outside;
const daemons: DaemonProcess[] = [];

beforeAll(async () => {
  database = await withDatabase();
});

afterEach(async () => {
  for (const daemon of daemons.splice(0)) await daemon.kill();
  await outside?.stop();
});

afterAll(() => database?.drop());

async function startDaemon(more: Readonly<Record<string, object>> = {}): Promise<DaemonProcess> {
  const daemon = await DaemonProcess.start(outside.config(database.url, more));
  daemons.push(daemon);
  return daemon;
}

/** Calls to numbers that talk, ring, refuse and wait, one after the other until told to stop. */
class Crowd {
  readonly calls: SilentCall[] = [];
  #stopped = false;
  #running: Promise<void> | undefined;

  start(everyMs: number): void {
    const extensions = ["601", "641", "640", "600", "650", "642"];
    this.#running = (async () => {
      while (!this.#stopped) {
        const call = outside.call(extensions[this.calls.length % extensions.length] ?? "600");
        this.calls.push(call);
        // Every fifth caller gives up early, so that there are terminates among the connects.
        if (this.calls.length % 5 === 0) setTimeout(() => call.hangUp(), 2 * everyMs);
        await pause(everyMs);
      }
    })();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

test("kill -9 at any moment loses no acknowledged webhook, and leaves no call active", {
  timeout: 60_000,
}, async () => {
  outside = await Outside.start({ ringMs: { min: 25_000, max: 25_000 } });
  const random = seededRandom(42);
  const crowd = new Crowd();
  for (let round = 0; round < 3; round += 1) {
    const daemon = await startDaemon();
    if (round === 0) {
      expect(await outside.subscribe()).toBe(true);
      crowd.start(25);
    }
    await pause(100 + random() * 500);
    await daemon.kill();
  }
  await startDaemon();
  await pause(200);
  await crowd.stop();
  expect(crowd.calls.length).toBeGreaterThan(40);
  const { meta } = outside;
  // A call that a former life had picked up ends although nobody hangs up.
  await eventually("the lost calls' being ended", async () => {
    const [row] = await database.sql<{ readonly lost: number; readonly swept: number }[]>`
      select count(*) filter (where state <> 'ended' and node_id <> (select id from nodes order by started_at desc limit 1))::int as lost,
             count(*) filter (where cause = 'node_lost')::int as swept from whatsapp_calls`;
    return row?.lost === 0 && row.swept > 0 ? row : { missing: row };
  });
  // Meta was told about each of them, so that nobody is left ringing, or talking to a dead process.
  const swept = await database.sql<{ readonly wacid: string }[]>`
    select wacid from whatsapp_calls where cause = 'node_lost'`;
  await eventually("Meta's being told", async () => {
    const told = new Set(
      meta.log.requests().flatMap(({ action = "", wacid = "" }) => (/reject|terminate/.test(action) ? [wacid] : [])),
    );
    const missing = swept.filter(({ wacid }) => !told.has(wacid));
    return missing.length === 0 ? true : { missing };
  });
  for (const call of crowd.calls) call.hangUp();
  await meta.idle();
  const acknowledged = meta.log.webhooks().filter(({ status }) => status === 200);
  const stored = await eventually("the inbox's being worked off", async () => {
    const [row] = await database.sql<{ readonly open: number; readonly calls: number; readonly stored: number }[]>`
      select (select count(*)::int from webhook_inbox where processed_at is null) as open,
             (select count(*)::int from webhook_inbox) as stored,
             (select count(*)::int from whatsapp_calls where state <> 'ended') as calls`;
    return row?.open === 0 && row.calls === 0 ? row.stored : { missing: row };
  });
  const bodies = new Set(acknowledged.map(({ body }) => body));
  expect(Number(stored)).toBeGreaterThanOrEqual(bodies.size);
  const known = new Set(
    (await database.sql<{ readonly wacid: string }[]>`select wacid from whatsapp_calls`).map(({ wacid }) => wacid),
  );
  expect(acknowledged.flatMap(({ wacids }) => wacids).filter((wacid) => !known.has(wacid))).toEqual([]);
  // Nobody is answered twice.
  for (const action of ["pre_accept", "accept"] as const) {
    const taken = meta.log
      .requests(action)
      .filter(({ status }) => status === 200)
      .map(({ wacid }) => wacid);
    expect(taken.length, action).toBe(new Set(taken).size);
  }
});

test("kill -9 with a Postgres of its own: the lost calls are ended before the next life takes any", async () => {
  outside = await Outside.start();
  const folder = mkdtempSync(join(tmpdir(), "ponte-own-"));
  chmodSync(folder, 0o755);
  const config = outside.config("", { database: { data_dir: folder } });
  config["database"] = { data_dir: folder };
  const first = await DaemonProcess.start(config);
  daemons.push(first);
  expect(await outside.subscribe()).toBe(true);
  const lost = [outside.call("601"), outside.call("641")];
  await eventually("one that talks and one that rings", async () => {
    const steps = lost.map(({ wacid }) => outside.meta.log.calls(wacid).at(-1)?.step);
    return steps[0] === "first_rtp" && steps[1] === "media_connected" ? true : { missing: steps };
  });
  await first.kill();
  const meanwhile = outside.call("601");
  daemons.push(await DaemonProcess.start(config));
  expect(await Promise.all(lost.map(({ ended }) => ended))).toEqual(["hung_up by business", "rejected by business"]);
  await eventually("the call that came meanwhile", async () =>
    outside.meta.log.calls(meanwhile.wacid).some(({ step }) => step === "first_rtp") ? true : undefined,
  );
  daemons.at(-1)?.signal("SIGTERM");
  meanwhile.hangUp();
  expect((await daemons.at(-1)?.ended)?.code).toBe(0);
  rmSync(folder, { recursive: true, force: true });
});

describe("told to stop during calls", () => {
  test("lets them talk for drain_timeout_ms, takes no new ones, ends them properly, and exits with 0", async () => {
    outside = await Outside.start();
    const drainMs = 1_500;
    const daemon = await startDaemon({ calling: { drain_timeout_ms: drainMs } });
    expect(await outside.subscribe()).toBe(true);
    const calls = [outside.call("600"), outside.call("601"), outside.call("600")];
    await eventually("three calls that talk", async () => {
      const up = outside.meta.log.entries().filter((each) => each.kind === "call" && each.step === "first_rtp").length;
      return up === 3 ? true : { missing: up };
    });
    const toldAt = performance.now();
    daemon.signal("SIGTERM");
    await eventually("the drain's having begun", async () =>
      daemon.lines.some(({ msg }) => msg === "ponte is stopping") ? true : undefined,
    );
    const late = outside.call("600");
    expect(await late.ended).toBe("rejected by business");
    expect(await Promise.all(calls.map(({ ended }) => ended))).toEqual(calls.map(() => "hung_up by business"));
    expect(performance.now() - toldAt).toBeGreaterThan(drainMs - 200);
    const { code, signal } = await daemon.ended;
    expect({ code, signal }).toEqual({ code: 0, signal: null });
    expect(performance.now() - toldAt).toBeLessThan(drainMs + 5_000);
    const rows = await database.sql`
      select wacid, state, cause, result from whatsapp_calls where wacid = any(${[...calls, late].map(({ wacid }) => wacid)})`;
    const causes = Object.fromEntries(rows.map(({ wacid, ...rest }) => [wacid, rest]));
    for (const { wacid } of calls) {
      expect(causes[wacid]).toEqual({ state: "ended", cause: "draining", result: "completed" });
    }
    expect(causes[late.wacid]).toEqual({ state: "ended", cause: "draining", result: "rejected" });
    expect(await database.sql`select 1 from nodes where pid = ${daemon.pid}`).toEqual([]);
    await eventually("the PBX's calls being over", async () => (outside.pbx.counters().calls === 0 ? true : undefined));
  });

  test("exits as soon as the last call is over", async () => {
    outside = await Outside.start();
    const daemon = await startDaemon({ calling: { drain_timeout_ms: 60_000 } });
    expect(await outside.subscribe()).toBe(true);
    const call = outside.call("600");
    await eventually("a call that talks", async () =>
      outside.meta.log.calls(call.wacid).some(({ step }) => step === "first_rtp") ? true : undefined,
    );
    daemon.signal("SIGINT");
    await eventually("the drain's having begun", async () =>
      daemon.lines.some(({ msg }) => msg === "ponte is stopping") ? true : undefined,
    );
    call.hangUp();
    expect((await daemon.ended).code).toBe(0);
  });
});

describe("does not start, and says why in a sentence, when", () => {
  test("its ports are taken, the database is away, or the configuration has typos", async () => {
    outside = await Outside.start();
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as { readonly port: number };
    const typos = "calling: { enabled: maybe, max_cals: 3 }\nsip: { port: 99999 }\n";
    const [http, sip, noDatabase, check, good, unreadable] = await Promise.all([
      runPonte(["run"], outside.config(database.url, { http: { port } })),
      runPonte(["run"], outside.config(database.url, { sip: { port } })),
      runPonte(["run"], outside.config("", { database: { url: `postgresql://ponte@127.0.0.1:${port + 1}/none` } })),
      runPonte(["check"], typos),
      runPonte(["check"], outside.config(database.url)),
      runPonte(["check"], "calling: ["),
    ]);
    taken.close();
    for (const [ended, text] of [
      [http, `127.0.0.1:${port}`],
      [http, "http.port"],
      [sip, `127.0.0.1:${port}`],
      [sip, "sip.port"],
      [noDatabase, "database"],
      [check, "calling.enabled"],
      [check, "max_cals"],
      [check, "sip.port"],
      [unreadable, "1"],
    ] as const) {
      expect(ended.code, ended.stderr).toBe(1);
      expect(ended.stderr).toContain(text);
      expect(ended.stderr, "a sentence, no stack").not.toMatch(/^\s+at /m);
    }
    expect(good.code, good.stderr).toBe(0);
  });
});
