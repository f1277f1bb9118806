import { beforeEach, expect, test } from "vitest";
import { TrunkMonitor } from "#sip/trunk-monitor.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { type QuietLog, quietLog } from "#test/support/quiet-log.ts";
import { FakeConnection } from "./fake-connection.ts";

let clock: FakeClock;
let engine: FakeConnection;
let log: QuietLog;
let monitor: TrunkMonitor;

beforeEach(() => {
  clock = new FakeClock();
  engine = new FakeConnection();
  log = quietLog();
  const trunk = { host: "192.0.2.1", port: 5060, transport: "udp", callerIdentity: "both" } as const;
  monitor = new TrunkMonitor({
    connection: engine,
    clock,
    log,
    trunks: [
      { ...trunk, name: "asked", optionsIntervalMs: 30_000 },
      { ...trunk, name: "not asked", host: "2001:db8::1", optionsIntervalMs: 0 },
    ],
  });
});

const states = () => monitor.states().map(({ state }) => state);

test("a PBX goes down and comes back, with one log line each", () => {
  monitor.start();
  expect([engine.story, states()]).toEqual([["OPTIONS"], ["unknown", "unknown"]]);
  engine.answer(200);
  expect(states()).toEqual(["up", "unknown"]);
  clock.advance(30_000);
  expect(engine.story).toHaveLength(2);
  clock.advance(5_000);
  expect(states()).toEqual(["down", "unknown"]);
  // Asked more often while it is down.
  clock.advance(5_000);
  expect(engine.story).toHaveLength(3);
  engine.answer(408, { local: true });
  clock.advance(5_000);
  engine.answer(404);
  expect(states()).toEqual(["up", "unknown"]);
  expect(log.lines.map((line) => line.message)).toEqual(["trunk up", "trunk down: no answer to OPTIONS", "trunk up"]);
});

test("an answer that comes too late changes nothing", () => {
  monitor.start();
  const first = engine.last();
  clock.advance(5_000);
  engine.answer(200, {}, first);
  expect(states()).toEqual(["down", "unknown"]);
});

test("nothing is known, and no timer left, while the engine is away", async () => {
  monitor.start();
  engine.answer(200);
  clock.advance(30_000);
  const probing = monitor.probe("asked", 3_000);
  monitor.stop();
  expect(await probing).toBe(false);
  expect([states(), clock.pending]).toEqual([["unknown", "unknown"], 0]);
  monitor.start();
  expect(engine.story).toHaveLength(4);
});

test.each([
  [180, true],
  [487, true],
  [100, false],
  [401, false],
  [undefined, false],
])(
  "silence of a PBX that never answered OPTIONS and answered the last call first with %j: there %j",
  async (status, there) => {
    monitor.answeredCall("not asked", 180);
    monitor.answeredCall("not asked", status);
    const probing = monitor.probe("not asked", 3_000);
    clock.advance(3_000);
    expect(await probing).toBe(there);
  },
);

test("silence of a PBX that did answer OPTIONS is silence, whatever calls it took", async () => {
  monitor.answeredCall("asked", 180);
  monitor.start();
  engine.answer(200);
  const probing = monitor.probe("asked", 3_000);
  clock.advance(3_000);
  expect(await probing).toBe(false);
  monitor.stop();
});

test("a PBX that is not asked regularly is asked once, and stays unknown", async () => {
  monitor.start();
  const probing = monitor.probe("not asked", 3_000);
  clock.advance(3_000);
  expect([await probing, states()]).toEqual([false, ["unknown", "unknown"]]);
  monitor.stop();
});

test("a probe tells whether the PBX speaks in time", async () => {
  const [there, away, none] = [monitor.probe("asked", 3_000), monitor.probe("asked", 3_000), monitor.probe("?", 1)];
  const [first] = engine.sent;
  engine.answer(401, {}, first);
  clock.advance(3_000);
  expect(await Promise.all([there, away, none])).toEqual([true, false, false]);
});
