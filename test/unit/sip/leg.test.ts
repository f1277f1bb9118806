import { beforeEach, describe, expect, test } from "vitest";
import type { SipLegEvents } from "#engine/ports.ts";
import { SipLeg } from "#sip/leg.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { FakeConnection } from "./fake-connection.ts";

const limits = { probeAfterMs: 1_500, noResponseMs: 4_500, goodbyeMs: 5_000 };
const gaveUp = { result: "cancelled", by: "caller", cause: "caller_gave_up" } as const;
const busy = { result: "failed", by: "pbx", cause: "pbx_busy", q850: 17 } as const;

let clock: FakeClock;
let engine: FakeConnection;
let told: string[];
let heard: (number | undefined)[];
let probes: ((there: boolean) => void)[];
let leg: SipLeg;

beforeEach(() => {
  clock = new FakeClock();
  engine = new FakeConnection();
  told = [];
  probes = [];
  heard = [];
  const events: SipLegEvents = {
    onProgress: (status) => told.push(`progress ${status}`),
    onAnswered: ({ sdp }) => told.push(`answered ${sdp}`),
    onFailed: ({ status, q850 }) => told.push(`failed ${status} ${q850 ?? "-"}`),
    onEnded: ({ by, q850, reason }) => told.push(`ended ${by} ${q850 ?? "-"} ${reason ?? ""}`),
    onReoffer: async () => undefined,
    onReofferWanted: async () => "",
    onReofferAnswered: () => undefined,
    onDigit: () => undefined,
  };
  leg = new SipLeg({
    connection: engine,
    clock,
    log: quietLog(),
    trunk: {
      name: "pbx",
      host: "192.0.2.1",
      port: 5060,
      transport: "udp",
      callerIdentity: "both",
      optionsIntervalMs: 30_000,
    },
    request: { callId: "1", trunk: "pbx", target: "100", sdp: "offer", headers: {} },
    events,
    limits,
    session: { seconds: 180, refresher: "any" },
    probe: () => new Promise((resolve) => probes.push(resolve)),
    onHeard: (status) => heard.push(status),
    onDialog: () => undefined,
    onOver: () => undefined,
  });
});

function place(): void {
  leg.begin();
  engine.echo();
}

describe("before the answer", () => {
  test("a final response ends the call, with the cause of its Reason header", () => {
    place();
    engine.answer(180);
    engine.answer(486, { headers: { Reason: "Q.850;cause=17" } });
    expect(told).toEqual(["progress 180", "failed 486 17"]);
    expect([engine.story, clock.pending]).toEqual([["INVITE"], 0]);
  });

  test("a PBX that wants longer sessions gets one more INVITE, with what it asked for", () => {
    place();
    engine.answer(422, { headers: { "Min-SE": "600" } });
    expect(engine.last().request.headers).toMatchObject({
      "Session-Expires": "600",
      "Min-SE": "600",
      "Call-ID": "c1",
      CSeq: "8 INVITE",
    });
    engine.echo();
    engine.answer(422, { headers: { "Min-SE": "900" } });
    expect([engine.story, told]).toEqual([["INVITE", "INVITE"], ["failed 422 -"]]);
  });

  test("the engine that cannot send fails the call", () => {
    leg.begin();
    engine.last().on.onFailed?.("can not send request to myself");
    expect(told).toEqual(["failed 503 -"]);
  });

  test("a reliable provisional response is acknowledged", () => {
    place();
    engine.answer(183, { headers: { RSeq: "1" } });
    expect(engine.story).toEqual(["INVITE+PRACK"]);
  });

  test("CANCEL waits for the engine's word on what it sent", async () => {
    leg.begin();
    const over = leg.hangUp(gaveUp);
    expect(engine.story).toEqual(["INVITE"]);
    engine.echo();
    expect(engine.story).toEqual(["INVITE+CANCEL"]);
    engine.answer(487);
    await over;
    expect([told, clock.pending]).toEqual([["failed 487 -"], 0]);
  });

  test("provisional responses after the hang-up are not told", () => {
    place();
    void leg.hangUp(gaveUp);
    engine.answer(180);
    engine.answer(487);
    expect(told).toEqual(["failed 487 -"]);
  });

  test("a challenge after the hang-up is not answered", () => {
    place();
    void leg.hangUp(gaveUp);
    engine.answer(401, { headers: { "WWW-Authenticate": 'Digest realm="a", nonce="b"' } });
    expect([told, engine.story]).toEqual([["failed 487 -"], ["INVITE+CANCEL"]]);
  });

  test("a CANCEL that nobody answers is over in time; the 200 that still comes is ended by BYE", () => {
    place();
    const invite = engine.last();
    void leg.hangUp(gaveUp);
    clock.advance(limits.goodbyeMs);
    expect([told, clock.pending]).toEqual([["failed 487 -"], 0]);
    engine.answer(200, { body: "answer" }, invite);
    expect(engine.story).toEqual(["INVITE+CANCEL+ACK", "BYE"]);
    expect(engine.last().request).toMatchObject({
      dialogId: "c1;from-tag=1",
      headers: { Reason: 'Q.850;cause=16;text="caller gave up"' },
    });
    expect(told).toEqual(["failed 487 -"]);
  });
});

