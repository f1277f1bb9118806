import { beforeEach, describe, expect, test } from "vitest";
import type { Offer } from "#core/call/call.ts";
import type { GraphOutcome, MetaCallEvent } from "#engine/ports.ts";
import { Switchboard } from "#engine/switchboard.ts";
import { anOffer, limits, NOW, pbxAnswer } from "#test/support/calls.ts";
import { FakeWorld, refusal, settle } from "#test/support/fake-world.ts";

let world: FakeWorld;
let board: Switchboard;
let made = 0;

function aBoard(maxCalls = 10): Switchboard {
  return new Switchboard({
    world,
    memory: world.memory,
    routing: {
      callingEnabled: true,
      channels: new Map([["436666719526789", { enabled: true, handler: "bridge", trunk: "office", target: "600" }]]),
    },
    limits,
    maxCalls,
    random: () => {
      made += 1;
      return new Uint8Array(16).fill(made);
    },
    log: world.log,
  });
}

beforeEach(() => {
  world = new FakeWorld();
  board = aBoard();
});

const offer = (changes: Partial<Offer> = {}): MetaCallEvent => ({ type: "offer", offer: anOffer(changes) });
const hangUp = (startTime?: number): MetaCallEvent => ({
  type: "terminate",
  wacid: anOffer().wacid,
  channelId: "436666719526789",
  at: NOW,
  summary: { status: "COMPLETED", ...(startTime === undefined ? {} : { startTime, durationS: 5 }) },
});

/** Takes a call until the PBX's phone rings. */
async function ringing(): Promise<void> {
  await board.take(offer());
  await settle();
}

async function talking(): Promise<void> {
  await ringing();
  world.mediaEvents?.onConnected();
  world.leg?.onAnswered({ sdp: pbxAnswer(), sipCallId: "x" });
  await settle();
}

function disposition(): unknown {
  const last = world.recorded.at(-1)?.call;
  return last?.state === "ended" ? last.disposition : last?.state;
}

describe("a call", () => {
  test("goes the way of Meta's recommendation and nothing is sent too early", async () => {
    await talking();
    expect(world.told).toEqual([
      "pre_accept",
      "connect media",
      "dial 600",
      "session PCMU sendrecv",
      "accept",
      "start sending",
    ]);
    await board.take(hangUp(NOW));
    await settle();
    expect(world.told.slice(6)).toEqual(["hang up: hangup", "close media"]);
    expect(disposition()).toMatchObject({ result: "completed", by: "caller" });
    expect(board.live()).toEqual([]);
  });

  test("tells the PBX who calls", async () => {
    await ringing();
    expect(world.dialed).toMatchObject({
      trunk: "office",
      callerNumber: "5511987654321",
      callerName: "Ana",
      headers: { "X-WhatsApp-User": "5511987654321", "X-Ponte-Call": expect.stringMatching(/^[0-9a-f-]{36}$/) },
    });
  });

  test("without a number shows the business-scoped user id", async () => {
    await board.take(offer({ caller: { userId: "BR.1349" } }));
    await settle();
    expect(world.dialed?.callerNumber).toBeUndefined();
    expect(world.dialed?.headers["X-WhatsApp-User"]).toBe("BR.1349");
  });

  test("leaves a timeline that tells its story", async () => {
    await talking();
    world.leg?.onEnded({ by: "pbx", q850: 16 });
    await settle();
    expect(world.timeline).toEqual([
      "call.received",
      "routed",
      "media_prepared",
      "pre_accepted",
      "call.pre_accepted",
      "media_connected",
      "leg_answered",
      "accepted",
      "call.accepted",
      "leg_ended",
      "call.terminated",
      "meta_terminate",
      "call.closed",
    ]);
  });

  test("writes one line per transition and one rich line at the end", async () => {
    await talking();
    await board.take(hangUp(NOW));
    await settle();
    const lines = world.log.lines.filter((line) => line.level === "info").map((line) => line.message);
    expect(lines).toEqual(["call offered", ...Array.from({ length: 6 }, () => "call transition"), "call ended"]);
    expect(world.log.lines.at(-1)?.facts).toMatchObject({
      result: "completed",
      timings: expect.any(Object),
      media: expect.any(Object),
    });
  });

  test("refuses a PBX session that does not fit, and ends both sides", async () => {
    await ringing();
    world.mediaEvents?.onConnected();
    world.leg?.onAnswered({
      sdp: pbxAnswer().replaceAll("PCMU/8000", "G729/8000").replaceAll(" 0 ", " 18 "),
      sipCallId: "x",
    });
    await settle();
    expect(disposition()).toMatchObject({ cause: "no_common_codec" });
    expect(world.told.slice(3)).toEqual(["hang up: no_common_codec", "close media", "terminate"]);
  });

  test("answers a hold of the PBX by itself", async () => {
    await talking();
    const answer = await world.leg?.onReoffer(pbxAnswer("PCMU", "sendonly"));
    expect(answer).toContain("a=recvonly");
    expect(world.told.at(-1)).toBe("session PCMU sendonly");
    expect(world.told.filter((line) => line === "accept")).toHaveLength(1);
  });

  test("passes digits by INFO on to the caller", async () => {
    await talking();
    world.leg?.onDigit("5", 160);
    expect(world.told.at(-1)).toBe("digit 5 to a");
  });

  test("that rings too long ends both sides", async () => {
    await ringing();
    world.clock.advance(limits.ringTimeoutMs);
    await settle();
    expect(world.told.slice(3)).toEqual(["hang up: ring_timeout", "close media", "terminate"]);
  });

  test("sends terminate only after the pre_accept that is under way", async () => {
    let answer: (outcome: ReturnType<typeof refusal>) => void = () => undefined;
    world.graph.set("pre_accept", new Promise((resolve) => (answer = resolve)));
    await ringing();
    expect(board.terminate(board.live()[0]?.id ?? "")).toBe(true);
    await settle();
    expect(world.told).toEqual(["pre_accept", "close media"]);
    answer(refusal(138_007));
    await settle();
    expect(world.told).toEqual(["pre_accept", "close media", "terminate"]);
  });

  test("is not sent to a PBX when Meta refuses the answer", async () => {
    world.graph.set("pre_accept", refusal(138_000));
    await ringing();
    expect(world.dialed).toBeUndefined();
    expect(disposition()).toMatchObject({ cause: "graph_refused", graphCode: 138_000 });
  });

  test("in which a bug shows itself ends, and the others talk on", async () => {
    await talking();
    await board.take(offer({ wacid: "wacid.other" }));
    await settle();
    const mine = board.live()[1]?.id;
    world.sip.dial = () => {
      throw new Error("bug");
    };
    await board.take(offer({ wacid: "wacid.third" }));
    await settle();
    expect(board.live().map((call) => call.state)).toEqual(["bridged", "dialing"]);
    expect(board.live()[1]?.id).toBe(mine);
    expect(disposition()).toMatchObject({ cause: "internal_error" });
    expect(world.log.lines.some((line) => line.level === "error")).toBe(true);
  });
});

