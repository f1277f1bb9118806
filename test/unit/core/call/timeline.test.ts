import { expect, test } from "vitest";
import { timelineOf } from "#core/call/timeline.ts";
import { transition } from "#core/call/transition.ts";
import { aCall, NOW } from "#test/support/calls.ts";

test("the timeline names the event and the milestone, without our answer", () => {
  const [preparing] = transition(
    aCall(),
    { type: "routed", route: { handler: "bridge", trunk: "office", target: "600" } },
    NOW,
  );
  const event = { type: "media_prepared", answer: "v=0 a=ice-pwd:secret" } as const;
  const [accepting] = transition(preparing, event, NOW);
  expect(timelineOf(preparing, event, accepting)).toEqual([{ type: "media_prepared", data: {} }]);
  const [dialing] = transition(accepting, { type: "pre_accepted" }, NOW);
  expect(timelineOf(accepting, { type: "pre_accepted" }, dialing).map((entry) => entry.type)).toEqual([
    "pre_accepted",
    "call.pre_accepted",
  ]);
});

test.each([
  [{ type: "operator_ended" }, "call.missed"],
  [{ type: "drained" }, "call.rejected"],
  [{ type: "crashed", detail: "x" }, "call.failed"],
] as const)("an end by %o is the milestone %s", (event, milestone) => {
  const [ended] = transition(aCall(), event, NOW);
  expect(timelineOf(aCall(), event, ended).at(-1)).toMatchObject({ type: milestone, data: { by: expect.any(String) } });
});

test("evidence is told without its time, which is that of the entry", () => {
  const event = { type: "evidence", step: "ice", at: NOW + 3 } as const;
  const [call] = transition(aCall(), event, NOW + 9);
  expect(timelineOf(aCall(), event, call)).toEqual([{ type: "evidence", data: { step: "ice" } }]);
});