describe("a PBX that says nothing", () => {
  test("is asked after a while, and given up when it does not answer that either", async () => {
    place();
    clock.advance(limits.probeAfterMs);
    expect(probes).toHaveLength(1);
    probes[0]?.(false);
    await Promise.resolve();
    expect(told).toEqual(["failed 408 -"]);
    expect([engine.story, clock.pending]).toEqual([["INVITE+CANCEL"], 0]);
  });

  test("but is there is waited for", async () => {
    place();
    clock.advance(limits.probeAfterMs);
    probes[0]?.(true);
    await Promise.resolve();
    expect(told).toEqual([]);
  });

  test("and rings meanwhile is not given up", async () => {
    place();
    clock.advance(limits.probeAfterMs);
    engine.answer(180);
    probes[0]?.(false);
    await Promise.resolve();
    expect(told).toEqual(["progress 180"]);
  });

  test("but 100 is there, although 100 tells nothing of the call", async () => {
    place();
    engine.answer(100);
    clock.advance(60_000);
    expect([probes, told, heard]).toEqual([[], [], [100]]);
    engine.answer(180);
    engine.answer(486);
    expect([told, heard]).toEqual([["progress 180", "failed 486 -"], [100]]);
  });

  test("to the CANCEL's end is told apart from one that was there after all", async () => {
    place();
    clock.advance(limits.probeAfterMs);
    probes[0]?.(false);
    await Promise.resolve();
    engine.answer(487);
    expect([told, heard]).toEqual([["failed 408 -"], [487]]);
  });

  test("is known by the engine's own answer", () => {
    place();
    engine.answer(408, { local: true });
    expect([told, heard]).toEqual([["failed 408 -"], [undefined]]);
  });

  test("is not asked once it has spoken", () => {
    place();
    engine.answer(180);
    clock.advance(60_000);
    expect(probes).toHaveLength(0);
  });
});

describe("after the answer", () => {
  beforeEach(() => {
    place();
    engine.answer(200, { body: "answer" });
    expect([told, clock.pending]).toEqual([["answered answer"], 0]);
    told.length = 0;
  });

  test("hanging up sends one BYE, with the cause of the disposition", async () => {
    const over = Promise.all([leg.hangUp(busy), leg.hangUp(gaveUp)]);
    engine.answer(200);
    await over;
    expect(engine.story).toEqual(["INVITE+ACK", "BYE"]);
    expect(engine.last().request.headers).toEqual({ Reason: 'Q.850;cause=17;text="pbx busy"' });
    expect([told, clock.pending]).toEqual([["ended agent - hung up by ponte"], 0]);
  });

  test.each([
    ["that nobody answers", () => clock.advance(limits.goodbyeMs)],
    ["for a dialog that the engine has lost", () => engine.last().on.onFailed?.("unable to find dialog")],
    ["that is refused", () => engine.answer(481)],
  ])("a BYE %s ends the call", async (_, happen) => {
    const over = leg.hangUp(busy);
    happen();
    await over;
    expect([told, clock.pending]).toEqual([["ended agent - hung up by ponte"], 0]);
  });

  test("the loss of the engine ends the call and names its dialog", () => {
    expect(leg.engineLost()).toBe("c1;from-tag=1");
    expect(told).toEqual(["ended agent - SIP engine lost"]);
  });
});
