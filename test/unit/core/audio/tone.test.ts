import { describe, expect, test } from "vitest";
import { listen, strongestFrequency, ToneGenerator } from "#core/audio/tone.ts";

function tone(hz: number, rate: number, ms: number, amplitude = 0.5): Int16Array {
  return new ToneGenerator(hz, rate, amplitude).fill(new Int16Array((rate * ms) / 1000));
}

/** A small seeded generator (mulberry32), so that noise is the same in every run. */
function noise(samples: Int16Array, amplitude: number): Int16Array {
  let seed = 7;
  return samples.map((sample) => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return sample + Math.round((((t ^ (t >>> 14)) >>> 0) / 2 ** 31 - 1) * amplitude);
  });
}

describe("a tone", () => {
  test.each([
    [440, 8_000],
    [1004, 8_000],
    [700, 16_000],
    [1004, 48_000],
    [2_600, 8_000],
  ])("of %i Hz at %i samples a second is found", (hz, rate) => {
    expect(Math.abs(strongestFrequency(tone(hz, rate, 500), rate) - hz)).toBeLessThanOrEqual(1);
    expect(listen(tone(hz, rate, 500), rate, hz).snrDb).toBeGreaterThan(30);
  });

  test("is not found in silence", () => {
    expect(listen(new Int16Array(8_000), 8_000)).toMatchObject({ hz: 0, snrDb: -90, longestGapMs: 1_000 });
  });

  test("is not found where another one plays", () => {
    expect(listen(tone(700, 8_000, 500), 8_000, 1004).snrDb).toBeLessThan(0);
  });

  test("has the signal-to-noise ratio that was mixed", () => {
    // Uniform noise of amplitude A has a power of A²/3; the tone's is (0.5 · 32767)²/2.
    const mixed = noise(tone(1004, 8_000, 2_000), 2_000);
    const wanted = 10 * Math.log10((0.5 * 32_767) ** 2 / 2 / (2_000 ** 2 / 3));
    expect(Math.abs(listen(mixed, 8_000, 1004).snrDb - wanted)).toBeLessThan(1);
  });

  test.each([20, 60, 100, 400])("with a hole of %i ms shows the hole", (hole) => {
    const samples = tone(1004, 8_000, 2_000);
    samples.fill(0, 8_000, 8_000 + hole * 8);
    expect(Math.abs(listen(samples, 8_000, 1004).longestGapMs - hole)).toBeLessThanOrEqual(10);
  });

  test("with a pause in the middle and a jump of phase after it is found, and so is the pause", () => {
    const halves = [tone(440, 8_000, 800), new Int16Array(8_000 * 0.4 + 9), tone(440, 8_000, 800)];
    const samples = Int16Array.from(halves.flatMap((half) => [...half]));
    const report = listen(samples, 8_000, 440);
    expect(Math.abs(report.hz - 440)).toBeLessThanOrEqual(1);
    expect(Math.abs(report.longestGapMs - 400)).toBeLessThanOrEqual(10);
  });

  test("that starts late has no gap before its start", () => {
    const samples = tone(1004, 8_000, 2_000);
    samples.fill(0, 0, 4_000);
    expect(listen(samples, 8_000, 1004).longestGapMs).toBeLessThanOrEqual(10);
  });
});
