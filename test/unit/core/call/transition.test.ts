import { describe, expect, test } from "vitest";
import type { Call, CallState } from "#core/call/call.ts";
import type { Action, Event } from "#core/call/event.ts";
import { transition } from "#core/call/transition.ts";
import { aCall, NOW } from "#test/support/calls.ts";

const routed: Event = { type: "routed", route: { handler: "bridge", trunk: "office", target: "600" } };

/** The way to each state, by the shortest list of events. */
const wayTo: Record<Exclude<CallState, "ended">, readonly Event[]> = {
  offered: [],
  preparing: [routed],
  pre_accepting: [routed, { type: "media_prepared", answer: "v=0" }],
  dialing: [routed, { type: "media_prepared", answer: "v=0" }, { type: "pre_accepted" }],
  accepting: [
    routed,
    { type: "media_prepared", answer: "v=0" },
    { type: "pre_accepted" },
    { type: "media_connected" },
    { type: "leg_answered" },
  ],
  bridged: [
    routed,
    { type: "media_prepared", answer: "v=0" },
    { type: "pre_accepted" },
    { type: "media_connected" },
    { type: "leg_answered" },
    { type: "accepted" },
  ],
};

function run(events: readonly Event[], from: Call = aCall(), now = NOW): readonly [Call, readonly Action[]] {
  return events.reduce<readonly [Call, readonly Action[]]>(([call], event) => transition(call, event, now), [from, []]);
}

function inState(state: keyof typeof wayTo): Call {
  const [call] = run(wayTo[state]);
  expect(call.state).toBe(state);
  return call;
}

/** Actions in short: the type, and what matters of the rest. */
function short(actions: readonly Action[]): string[] {
  return actions.map((action) => ("timer" in action ? `${action.type} ${action.timer}` : action.type));
}

describe("a call that goes well", () => {
  test.each([
    ["offered", routed, "preparing", ["start_timer budget", "prepare_media"]],
    ["preparing", { type: "media_prepared", answer: "v=0" }, "pre_accepting", ["pre_accept"]],
    ["pre_accepting", { type: "pre_accepted" }, "dialing", ["connect_media", "start_timer ring", "dial"]],
    ["dialing", { type: "leg_progress", status: 180, early: false }, "dialing", []],
    ["dialing", { type: "media_connected" }, "dialing", []],
    ["dialing", { type: "leg_answered" }, "dialing", ["stop_timer ring", "start_timer media"]],
    ["accepting", { type: "accepted" }, "bridged", ["stop_timer budget", "start_sending"]],
  ] as const)("%s: %o", (from, event, to, wanted) => {
    const [call, actions] = transition(inState(from), event, NOW);
    expect(call.state).toBe(to);
    expect(short(actions)).toEqual(wanted);
  });

  test.each([
    ["media first", ["media_connected", "leg_answered"]],
    ["the PBX first", ["leg_answered", "media_connected"]],
  ] as const)("is accepted when the PBX has answered and media is up, %s", (_name, order) => {
    const [call, actions] = run(
      order.map((type) => ({ type })),
      inState("dialing"),
    );
    expect(call.state).toBe("accepting");
    expect(short(actions)).toContain("accept");
  });

  test("accepts with the very answer of pre_accept", () => {
    const [, first] = run([routed, { type: "media_prepared", answer: "the answer" }]);
    const [, last] = run([routed, { type: "media_prepared", answer: "the answer" }, ...wayTo.accepting.slice(2)]);
    const answers = [...first, ...last].flatMap((action) => ("answer" in action ? [action.answer] : []));
    expect(answers).toEqual(["the answer", "the answer"]);
  });

  test("sends nothing before the 200 of accept", () => {
    const soFar = wayTo.accepting.flatMap((_, index) => short(run(wayTo.accepting.slice(0, index + 1))[1]));
    expect(soFar).not.toContain("start_sending");
  });

  test("gives the rest of Meta's patience to the budget timer", () => {
    const [, actions] = transition(aCall({ offeredAt: NOW - 3_000 }), routed, NOW);
    expect(actions[0]).toEqual({ type: "start_timer", timer: "budget", afterMs: 25_000 });
  });
});

