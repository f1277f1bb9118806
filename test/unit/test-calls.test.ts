import { expect, test } from "vitest";
import type { ToneReport } from "#core/audio/tone.ts";
import { listenWell, problemsOf } from "#src/test-calls.ts";

const good: ToneReport = { hz: 440, levelDbfs: -6, snrDb: 30, longestGapMs: 0, heardMs: 1_000 };
const hole = (longestGapMs: number): ToneReport => ({ ...good, longestGapMs });
const noise: ToneReport = { ...good, snrDb: 3 };

/** What a self-test makes of a call in which these stretches are heard, one after the other. */
async function judged(...stretches: readonly ToneReport[]) {
  let next = 0;
  const listening = await listenWell({ listen: async () => stretches[next++] ?? good }, 1_000, 440);
  const facts = { number: "600", digitsSent: "", digitsHeard: "", lossRatio: 0, disposition: "completed by caller" };
  const problems = problemsOf({ ...facts, ...listening }, { ...listening, expectedHz: 440 });
  return { problems, heard: next, bad: listening.badStretches, gap: listening.tone.longestGapMs };
}

test("a hole in every stretch is a problem, and the shortest is told", async () => {
  expect(await judged(hole(400), hole(300), hole(500))).toEqual({
    problems: ["the tone has a hole of 300 ms"],
    heard: 3,
    bad: 3,
    gap: 300,
  });
});

test("a hole that a stall made is listened over, and counted", async () => {
  expect(await judged(hole(400), good)).toEqual({ problems: [], heard: 2, bad: 1, gap: 0 });
});

test("a short gap is told and borne", async () => {
  expect(await judged(hole(100))).toEqual({ problems: [], heard: 1, bad: 0, gap: 100 });
});

test("noise is a problem, whatever its holes", async () => {
  expect(await judged(noise, noise, noise)).toMatchObject({ problems: ["the tone is only 3.0 dB above the rest"] });
  expect(await judged(noise, hole(210), noise)).toMatchObject({ problems: ["the tone has a hole of 210 ms"] });
});