describe("the switchboard", () => {
  test("takes a repeated offer once", async () => {
    await Promise.all([board.take(offer()), board.take(offer())]);
    await settle();
    expect(world.told.filter((line) => line === "pre_accept")).toHaveLength(1);
  });

  test.each(["duplicate", "tombstone"] as const)(
    "leaves an offer alone that the database knows as %s",
    async (known) => {
      world.known = known;
      await ringing();
      expect(world.told).toEqual([]);
      expect(world.recorded).toEqual([]);
    },
  );

  test("gives a caller an end when the database is away", async () => {
    world.known = new Error("away");
    await ringing();
    expect(world.told).toEqual(["reject"]);
    expect(disposition()).toMatchObject({ cause: "database_unavailable" });
  });

  test("a terminate that comes while the database is asked finds its call", async () => {
    await Promise.all([board.take(offer()), board.take(hangUp())]);
    await settle();
    expect(disposition()).toMatchObject({ cause: "caller_gave_up" });
    expect(board.live()).toEqual([]);
  });

  test("a terminate before its offer leaves a tombstone", async () => {
    await board.take(hangUp());
    expect(world.tombstones).toEqual([anOffer().wacid]);
  });

  test.each([
    ["calls beyond the limit", () => (board = aBoard(0)), "at_capacity"],
    ["calls while SIP is away", () => (world.sipReady = false), "pbx_unreachable"],
    ["calls when no media is to be had", () => (world.mediaFull = true), "at_capacity"],
  ])("rejects %s", async (_name, prepare, cause) => {
    prepare();
    await ringing();
    expect(world.told[0]).toBe("reject");
    expect(disposition()).toMatchObject({ cause });
  });

  test("does not revive a call whose offer is repeated after its end", async () => {
    await talking();
    await board.take(hangUp(NOW));
    await settle();
    const told = world.told.length;
    await board.take(offer());
    await settle();
    expect(world.told).toHaveLength(told);
  });

  test("drains: rejects new calls, lets live ones end, then ends them", async () => {
    await talking();
    const drained = board.drain(10_000);
    await board.take(offer({ wacid: "wacid.late" }));
    await settle();
    expect(world.told.at(-1)).toBe("reject");
    world.clock.advance(10_000);
    await drained;
    expect(world.told).toContain("hang up: draining");
    expect(world.clock.pending).toBe(0);
  });

  test("after draining still takes Meta's account of the calls that it ended, and leaves no timer behind", async () => {
    await talking();
    const drained = board.drain(10_000);
    world.clock.advance(10_000);
    await drained;
    await board.take(hangUp(NOW));
    await board.take(offer({ wacid: "wacid.later" }));
    await settle();
    expect(world.tombstones).toEqual([]);
    const told = world.recorded.map(({ call }) => (call.state === "ended" ? call.summary?.status : undefined));
    expect(told).toContain("COMPLETED");
    expect(world.clock.pending).toBe(0);
  });

  test("waits until Meta was told of a call that came while it stopped, but not for ever", async () => {
    const reject = Promise.withResolvers<GraphOutcome>();
    world.graph.set("reject", reject.promise);
    await board.drain(10_000);
    void board.take(offer());
    let idle = false;
    const waiting = board.idle(3_000).then(() => {
      idle = true;
    });
    await settle();
    expect(world.told).toEqual(["reject"]);
    expect(idle).toBe(false);
    reject.resolve({ ok: true, tookMs: 1, attempts: 1 });
    await waiting;
    expect(world.clock.pending).toBe(0);

    world.graph.set("reject", new Promise<GraphOutcome>(() => undefined));
    await board.take(offer({ wacid: "wacid.later" }));
    const late = board.idle(3_000);
    await settle();
    world.clock.advance(3_000);
    await late;
    expect(world.clock.pending).toBe(0);
  });

  test("shows every entry of the timeline to those who watch", async () => {
    const seen: string[] = [];
    const stop = board.watch((_id, event) => seen.push(event.type));
    await ringing();
    stop();
    expect(seen[0]).toBe("call.received");
    expect(seen).toContain("call.pre_accepted");
  });
});