const answered: Event = { type: "caller_ended", summary: { status: "COMPLETED", startTime: NOW, durationS: 3 } };
const gaveUp: Event = { type: "caller_ended", summary: { status: "COMPLETED" } };
const failed: Event = {
  type: "caller_ended",
  summary: { status: "FAILED", errorCode: 138_021, errorTitle: "no media" },
};
const reject = (reason: "handler_reject" | "draining" | "trunk_unreachable" | "database_unavailable"): Event => ({
  type: "routed",
  route: { handler: "reject", reason },
});
const refused = (step: "pre_accept" | "accept", code: number, gone = false): Event => ({
  type: "graph_failed",
  step,
  refusal: { code, message: "no", gone },
});
const pbx = (status: number, q850?: number): Event => ({
  type: "leg_failed",
  status,
  reason: "x",
  ...(q850 === undefined ? {} : { q850 }),
});
const bye: Event = { type: "leg_ended", by: "pbx", q850: 16 };
const lost: Event = { type: "leg_ended", by: "agent", reason: "ACK timeout" };
const media = (failure: "ice_failed" | "dtls_failed" | "media_dead" | "media_closed" | "worker_lost"): Event => ({
  type: "media_failed",
  failure,
  detail: "x",
});
const timeout = (timer: "budget" | "ring" | "media" | "closing"): Event => ({ type: "timeout", timer });

