import { createEncoder } from "libopus-wasm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listen, ToneGenerator } from "#core/audio/tone.ts";
import { decodeG711, encodeG711 } from "#core/codec/g711.ts";
import { G711ToPcm } from "#media/stage/decode-g711.ts";
import { OpusToPcm } from "#media/stage/decode-opus.ts";
import { PcmToG711, PcmToOpus } from "#media/stage/encode.ts";
import { makeDecoder, makeEncoder, type OpusDecoderHandle } from "#media/stage/opus-codec.ts";
import { Reframe } from "#media/stage/reframe.ts";
import { speech } from "#test/bench/media/speech.ts";
import { feed, incoming, outgoing, PcmRecorder } from "./support.ts";

const HZ = 400;

async function opusTone(frames: number): Promise<Uint8Array[]> {
  const encoder = await createEncoder({
    sampleRate: 8_000,
    channels: 1,
    bitrate: 24_000,
    application: 2_048,
    fec: true,
    packetLossPercent: 20,
  });
  const tone = new ToneGenerator(HZ, 8_000, 0.5);
  const packets = Array.from({ length: frames }, () => encoder.encode(tone.fill(new Int16Array(160))));
  encoder.free();
  return packets;
}

function pcmuTone(frames: number, samples = 160): Uint8Array[] {
  const tone = new ToneGenerator(HZ, 8_000, 0.5);
  return Array.from({ length: frames }, () => {
    const bytes = new Uint8Array(samples);
    encodeG711("PCMU", tone.fill(new Int16Array(samples)), bytes);
    return bytes;
  });
}

/** Signal to error of some frames against what they should be, dB. */
function ratioOf(truth: readonly Int16Array[], heard: readonly Int16Array[], frames: readonly number[]): number {
  let signal = 0;
  let error = 0;
  for (const frame of frames) {
    for (const [i, sample] of (truth[frame] ?? new Int16Array(0)).entries()) {
      signal += sample ** 2;
      error += (sample - (heard[frame]?.[i] ?? 0)) ** 2;
    }
  }
  return 10 * Math.log10(signal / error);
}

const drop = <T>(list: readonly T[], ...lost: number[]) => list.map((item, n) => (lost.includes(n) ? undefined : item));

