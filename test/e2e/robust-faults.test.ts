import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type GraphErrorCode, graphErrors } from "#sandbox/meta/errors.ts";
import type { Fault } from "#sandbox/meta/faults.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import type { Action } from "#sandbox/meta/rule.ts";
import { eventually, type Story, TestWorld } from "#test/support/world.ts";

/** Meta's timestamps are whole seconds, so that up to one of these is gone before the offer comes. */
const BUDGET_MS = 4_000;
const REQUEST_TIMEOUT_MS = 400;

let world: TestWorld;

beforeAll(async () => {
  world = await TestWorld.start({
    numbers: { echo: { target: "600", trunk: "pcmu" }, rings: { target: "641" } },
    settings: {
      calling: { answer_budget_ms: BUDGET_MS },
      meta: { request_timeout_ms: REQUEST_TIMEOUT_MS },
      http: { port: 0 },
    },
    meta: { ringMs: { min: 8_000, max: 8_000 }, webhookTimings: { retryDelaysMs: [200, 400] } },
  });
});

afterAll(() => world?.stop());

afterEach(() => world.meta.faults.clear());

const error = (code: GraphErrorCode): Fault => ({ kind: "error", error: code });

interface Row {
  readonly name: string;
  readonly action: Action;
  readonly fault: Fault;
  /** How often; for ever when it is absent. */
  readonly times?: number;
  readonly graph: readonly string[];
}

describe("a trouble of Meta's that passes costs the caller a moment, not the call", () => {
  const usual = ["pre_accept 200", "accept 200"];
  const rows: readonly Row[] = [
    {
      name: "connection error 138004",
      action: "pre_accept",
      fault: error(138004),
      times: 2,
      graph: ["pre_accept 500", "pre_accept 500", ...usual],
    },
    {
      name: "connection timeout 138007",
      action: "accept",
      fault: error(138007),
      times: 1,
      graph: ["pre_accept 200", "accept 500", "accept 200"],
    },
    { name: "131000", action: "pre_accept", fault: error(131000), times: 1, graph: ["pre_accept 500", ...usual] },
    {
      name: "throttling by 130429",
      action: "pre_accept",
      fault: error(130429),
      times: 1,
      graph: ["pre_accept 429", ...usual],
    },
    { name: "a slow answer", action: "accept", fault: { kind: "slow", delayMs: 250 }, times: 1, graph: usual },
    {
      name: "a lost request",
      action: "pre_accept",
      fault: { kind: "request_lost" },
      times: 1,
      graph: ["pre_accept 0", ...usual],
    },
    {
      name: "a silent server",
      action: "accept",
      fault: { kind: "silent" },
      times: 1,
      graph: ["pre_accept 200", "accept 0", "accept 200"],
    },
  ];

  test.each(rows)("$name at $action", async ({ action, fault, times = 1, graph }) => {
    world.meta.faults.next(action, fault, times);
    const call = await world.call("echo");
    // Meta's side is up before ponte knows.
    await eventually("ponte's first packet", async () =>
      world.meta.log.calls(call.wacid).some(({ step }) => step === "first_rtp") ? true : undefined,
    );
    call.hangUp();
    const story = await world.story(call.wacid);
    expect(story.row).toMatchObject({ result: "completed", ended_by: "caller" });
    expect(story.graph).toEqual(graph);
  });
});

describe("a refusal that does not pass ends the call on both sides", () => {
  const rows: readonly (Row & { readonly row: object; readonly dialled: boolean })[] = [
    {
      name: "SDP refused",
      action: "pre_accept",
      fault: error(138008),
      graph: ["pre_accept 400", "terminate 200"],
      row: { result: "failed", cause: "graph_refused", graph_code: 138008 },
      dialled: false,
    },
    {
      name: "SDP refused",
      action: "accept",
      fault: error(138008),
      graph: ["pre_accept 200", "accept 400", "terminate 200"],
      row: { result: "failed", cause: "graph_refused", graph_code: 138008 },
      dialled: true,
    },
    {
      name: "calling switched off",
      action: "pre_accept",
      fault: error(138000),
      graph: ["pre_accept 401", "terminate 200"],
      row: { cause: "graph_refused", graph_code: 138000 },
      dialled: false,
    },
    {
      name: "a dead token",
      action: "pre_accept",
      fault: error(190),
      graph: ["pre_accept 401", "terminate 200"],
      row: { cause: "graph_refused", graph_code: 190 },
      dialled: false,
    },
  ];

  test.each(rows)("$name at $action", async ({ action, fault, graph, row, dialled }) => {
    world.meta.faults.always(action, fault);
    const call = await world.call("echo");
    await call.ended;
    const story = await world.story(call.wacid);
    expect(story.row).toMatchObject(row);
    expect(story.graph).toEqual(graph);
    expect(saidBye(story)).toBe(dialled);
    if (dialled) expect(story.sip.map(({ what }) => what)).toContain("BYE");
  });

  test("131000 for as long as anybody could wait: given up within the budget", async () => {
    world.meta.faults.always("accept", error(131000));
    const startedAt = performance.now();
    const call = await world.call("echo");
    expect(await call.ended).toMatchObject({ by: "business" });
    expect(performance.now() - startedAt).toBeLessThan(BUDGET_MS + 500);
    const story = await world.story(call.wacid);
    expect(story.row["cause"]).toMatch(/^graph_refused$|^answer_budget_exceeded$/);
    expect(story.graph.slice(0, 3)).toEqual(["pre_accept 200", "accept 500", "accept 500"]);
    expect(story.graph.at(-1)).toBe("terminate 200");
    expect(saidBye(story)).toBe(true);
  });

  test("a terminate that is refused at first is said again", async () => {
    world.meta.faults.next("terminate", { kind: "error", error: { ...graphErrors[131000] } }, 2);
    world.meta.faults.next("pre_accept", error(138008));
    const call = await world.call("echo");
    expect(await call.ended).toMatchObject({ by: "business" });
    expect((await world.story(call.wacid)).graph).toEqual([
      "pre_accept 400",
      "terminate 500",
      "terminate 500",
      "terminate 200",
    ]);
  });
});