describe("every way a call can end", () => {
  // state, event, result, by, cause, what is done towards the sides
  const rows: readonly (readonly [keyof typeof wayTo, Event, string, string, string, readonly string[]])[] = [
    ["offered", reject("handler_reject"), "rejected", "ponte", "handler_reject", ["reject"]],
    ["offered", reject("draining"), "rejected", "ponte", "draining", ["reject"]],
    ["offered", reject("trunk_unreachable"), "unreachable", "ponte", "pbx_unreachable", ["reject"]],
    ["offered", reject("database_unavailable"), "rejected", "ponte", "database_unavailable", ["reject"]],
    ["offered", gaveUp, "cancelled", "caller", "caller_gave_up", []],
    [
      "preparing",
      { type: "offer_unusable", cause: "bad_offer", detail: "x" },
      "failed",
      "ponte",
      "bad_offer",
      ["reject", "close_media"],
    ],
    [
      "preparing",
      { type: "offer_unusable", cause: "no_common_codec", detail: "x" },
      "failed",
      "ponte",
      "no_common_codec",
      ["reject", "close_media"],
    ],
    [
      "preparing",
      { type: "media_unavailable", detail: "full" },
      "rejected",
      "ponte",
      "at_capacity",
      ["reject", "close_media"],
    ],
    ["preparing", gaveUp, "cancelled", "caller", "caller_gave_up", ["close_media"]],
    [
      "pre_accepting",
      refused("pre_accept", 138_000),
      "failed",
      "whatsapp",
      "graph_refused",
      ["terminate", "close_media"],
    ],
    [
      "pre_accepting",
      refused("pre_accept", 0),
      "failed",
      "whatsapp",
      "graph_unreachable",
      ["terminate", "close_media"],
    ],
    ["pre_accepting", refused("pre_accept", 100, true), "cancelled", "caller", "caller_gave_up", ["close_media"]],
    ["pre_accepting", timeout("budget"), "expired", "ponte", "answer_budget_exceeded", ["terminate", "close_media"]],
    ["pre_accepting", gaveUp, "cancelled", "caller", "caller_gave_up", ["close_media"]],
    ["dialing", gaveUp, "cancelled", "caller", "caller_gave_up", ["hang_up", "close_media"]],
    ["dialing", pbx(486), "busy", "pbx", "pbx_busy", ["terminate", "close_media"]],
    ["dialing", pbx(603), "declined", "pbx", "pbx_declined", ["terminate", "close_media"]],
    ["dialing", pbx(404), "not_found", "pbx", "pbx_not_found", ["terminate", "close_media"]],
    ["dialing", pbx(480), "no_answer", "pbx", "pbx_no_answer", ["terminate", "close_media"]],
    ["dialing", pbx(503), "unreachable", "pbx", "pbx_unavailable", ["terminate", "close_media"]],
    ["dialing", pbx(408), "unreachable", "pbx", "pbx_unreachable", ["terminate", "close_media"]],
    ["dialing", pbx(488), "failed", "pbx", "no_common_codec", ["terminate", "close_media"]],
    [
      "dialing",
      { type: "session_unusable", detail: "x" },
      "failed",
      "ponte",
      "no_common_codec",
      ["terminate", "hang_up", "close_media"],
    ],
    ["dialing", timeout("ring"), "no_answer", "ponte", "ring_timeout", ["terminate", "hang_up", "close_media"]],
    [
      "dialing",
      timeout("budget"),
      "expired",
      "ponte",
      "answer_budget_exceeded",
      ["terminate", "hang_up", "close_media"],
    ],
    ["dialing", timeout("media"), "failed", "ponte", "media_timeout", ["terminate", "hang_up", "close_media"]],
    ["dialing", media("ice_failed"), "failed", "whatsapp", "ice_failed", ["terminate", "hang_up", "close_media"]],
    ["dialing", media("dtls_failed"), "failed", "whatsapp", "dtls_failed", ["terminate", "hang_up", "close_media"]],
    ["dialing", bye, "failed", "pbx", "pbx_declined", ["terminate", "close_media"]],
    [
      "dialing",
      { type: "operator_ended" },
      "cancelled",
      "operator",
      "operator",
      ["terminate", "hang_up", "close_media"],
    ],
    ["dialing", { type: "drained" }, "rejected", "ponte", "draining", ["terminate", "hang_up", "close_media"]],
    [
      "accepting",
      refused("accept", 138_007),
      "failed",
      "whatsapp",
      "graph_refused",
      ["terminate", "hang_up", "close_media"],
    ],
    ["accepting", refused("accept", 100, true), "cancelled", "caller", "caller_gave_up", ["hang_up", "close_media"]],
    ["accepting", bye, "failed", "pbx", "pbx_declined", ["terminate", "close_media"]],
    ["accepting", gaveUp, "cancelled", "caller", "caller_gave_up", ["hang_up", "close_media"]],
    ["accepting", answered, "completed", "caller", "hangup", ["hang_up", "close_media"]],
    [
      "accepting",
      timeout("budget"),
      "expired",
      "ponte",
      "answer_budget_exceeded",
      ["terminate", "hang_up", "close_media"],
    ],
    ["bridged", answered, "completed", "caller", "hangup", ["hang_up", "close_media"]],
    ["bridged", gaveUp, "completed", "caller", "hangup", ["hang_up", "close_media"]],
    ["bridged", failed, "failed", "whatsapp", "meta_failed", ["hang_up", "close_media"]],
    ["bridged", bye, "completed", "pbx", "hangup", ["terminate", "close_media"]],
    ["bridged", lost, "failed", "pbx", "pbx_unreachable", ["terminate", "close_media"]],
    ["bridged", media("media_dead"), "failed", "whatsapp", "media_dead", ["terminate", "hang_up", "close_media"]],
    ["bridged", media("worker_lost"), "failed", "ponte", "internal_error", ["terminate", "hang_up", "close_media"]],
    [
      "bridged",
      { type: "operator_ended" },
      "completed",
      "operator",
      "operator",
      ["terminate", "hang_up", "close_media"],
    ],
    ["bridged", { type: "drained" }, "completed", "ponte", "draining", ["terminate", "hang_up", "close_media"]],
    [
      "bridged",
      { type: "crashed", detail: "x" },
      "failed",
      "ponte",
      "internal_error",
      ["terminate", "hang_up", "close_media"],
    ],
  ];

  test.each(rows)("%s, %o: %s by %s, %s", (state, event, result, by, cause, wanted) => {
    const [call, actions] = transition(inState(state), event, NOW + 1);
    expect(call.state === "ended" && call.disposition).toMatchObject({ result, by, cause });
    expect(short(actions)).toEqual(["stop_timers", ...wanted]);
  });

  test("a stale offer ends without a word to Meta", () => {
    const [call, actions] = transition(aCall({ offeredAt: NOW - 60_001 }), routed, NOW);
    expect(call).toMatchObject({ state: "ended", disposition: { cause: "offer_stale" } });
    expect(short(actions)).toEqual(["stop_timers"]);
  });

  test("while calling is switched off a call is left alone", () => {
    const [call, actions] = transition(
      aCall(),
      { type: "routed", route: { handler: "reject", reason: "calling_disabled" } },
      NOW,
    );
    expect(call).toMatchObject({ state: "ended", disposition: { result: "rejected", cause: "calling_disabled" } });
    expect(short(actions)).toEqual(["stop_timers"]);
  });

  test("the PBX's Q.850 cause wins over that of its status", () => {
    const [call] = transition(inState("dialing"), pbx(503, 34), NOW);
    expect(call).toMatchObject({ disposition: { sipStatus: 503, q850: 34 } });
  });
});

