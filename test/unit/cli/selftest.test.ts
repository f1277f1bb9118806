import { expect, test } from "vitest";
import { tableOf } from "#cli/selftest.ts";
import { reportOf } from "#src/selftest.ts";
import type { CallReport } from "#src/test-calls.ts";

function call(over: Partial<CallReport> = {}): CallReport {
  return {
    number: "600",
    problems: [],
    webhookToPreAcceptMs: 20,
    tone: { hz: 440, levelDbfs: -6, snrDb: 30, longestGapMs: 0, heardMs: 2_000 },
    stretches: 1,
    badStretches: 0,
    digitsSent: "159#",
    digitsHeard: "159#",
    lossRatio: 0,
    disposition: "completed by caller",
    ...over,
  };
}

const toneCall = call({ number: "601", webhookToPreAcceptMs: 500, digitsSent: "", digitsHeard: "" });

/** A self-test in a world where every call turns out so. */
function tested(calls: number, rounds: number, over: Partial<CallReport> = {}) {
  const fake = {
    tone: async () => toneCall,
    echoes: async (count: number) => Array.from({ length: count }, () => call(over)),
    leftOver: async () => [],
    violations: () => [],
  };
  return reportOf(fake, { calls, rounds, seconds: 1 });
}

test.each([
  [1, 1],
  [3, 1],
  [2, 5],
])("a self-test of %i calls, %i times, counts those that were asked for", async (count, rounds) => {
  const done = await tested(count, rounds);
  expect(done.calls).toHaveLength(count * rounds);
  const table = tableOf(done);
  expect(table).toMatch(new RegExp(`^calls +${count * rounds}$`, "m"));
  expect(table).toMatch(new RegExp(`^digits heard +${count * rounds} of ${count * rounds} calls`, "m"));
  // What the first call of all takes to warm up is not theirs.
  expect(table).not.toContain("500");
  expect(table).toMatch(/all is well$/);
});

test("a call that goes wrong makes the self-test fail", async () => {
  const done = await tested(1, 1, { problems: ["440 Hz were not heard"] });
  expect(done.ok).toBe(false);
  expect(tableOf(done)).toMatch(/^call to 600: 440 Hz were not heard\nNOT well$/m);
});

test("the longest gap of each direction is told, and how often the listener had to listen again", async () => {
  const tone = { hz: 440, levelDbfs: -6, snrDb: 30, longestGapMs: 120, heardMs: 2_000 };
  const table = tableOf(await tested(2, 1, { tone, stretches: 3, badStretches: 2 }));
  expect(table).toMatch(/^longest gap +0 ms from the PBX, 120 ms there and back$/m);
  expect(table).toMatch(/^stretches with a fault +4 of 7$/m);
});

test("of a call that nobody answered nothing was heard", async () => {
  const { tone: _, ...silent } = call({ problems: ["was not answered"], stretches: 0 });
  const table = tableOf({ ok: false, toneCall, calls: [silent], leftOver: [], violations: [] });
  expect(table).toMatch(/^longest gap +0 ms from the PBX, nothing heard there and back$/m);
});