describe("Opus to PCM", () => {
  let decoder: OpusDecoderHandle;
  let packets: Uint8Array[];
  beforeAll(async () => {
    packets = await opusTone(100);
  });

  async function decode(list: readonly (Uint8Array | undefined)[]) {
    decoder = await makeDecoder();
    const heard = new PcmRecorder();
    const stage = new OpusToPcm(decoder, heard);
    feed(stage, list, 960);
    decoder.free();
    return { stage, heard, report: listen(heard.all().subarray(1_600), 8_000, HZ) };
  }

  test("nothing lost, nothing made up", async () => {
    const { stage, heard, report } = await decode(packets);
    expect(heard.frames).toHaveLength(100);
    expect(report.snrDb).toBeGreaterThan(25);
    expect([stage.fecFrames, stage.concealedFrames, heard.interruptions]).toEqual([0, 0, 1]);
  });

  test("every tenth packet lost: it comes back out of the FEC of the next, and the tone has no hole", async () => {
    const lost = Array.from({ length: 9 }, (_, n) => 10 + n * 10);
    const { stage, heard, report } = await decode(drop(packets, ...lost));
    expect(heard.frames).toHaveLength(100);
    expect([stage.fecFrames, stage.concealedFrames]).toEqual([9, 0]);
    expect(report.longestGapMs).toBe(0);
    expect(report.snrDb).toBeGreaterThan(15);
  });

  test("what FEC brings back is nearer to the truth than concealment", async () => {
    const lost = Array.from({ length: 24 }, (_, n) => 10 + n * 10);
    const ratios: number[] = [];
    for (const fec of [true, false]) {
      const settings = {
        sampleRate: 8_000,
        channels: 1,
        bitrate: 24_000,
        application: 2_048,
        packetLossPercent: 20,
      } as const;
      const encoder = await createEncoder({ ...settings, fec });
      const spoken = speech(8_000, 250).map((frame) => encoder.encode(frame));
      encoder.free();
      const whole = (await decode(spoken)).heard.frames;
      const { heard, stage } = await decode(drop(spoken, ...lost));
      // In the pauses between syllables the encoder leaves FEC out.
      expect(stage.fecFrames).toBeGreaterThanOrEqual(fec ? 18 : 0);
      expect(stage.fecFrames + stage.concealedFrames).toBe(24);
      ratios.push(ratioOf(whole, heard.frames, lost));
    }
    const [recovered = 0, concealed = 0] = ratios;
    expect(recovered).toBeGreaterThan(concealed + 3);
    expect(recovered).toBeGreaterThan(5);
  });

  test("three in a row lost: two are concealed, the last one recovered", async () => {
    const { stage, heard } = await decode(drop(packets, 50, 51, 52));
    expect(heard.frames).toHaveLength(100);
    expect([stage.fecFrames, stage.concealedFrames]).toEqual([1, 2]);
  });

  test("more than 100 ms lost stay open", async () => {
    const { stage, heard } = await decode(drop(packets, 50, 51, 52, 53, 54, 55));
    expect(heard.frames).toHaveLength(94);
    expect([stage.fecFrames, stage.concealedFrames, heard.interruptions]).toEqual([0, 0, 2]);
  });

  test("a packet that comes late, or twice, is not played again", async () => {
    const heard = new PcmRecorder();
    decoder = await makeDecoder();
    const stage = new OpusToPcm(decoder, heard);
    for (const n of [0, 1, 3, 2, 3, 4])
      stage.take(incoming({ sequence: n, timestamp: n * 960, payload: packets[n] ?? Buffer.alloc(1) }));
    decoder.free();
    expect(heard.frames).toHaveLength(5);
    expect([stage.fecFrames, stage.follower.late]).toEqual([1, 2]);
  });

  test("garbage is counted and concealed, and the stream goes on", async () => {
    // Code 3 with a frame count of 0 (RFC 6716 §3.2.5 forbids it).
    const list = packets.map((packet, n) => (n % 5 === 4 ? Uint8Array.of(0x0b, 0x00, 1, 2) : packet));
    const { stage, heard } = await decode(list);
    expect(stage.undecodable).toBe(20);
    expect(heard.frames.length).toBeGreaterThanOrEqual(100);
  });
});

describe("G.711 to PCM", () => {
  function decode(list: readonly (Uint8Array | undefined)[], units = 160) {
    const heard = new PcmRecorder();
    const stage = new G711ToPcm("PCMU", heard);
    feed(stage, list, units);
    return { stage, heard };
  }

  test("a short hole is filled with the last sound, fading, and the time stays right", () => {
    const { stage, heard } = decode(drop(pcmuTone(20), 10, 11));
    expect(heard.frames).toHaveLength(20);
    expect(stage.concealedFrames).toBe(2);
    const power = (n: number) => (heard.frames[n] ?? new Int16Array(0)).reduce((sum, sample) => sum + sample ** 2, 0);
    expect(power(10)).toBeLessThan(power(9));
    expect(power(11)).toBeLessThan(power(10));
    expect(power(12)).toBeGreaterThan(power(11));
    expect(listen(heard.all(), 8_000, HZ).longestGapMs).toBeLessThanOrEqual(40);
  });

  test("a long hole and a pause are left open", () => {
    expect(decode(drop(pcmuTone(20), 10, 11, 12, 13)).heard).toMatchObject({ interruptions: 2 });
    const heard = new PcmRecorder();
    const stage = new G711ToPcm("PCMU", heard);
    const [one = Buffer.alloc(1)] = pcmuTone(1);
    stage.take(incoming({ sequence: 1, timestamp: 0, payload: one }));
    stage.take(incoming({ sequence: 2, timestamp: 8_000, payload: one }));
    expect([heard.frames.length, heard.interruptions, stage.concealedFrames]).toEqual([2, 2, 0]);
  });

  test("an oversized packet is refused, an empty one ignored", () => {
    const { stage, heard } = decode([Buffer.alloc(1_000), Buffer.alloc(0)]);
    expect([stage.undecodable, heard.frames.length]).toEqual([1, 0]);
  });
});