describe("the relay's goodbye", () => {
  test("waits for the webhook that says who hung up", () => {
    const [call, actions] = transition(inState("bridged"), media("media_closed"), NOW);
    expect(call.state).toBe("bridged");
    expect(short(actions)).toEqual(["start_timer closing"]);
    expect(transition(call, answered, NOW + 50)[0]).toMatchObject({
      disposition: { result: "completed", by: "caller" },
    });
  });

  test("is not forgotten by the pickup that crosses it", () => {
    const [call, actions] = run([media("media_closed"), { type: "accepted" }], inState("accepting"));
    expect(call.state).toBe("bridged");
    expect(short(actions)).toEqual(["stop_timer budget", "start_sending"]);
    expect(transition(call, timeout("closing"), NOW)[0]).toMatchObject({ disposition: { cause: "media_dead" } });
  });

  test("ends the call when no webhook follows", () => {
    const [call] = run([media("media_closed"), timeout("closing")], inState("bridged"));
    expect(call).toMatchObject({ disposition: { result: "failed", by: "whatsapp", cause: "media_dead" } });
  });
});

describe("late news", () => {
  const everything: readonly Event[] = [
    routed,
    { type: "media_prepared", answer: "x" },
    { type: "pre_accepted" },
    { type: "accepted" },
    { type: "leg_answered" },
    { type: "media_connected" },
    { type: "operator_ended" },
    { type: "drained" },
    { type: "evidence", step: "ice", at: NOW },
    bye,
    lost,
    pbx(486),
    timeout("ring"),
    timeout("budget"),
    media("media_dead"),
    refused("accept", 100),
  ];

  test.each(everything)("changes nothing of an ended call: %o", (event) => {
    const [ended] = transition(inState("bridged"), bye, NOW);
    expect(transition(ended, event, NOW + 5)).toEqual([ended, []]);
  });

  test("Meta's account of an ended call is taken once", () => {
    const [ended] = transition(inState("bridged"), bye, NOW);
    const [told] = transition(ended, answered, NOW + 5);
    expect(told).toMatchObject({ disposition: { by: "pbx" }, summary: { durationS: 3 } });
    expect(transition(told, gaveUp, NOW + 6)).toEqual([told, []]);
  });

  test("a budget that runs out in a call that talks changes nothing", () => {
    const call = inState("bridged");
    expect(transition(call, timeout("budget"), NOW)).toEqual([call, []]);
  });

  test("evidence is kept from its first time on", () => {
    const [call] = run(
      [
        { type: "evidence", step: "ice", at: NOW + 7 },
        { type: "evidence", step: "ice", at: NOW + 9 },
      ],
      inState("dialing"),
    );
    expect(call.evidence).toEqual({ ice: NOW + 7 });
  });
});

test("random histories never revive a call and always say goodbye to the side that is left", () => {
  let seed = 42;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff;
    return seed % below;
  };
  const pool: readonly Event[] = [
    ...wayTo.bridged,
    ...wayTo.bridged,
    { type: "leg_progress", status: 183, early: true },
    bye,
    gaveUp,
    pbx(486),
    timeout("ring"),
    media("ice_failed"),
    refused("accept", 1),
  ];
  for (let history = 0; history < 2_000; history += 1) {
    let call: Call = aCall();
    const done: Action[] = [];
    for (let steps = 0; steps < 30; steps += 1) {
      const event = pool[random(pool.length)];
      if (event === undefined) continue;
      const [after, actions] = transition(call, event, NOW + steps);
      if (call.state === "ended") expect(after.state).toBe("ended");
      call = after;
      done.push(...actions);
    }
    if (call.state !== "ended") continue;
    const types = done.map((action) => action.type);
    expect(types.filter((type) => type === "reject" || type === "terminate").length).toBeLessThanOrEqual(1);
    if (types.includes("prepare_media")) expect(types.filter((type) => type === "close_media")).toHaveLength(1);
    if (call.disposition.by !== "caller")
      expect(types.some((type) => type === "reject" || type === "terminate")).toBe(true);
    if (types.includes("dial") && call.disposition.by !== "pbx") expect(types).toContain("hang_up");
  }
});
