import { describe, expect, test } from "vitest";
import { listen, ToneGenerator } from "#core/audio/tone.ts";
import { decodeG711, encodeG711 } from "#core/codec/g711.ts";

const codes = Uint8Array.from({ length: 256 }, (_, code) => code);

function decodeAll(codec: "PCMU" | "PCMA"): Int16Array {
  const samples = new Int16Array(256);
  decodeG711(codec, codes, samples);
  return samples;
}

describe("G.711", () => {
  // Values of ITU-T G.711 tables 1a to 2b, scaled to 16 bits.
  test.each([
    ["PCMU", 0x00, -32_124],
    ["PCMU", 0x80, 32_124],
    ["PCMU", 0xff, 0],
    ["PCMU", 0x7f, 0],
    ["PCMU", 0xf0, 120],
    ["PCMA", 0xd5, 8],
    ["PCMA", 0x55, -8],
    ["PCMA", 0xaa, 32_256],
    ["PCMA", 0x2a, -32_256],
  ] as const)("%s decodes %i to %i", (codec, code, sample) => {
    expect(decodeAll(codec)[code]).toBe(sample);
  });

  test.each(["PCMU", "PCMA"] as const)("%s gives every code back, apart from its two zeros", (codec) => {
    const again = new Uint8Array(256);
    encodeG711(codec, decodeAll(codec), again);
    const differing = [...codes].filter((code) => again[code] !== code);
    expect(differing).toEqual(codec === "PCMU" ? [0x7f] : []);
  });

  test.each(["PCMU", "PCMA"] as const)("%s errs by at most half a step", (codec) => {
    const samples = Int16Array.from({ length: 65_536 }, (_, i) => i - 32_768);
    const bytes = new Uint8Array(65_536);
    const back = new Int16Array(65_536);
    encodeG711(codec, samples, bytes);
    decodeG711(codec, bytes, back);
    const worst = samples.reduce((most, sample, i) => {
      const allowed = Math.max(16, (Math.abs(sample) + 132) / 32 + 1);
      const clipped = Math.abs(sample) > 32_256 ? 1_100 : 0;
      return Math.max(most, Math.abs(sample - (back[i] ?? 0)) - allowed - clipped);
    }, Number.NEGATIVE_INFINITY);
    expect(worst).toBeLessThanOrEqual(0);
  });

  test.each(["PCMU", "PCMA"] as const)("%s keeps a tone", (codec) => {
    const samples = new ToneGenerator(1004, 8_000, 0.3).fill(new Int16Array(8_000));
    const bytes = new Uint8Array(8_000);
    encodeG711(codec, samples, bytes);
    const back = new Int16Array(8_000);
    decodeG711(codec, bytes, back);
    expect(listen(back, 8_000, 1004).snrDb).toBeGreaterThan(30);
  });
});
