import { expect, test } from "vitest";
import { estimateMos, mosOfR } from "#core/rtp/mos.ts";

test("R comes to MOS as in ITU-T G.107 Annex B", () => {
  const table = [
    [0, 1],
    [50, 2.58],
    [60, 3.1],
    [70, 3.6],
    [80, 4.02],
    [90, 4.34],
    [100, 4.5],
  ] as const;
  for (const [r, mos] of table) expect(mosOfR(r)).toBeCloseTo(mos, 1);
  expect(mosOfR(-5)).toBe(1);
});

const rows = [
  { name: "perfect", lossRatio: 0, jitterMs: 0, atLeast: 4.35, atMost: 4.5 },
  { name: "1 % loss", lossRatio: 0.01, jitterMs: 2, atLeast: 4.2, atMost: 4.4 },
  { name: "5 % loss", lossRatio: 0.05, jitterMs: 5, atLeast: 3.6, atMost: 4.1 },
  { name: "20 % loss", lossRatio: 0.2, jitterMs: 5, atLeast: 2, atMost: 3 },
  { name: "everything lost", lossRatio: 1, jitterMs: 0, atLeast: 1, atMost: 1.5 },
  { name: "600 ms of round trip", lossRatio: 0, jitterMs: 0, roundTripMs: 600, atLeast: 3, atMost: 4.05 },
];

test.each(rows)("quality of a leg: $name", ({ atLeast, atMost, name: _, ...quality }) => {
  for (const codec of ["PCMU", "PCMA", "opus"] as const) {
    const mos = estimateMos({ codec, ...quality });
    expect(mos).toBeGreaterThanOrEqual(atLeast);
    expect(mos).toBeLessThanOrEqual(atMost);
  }
});

test("more loss, more jitter and more delay never sound better", () => {
  const base = { codec: "opus", lossRatio: 0, jitterMs: 0 } as const;
  let last = 5;
  for (let n = 0; n <= 20; n += 1) {
    const mos = estimateMos({ ...base, lossRatio: n / 20, jitterMs: n * 10, roundTripMs: n * 50 });
    expect(mos).toBeLessThanOrEqual(last);
    last = mos;
  }
});
