import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { checkConfig, explain } from "#config/load.ts";
import { SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import { SipAgent } from "#sip-agent/agent.ts";
import { Daemon } from "#src/daemon.ts";
import { type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { expectTone } from "#test/support/audio.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { freePort } from "#test/support/free-port.ts";
import { collectLog } from "#test/support/log.ts";
import { Outside } from "#test/support/outside.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { eventually } from "#test/support/world.ts";

let database: TestDatabase;
let outside: Outside;
let daemon: Daemon | undefined;
let users: SyntheticUsers;

beforeAll(async () => {
  database = await withDatabase();
});

afterEach(async () => {
  await daemon?.stop();
  daemon = undefined;
  await outside.stop();
});

afterAll(() => database?.drop());

/** Starts a daemon in this process, in a world of its own. */
async function begin(more: Readonly<Record<string, object>> = {}, databaseUrl = database.url): Promise<Daemon> {
  outside = await Outside.start();
  users = new SyntheticUsers(outside.meta);
  const calling = { drain_timeout_ms: 0, ...more["calling"] };
  const checked = checkConfig(outside.config(databaseUrl, { ...more, calling }), {});
  if (!checked.ok) throw new Error(explain(checked.problems));
  daemon = new Daemon({ config: checked.config, log: collectLog().log, version: "test" });
  await daemon.start();
  expect(await outside.subscribe()).toBe(true);
  return daemon;
}

function call(extension: string): Promise<UserCall> {
  return users.call({ phoneNumberId: `43666671952${extension}` });
}

interface Shown {
  readonly [column: string]: unknown;
}

/** A call's record, once it has ended and everybody was told. */
async function record(wacid: string): Promise<{ readonly row: Shown; readonly types: readonly string[] }> {
  const id = await eventually("the call's row", async () => {
    const { calls } = (await api("/v1/calls?limit=200")) as { readonly calls?: readonly Shown[] };
    return calls?.find((each) => each["wacid"] === wacid)?.["id"];
  });
  return eventually("the end of the record", async () => {
    const shown = (await api(`/v1/calls/${String(id)}`)) as {
      readonly call?: Shown;
      readonly events?: readonly Shown[];
    };
    const types = (shown.events ?? []).map(({ type }) => String(type));
    return shown.call !== undefined && types.includes("call.closed") ? { row: shown.call, types } : undefined;
  });
}

async function api(path: string): Promise<unknown> {
  const headers = { authorization: "Bearer ponte_test_key-that-is-long-enough" };
  return (await fetch(`http://127.0.0.1:${outside.httpPort}${path}`, { headers })).json();
}

/** `/ready`, as a load balancer sees it: the status, and the names of the checks that failed. */
async function ready(): Promise<{ readonly status: number; readonly failed: readonly string[] }> {
  const response = await fetch(`http://127.0.0.1:${outside.httpPort}/ready`);
  const { checks } = (await response.json()) as {
    readonly checks: readonly { readonly name: string; readonly ok: boolean }[];
  };
  return { status: response.status, failed: checks.filter(({ ok }) => !ok).map(({ name }) => name) };
}

function requests(wacid: string): string[] {
  return outside.meta.log.requests().flatMap((each) => (each.wacid === wacid ? [`${each.action} ${each.status}`] : []));
}

describe("the database goes away during a call", () => {
  let folder: string;
  let server: EmbeddedServer;
  const startServer = (): Promise<EmbeddedServer> =>
    startEmbedded({ dataDir: folder, log: quietLog(), durable: false, mayCreateUser: false });

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "ponte-outage-"));
    chmodSync(folder, 0o755);
    server = await startServer();
  });

  afterAll(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test("the call goes on, its record is complete afterwards, and webhooks are taken as soon as it is back", async () => {
    await begin({}, server.url);
    const [talking, leaving] = [await call("601"), await call("601")];
    expect([await talking.answered, await leaving.answered]).toEqual([true, true]);
    await server.stop();
    await expectTone(talking, 1_004);
    expect((await ready()).failed).toEqual(["database"]);
    const late = await call("601");
    leaving.hangUp();
    await eventually("a webhook's being refused", async () =>
      outside.meta.log.webhooks().filter(({ status }) => status === 503).length >= 2 ? true : undefined,
    );
    expect(requests(late.wacid)).toEqual([]);
    server = await startServer();
    expect(await late.answered).toBe(true);
    await expectTone(late, 1_004);
    await eventually("being ready again", async () => ((await ready()).status === 200 ? true : undefined));
    talking.hangUp();
    late.hangUp();
    for (const { wacid } of [talking, leaving, late]) {
      const { row, types } = await record(wacid);
      expect(row).toMatchObject({ state: "ended", result: "completed", cause: "hangup", ended_by: "caller" });
      expect(types).toEqual(
        expect.arrayContaining([
          "call.received",
          "call.pre_accepted",
          "call.accepted",
          "call.terminated",
          "call.closed",
        ]),
      );
      expect(requests(wacid)).toEqual(["pre_accept 200", "accept 200"]);
    }
  });
});