describe("frames of one length", () => {
  const rows = [
    { name: "10 ms to 20 ms", input: 80, output: 160, frames: 5 },
    { name: "30 ms to 20 ms", input: 240, output: 160, frames: 15 },
    { name: "40 ms to 20 ms", input: 320, output: 160, frames: 20 },
    { name: "20 ms to 30 ms", input: 160, output: 240, frames: 6 },
    { name: "20 ms as it is", input: 160, output: 160, frames: 10 },
  ];
  test.each(rows)("$name", ({ input, output, frames }) => {
    const heard = new PcmRecorder();
    const stage = new Reframe(output, heard);
    let value = 0;
    const all = Int16Array.from({ length: input * 10 }, () => value++);
    for (let n = 0; n < 10; n += 1) stage.take(all.subarray(n * input, (n + 1) * input), 0);
    expect(heard.frames).toHaveLength(frames);
    expect(heard.all()).toEqual(all.subarray(0, frames * output));
  });

  test("an interruption drops what was begun", () => {
    const heard = new PcmRecorder();
    const stage = new Reframe(160, heard);
    stage.take(new Int16Array(80).fill(1), 0);
    stage.interrupt();
    stage.take(new Int16Array(160).fill(2), 0);
    expect([heard.frames.length, heard.frames[0]?.[0], heard.interruptions]).toEqual([1, 2, 1]);
  });
});

describe("PCM to packets", () => {
  let samples: Int16Array;
  beforeAll(() => {
    samples = new ToneGenerator(HZ, 8_000, 0.5).fill(new Int16Array(160));
  });
  afterAll(() => samples.fill(0));

  test("Opus: 20 ms, one sequence number and 960 units each", async () => {
    const { out, sent } = outgoing(48_000);
    const encoder = await makeEncoder(5);
    const stage = new PcmToOpus(encoder, out, 111);
    for (let n = 0; n < 50; n += 1) stage.take(samples, n * 20);
    const bytes = sent.reduce((sum, { payload }) => sum + payload.length, 0);
    encoder.free();
    expect(sent.map(({ timestamp }) => timestamp)).toEqual(Array.from({ length: 50 }, (_, n) => 5_000 + n * 960));
    // 20 kbit/s are 50 bytes a packet; never DTX, whose packets have at most two.
    expect(bytes / 50).toBeGreaterThan(25);
    expect(bytes / 50).toBeLessThan(75);
    expect(Math.min(...sent.map(({ payload }) => payload.length))).toBeGreaterThan(2);
  });

  test("silence is encoded as such, not left out", async () => {
    const { out, sent } = outgoing(48_000);
    const encoder = await makeEncoder(5);
    const stage = new PcmToOpus(encoder, out, 111);
    for (let n = 0; n < 100; n += 1) stage.take(new Int16Array(160), n * 20);
    encoder.free();
    expect(sent).toHaveLength(100);
    expect(Math.min(...sent.map(({ payload }) => payload.length))).toBeGreaterThan(2);
  });

  test("G.711: as many bytes as samples, heard as they were", () => {
    const { out, sent } = outgoing(8_000);
    const stage = new PcmToG711("PCMA", out, 8);
    stage.take(samples, 0);
    stage.take(samples.subarray(0, 80), 20);
    expect(sent.map(({ payload, timestamp }) => [payload.length, timestamp])).toEqual([
      [160, 5_000],
      [80, 5_160],
    ]);
    const back = new Int16Array(160);
    decodeG711("PCMA", sent[0]?.payload ?? Buffer.alloc(0), back);
    expect(Math.abs(listen(back, 8_000, HZ).hz - HZ)).toBeLessThanOrEqual(2);
  });

  test("while somebody else has the stream nothing is encoded", async () => {
    const { out, sent } = outgoing(48_000);
    out.reserve({});
    const encoder = await makeEncoder(5);
    new PcmToOpus(encoder, out, 111).take(samples, 0);
    encoder.free();
    expect([sent.length, out.held]).toEqual([0, 1]);
  });
});
