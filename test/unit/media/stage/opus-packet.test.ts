import { createEncoder } from "libopus-wasm";
import { expect, test } from "vitest";
import { ToneGenerator } from "#core/audio/tone.ts";
import { hasFec, opusUnits } from "#media/stage/opus-packet.ts";

const rows = [
  { name: "SILK narrowband 20 ms", bytes: [1 << 3], units: 960 },
  { name: "SILK wideband 60 ms", bytes: [11 << 3], units: 2_880 },
  { name: "hybrid 10 ms", bytes: [12 << 3], units: 480 },
  { name: "CELT 2.5 ms", bytes: [16 << 3], units: 120 },
  { name: "CELT 20 ms", bytes: [0xf8, 0xff, 0xfe], units: 960 },
  { name: "two frames of 20 ms", bytes: [(1 << 3) | 1], units: 1_920 },
  { name: "three frames of 20 ms, counted", bytes: [(1 << 3) | 3, 3], units: 2_880 },
  { name: "more than 120 ms is not Opus", bytes: [(11 << 3) | 3, 48], units: 960 },
  { name: "nothing", bytes: [], units: 960 },
];

test.each(rows)("length of a packet by its TOC (RFC 6716 §3.1): $name", ({ bytes, units }) => {
  const packet = Uint8Array.from([9, 9, ...bytes]);
  expect(opusUnits(packet, 2, packet.length)).toBe(units);
});

test("FEC is seen where the encoder put it, and nowhere else", async () => {
  for (const fec of [true, false]) {
    const encoder = await createEncoder({
      sampleRate: 16_000,
      channels: 1,
      bitrate: 24_000,
      application: 2_048,
      fec,
      packetLossPercent: 30,
    });
    const tone = new ToneGenerator(300, 16_000, 0.5);
    const packets = Array.from({ length: 20 }, () => encoder.encode(tone.fill(new Int16Array(320))));
    encoder.free();
    const withFec = packets.filter((packet) => hasFec(packet, 0, packet.length)).length;
    if (fec) expect(withFec).toBeGreaterThan(15);
    else expect(withFec).toBe(0);
  }
  expect(hasFec(Uint8Array.of(0xf8, 0xff, 0xfe), 0, 3)).toBe(false);
});