describe("the SIP engine is away", () => {
  test("not ready, by name; calls are rejected with a reason; and all is well when it comes", async () => {
    const port = await freePort();
    const secret = "the engine's secret";
    await begin({ sip: { engine: `drachtio://127.0.0.1:${port}`, secret } });
    expect(await ready()).toEqual({ status: 503, failed: ["sip"] });
    const refused = await call("601");
    expect(await refused.ended).toMatchObject({ reason: "rejected", by: "business" });
    expect((await record(refused.wacid)).row).toMatchObject({ result: "unreachable", cause: "pbx_unreachable" });
    expect(requests(refused.wacid)).toEqual(["reject 200"]);
    const listener = { host: "127.0.0.1", port: 0 };
    const engine = new SipAgent({
      control: { host: "127.0.0.1", port, secret },
      udp: [listener],
      tcp: [listener],
      peers: ["127.0.0.1"],
      log: quietLog(),
    });
    await engine.start();
    await eventually("being ready", async () => ((await ready()).status === 200 ? true : undefined));
    const answered = await call("601");
    expect(await answered.answered).toBe(true);
    await expectTone(answered, 1_004);
    // And it goes once more, in the middle of a call, and for good.
    await engine.stop();
    expect(await answered.ended).toMatchObject({ by: "business" });
    expect((await record(answered.wacid)).row).toMatchObject({ result: "failed", cause: "pbx_unreachable" });
    expect((await ready()).failed).toEqual(["sip"]);
  });
});

describe("the PBX is away", () => {
  let blackhole: Socket;

  beforeAll(async () => {
    blackhole = createSocket("udp4").bind(0, "127.0.0.1");
    await once(blackhole, "listening");
  });

  afterAll(() => blackhole.close());

  test("where nobody listens, where nobody answers, and where TCP is refused: an end within 5 s", async () => {
    const trunks = [
      { name: "nobody", port: await freePort() },
      { name: "silent", port: blackhole.address().port },
      { name: "refusing", port: await freePort(), transport: "tcp" },
    ].map((trunk) => ({ ...trunk, host: "127.0.0.1" }));
    const extensions = ["600", "601", "620"];
    const channels = trunks.map(({ name }, n) => ({
      phone_number_id: `43666671952${extensions[n] ?? ""}`,
      trunk: name,
      target: "600",
    }));
    await begin({ trunks, channels, calling: { trunk: "nobody" } });
    await Promise.all(
      extensions.map(async (extension) => {
        const startedAt = performance.now();
        const placed = await call(extension);
        expect(await placed.ended).toMatchObject({ by: "business" });
        expect(performance.now() - startedAt).toBeLessThan(5_000);
        expect((await record(placed.wacid)).row).toMatchObject({ result: "unreachable" });
      }),
    );
  });
});

describe("a media worker dies during calls", () => {
  test("its calls end on both sides, those of the other worker go on, and new calls work", async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker): void => void workers.push(worker);
    process.on("worker", note);
    await begin({ media: { workers: 2 } });
    process.off("worker", note);
    const calls = [await call("601"), await call("601")];
    for (const { answered } of calls) expect(await answered).toBe(true);
    expect(workers.length).toBe(2);
    const [victim] = workers;
    await victim?.terminate();
    const ended = await Promise.race(calls.map(async (each, n) => ({ n, end: await each.ended })));
    expect(ended.end).toMatchObject({ by: "business" });
    expect((await record(calls[ended.n]?.wacid ?? "")).row).toMatchObject({
      result: "failed",
      cause: "internal_error",
    });
    expect(requests(calls[ended.n]?.wacid ?? "").at(-1)).toBe("terminate 200");
    const other = calls[1 - ended.n];
    if (other !== undefined) await expectTone(other, 1_004);
    const fresh = [await call("601"), await call("601")];
    for (const each of fresh) expect(await each.answered).toBe(true);
    await Promise.all(fresh.map((each) => expectTone(each, 1_004)));
    await eventually("one PBX call per live call", async () => {
      const { calls: atPbx } = outside.pbx.counters();
      return atPbx === 3 ? true : { missing: atPbx };
    });
  });
});

test("an answer of Meta's that is lost costs nothing: what was obeyed is refused when it is said again", async () => {
  await begin();
  for (const [action, graph] of [
    ["pre_accept", ["pre_accept 0", "pre_accept 400", "accept 200"]],
    ["accept", ["pre_accept 200", "accept 0", "accept 400"]],
  ] as const) {
    outside.meta.faults.next(action, { kind: "answer_lost" });
    const placed = await call("601");
    expect(await placed.answered).toBe(true);
    await expectTone(placed, 1_004, { ms: 500 });
    placed.hangUp();
    expect((await record(placed.wacid)).row).toMatchObject({ result: "completed", cause: "hangup" });
    expect(requests(placed.wacid)).toEqual(graph);
  }
});

test("a SIP peer that is no address stops the start by its name, and what had started stops", async () => {
  outside = await Outside.start();
  const checked = checkConfig(outside.config(database.url, {}), {});
  if (!checked.ok) throw new Error(explain(checked.problems));
  const config = { ...checked.config, sip: { ...checked.config.sip, peers: ["pbx.example"] } };
  daemon = new Daemon({ config, log: collectLog().log, version: "test" });
  await expect(daemon.start()).rejects.toMatchObject({ code: "sip_peers_invalid" });
  expect((await daemon.observations()).publicPorts).toEqual([]);
});
