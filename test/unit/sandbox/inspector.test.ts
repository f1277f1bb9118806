import { beforeEach, describe, expect, test } from "vitest";
import { Inspector } from "#sandbox/relay/inspector.ts";
import { buildRtp, DIGITS_PT, digitPayload, OPUS_PT, type RtpPacket, readRtp } from "#sandbox/relay/rtp.ts";

/** Opus SILK wideband, 20 ms and one frame: TOC 0x48. */
const frame = Buffer.from([0x48, 0xff, 0xfe]);

let broken: string[];
let inspector: Inspector;
let sequence: number;
let timestamp: number;

beforeEach(() => {
  broken = [];
  inspector = new Inspector((rule, text) => broken.push(`${rule}: ${text}`));
  sequence = 65_530;
  timestamp = 2 ** 32 - 3_000;
});

interface Change {
  readonly payloadType?: number;
  readonly ssrc?: number;
  readonly payload?: Buffer;
  readonly steps?: number;
  readonly ticks?: number;
  readonly marker?: boolean;
}

function packet(change: Change = {}): RtpPacket {
  const { payloadType = OPUS_PT, ssrc = 7, payload = frame, steps = 1, ticks = 960, marker = false } = change;
  sequence = (sequence + steps) & 0xffff;
  timestamp = (timestamp + ticks) >>> 0;
  const read = readRtp(buildRtp({ payloadType, marker, sequence, timestamp, ssrc }, payload));
  if (read === undefined) throw new Error("the test made no RTP");
  return read;
}

const take = (change: Change = {}, accepted = true): boolean => inspector.take(packet(change), accepted);

describe("the relay finds nothing wrong with", () => {
  test("a steady stream over the wrap of sequence and timestamp", () => {
    for (let i = 0; i < 20; i += 1) expect(take()).toBe(true);
    expect(broken).toEqual([]);
    expect({ packets: inspector.packets, lost: inspector.lost }).toEqual({ packets: 20, lost: 0 });
  });

  test("packets that are lost or overtaken, when the timestamps tell the same story", () => {
    take();
    take({ steps: 4, ticks: 4 * 960 });
    take({ steps: -2, ticks: -2 * 960 });
    expect(broken).toEqual([]);
    expect(inspector.lost).toBe(2);
  });

  test("a short pause of whole frames: the sequence stays, the timestamp goes on", () => {
    take();
    take({ ticks: 11 * 960 });
    take();
    expect(broken).toEqual([]);
  });

  test("M12: a digit in the same sequence of packets, and audio after it", () => {
    take();
    take({ payloadType: DIGITS_PT, marker: true, payload: digitPayload("5", false, 160) });
    for (let i = 2; i < 6; i += 1)
      take({ payloadType: DIGITS_PT, ticks: 0, payload: digitPayload("5", false, 160 * i) });
    for (let i = 0; i < 3; i += 1) take({ payloadType: DIGITS_PT, ticks: 0, payload: digitPayload("5", true, 960) });
    take({ ticks: 6 * 960 });
    take();
    expect(broken).toEqual([]);
    expect(inspector.digits).toBe("5");
  });
});

describe("the relay notes", () => {
  test("M8: a packet before the 200 of accept, and lets it through", () => {
    expect(take({}, false)).toBe(true);
    expect(broken).toEqual([expect.stringMatching(/^M8: /)]);
  });

  test("M9: a second SSRC, whose packets are dropped", () => {
    take();
    expect(take({ ssrc: 8 })).toBe(false);
    expect(broken).toEqual([expect.stringMatching(/^M9: .*8\) beside 7/)]);
    expect(inspector.packets).toBe(1);
  });

  test.each<readonly [string, Change]>([
    ["40 ms in a packet", { payload: Buffer.from([0x49, 0, 0]) }],
    ["10 ms in a packet", { payload: Buffer.from([0x40, 0]) }],
    ["an empty packet", { payload: Buffer.alloc(0) }],
    ["a timestamp of another clock", { ticks: 160 }],
    ["a timestamp that stands still", { ticks: 0 }],
    ["a silence of more than 200 ms that nobody filled", { ticks: 12 * 960 }],
    ["a timestamp that goes back", { ticks: -960 }],
    ["G.711", { payloadType: 0, payload: Buffer.alloc(160) }],
  ])("M11: %s", (_name, change) => {
    take();
    take(change);
    expect(broken).toEqual([expect.stringMatching(/^M11: /)]);
  });

  test("M12: a digit without marker, and one with a single end", () => {
    take({ payloadType: DIGITS_PT, payload: digitPayload("1", true, 800) });
    take();
    expect(broken).toEqual([expect.stringMatching(/^M12: .*marker/), expect.stringMatching(/^M12: .*1 packets/)]);
  });

  test("the same breach five times and no more", () => {
    for (let i = 0; i < 20; i += 1) take({ ssrc: i === 0 ? 7 : 8 });
    expect(broken).toHaveLength(5);
  });
});

test("what is no RTP is read as nothing", () => {
  for (const bytes of ["", "80", "00".repeat(12), `bf6f${"00".repeat(10)}`, `90${"00".repeat(13)}ffff`]) {
    expect(readRtp(Buffer.from(bytes, "hex"))).toBeUndefined();
  }
});