/** Whether the PBX was told, by CANCEL or BYE. */
function saidBye({ sip }: Story): boolean {
  return sip.some(({ from, what }) => from === "ponte" && (what === "CANCEL" || what === "BYE"));
}

describe("webhooks as they really come", () => {
  const talks: readonly (readonly [string, Partial<Modes>])[] = [
    ["three times over", { duplicates: 2 }],
    [
      "with a message, an unknown event and an unknown field",
      { batch: "with_message", unknownEvent: true, unknownField: true },
    ],
    ["of a caller without a number", { caller: "bsuid_only", contacts: "absent" }],
    ["without a direction, with a status in a list", { direction: "absent", status: "array" }],
  ];

  test.each(talks)("%s: one call, answered once", async (_name, modes) => {
    const call = await world.call("echo", { modes });
    expect(await call.answered).toBe(true);
    call.hangUp();
    const story = await world.story(call.wacid);
    expect(story.row).toMatchObject({ result: "completed", ended_by: "caller" });
    expect(story.graph).toEqual(["pre_accept 200", "accept 200"]);
    expect(story.sip.filter(({ what }) => what === "INVITE").length).toBe(1);
  });

  test.each(["two_calls", "two_entries"] as const)("%s in a body: both are answered", async (batch) => {
    const calls = await Promise.all([
      world.call("echo", { modes: { batch } }),
      world.call("echo", { modes: { batch } }),
    ]);
    expect(await Promise.all(calls.map(({ answered }) => answered))).toEqual([true, true]);
    for (const call of calls) call.hangUp();
    for (const { wacid } of calls) expect((await world.story(wacid)).graph).toEqual(["pre_accept 200", "accept 200"]);
    const [first, second] = calls.map(({ wacid }) =>
      world.meta.log.webhooks("connect").find((each) => each.wacids.includes(wacid)),
    );
    expect(first).toBe(second);
  });

  test("terminate before connect: never answered, never dialled", async () => {
    const call = await world.call("echo", { modes: { terminateFirst: true } });
    call.hangUp();
    expect(await call.ended).toMatchObject({ by: "user" });
    const late = await eventually("the late connect", async () => {
      const told = world.meta.log.webhooks().filter(({ wacids }) => wacids.includes(call.wacid));
      return told.length === 2 ? told.map(({ event, status }) => `${event} ${status}`) : undefined;
    });
    expect(late).toEqual(["terminate 200", "connect 200"]);
    expect(await world.row(call.wacid)).toMatchObject({ state: "ended" });
    expect(world.meta.log.requests().filter(({ wacid }) => wacid === call.wacid)).toEqual([]);
    expect(world.sip(call.wacid)).toEqual([]);
  });

  test("a connect that is two minutes old is left alone", async () => {
    const call = await world.call("echo", { modes: { staleS: 120 } });
    await world.meta.idle();
    call.hangUp();
    const story = await world.story(call.wacid);
    expect(story.row).toMatchObject({ result: "expired", cause: "offer_stale" });
    expect(story.graph).toEqual([]);
  });

  test.each(["wrong", "missing"] as const)(
    "with a %s signature: 401, and nothing is known of the call",
    async (signature) => {
      const call = await world.call("echo", { modes: { signature } });
      await world.meta.idle();
      expect(
        world.meta.log
          .webhooks("connect")
          .filter(({ wacids }) => wacids.includes(call.wacid))
          .map(({ status }) => status),
      ).toEqual([401]);
      expect(await world.row(call.wacid)).toBeUndefined();
      call.hangUp();
      await world.meta.idle();
      expect(await world.row(call.wacid)).toBeUndefined();
      expect(world.meta.log.violations("W2")).toEqual([]);
    },
  );
});
