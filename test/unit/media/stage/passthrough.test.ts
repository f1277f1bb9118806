import { describe, expect, test } from "vitest";
import { Passthrough } from "#media/stage/passthrough.ts";
import { incoming, outgoing } from "./support.ts";

/** Sends packets by their number; each is 20 ms after the one before in time and in timestamp. */
function relay(numbers: readonly number[], base = { sequence: 65_530, timestamp: 2 ** 32 - 2_000 }) {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  for (const n of numbers) {
    const sequence = (base.sequence + n) & 0xffff;
    stage.take(incoming({ sequence, timestamp: (base.timestamp + n * 960) >>> 0, at: n * 20 }));
  }
  return { sent, stage, out };
}

const rows = [
  { name: "in order, over both wraps", numbers: [0, 1, 2, 3, 4, 5, 6, 7], out: [0, 1, 2, 3, 4, 5, 6, 7], late: 0 },
  { name: "loss stays loss", numbers: [0, 1, 4, 5], out: [0, 1, 4, 5], late: 0 },
  { name: "a late packet is passed on in its place", numbers: [0, 1, 3, 2, 4], out: [0, 1, 3, 2, 4], late: 0 },
  { name: "a duplicate is not", numbers: [0, 1, 1, 2, 1], out: [0, 1, 2], late: 2 },
  { name: "a late one comes once", numbers: [0, 3, 2, 2, 1, 4], out: [0, 3, 2, 1, 4], late: 1 },
  { name: "what is older than the first has no place", numbers: [5, 4, 3, 6], out: [5, 6], late: 2 },
  { name: "too late", numbers: [0, 40, 3], out: [0, 40], late: 1 },
];

describe("passes Opus packets through", () => {
  test.each(rows)("$name", ({ numbers, out, late }) => {
    const { sent, stage } = relay(numbers);
    const first = numbers[0] ?? 0;
    expect(sent.map(({ sequence, timestamp }) => [sequence, timestamp])).toEqual(
      out.map((n) => [1_001 + n - first, 5_000 + (n - first) * 960]),
    );
    expect(stage.late).toBe(late);
    expect(new Set(sent.map(({ ssrc, payloadType }) => `${ssrc} ${payloadType}`))).toEqual(new Set([`${0xabc} 111`]));
  });
});

test("no sequence number is ever used twice, whatever comes (SRTP would reuse its key stream)", () => {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  let state = 11;
  const next = (below: number): number => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state % below;
  };
  let sequence = 0;
  for (let n = 0; n < 3_000; n += 1) {
    const jump = next(50) === 0 ? next(65_536) : next(7) - 2;
    sequence = (sequence + jump) & 0xffff;
    if (next(40) === 0) out.interrupt(stage);
    if (next(60) === 0) stage.skip((sequence + next(5)) & 0xffff);
    stage.take(
      incoming({
        sequence,
        timestamp: (n * 960 + next(3) * 960) >>> 0,
        ssrc: 1 + (next(200) === 0 ? 1 : 0),
        at: n * 20,
      }),
    );
  }
  const used = sent.map((packet) => packet.sequence);
  // 3000 packets do not wrap.
  expect(new Set(used).size).toBe(used.length);
});

test("a restart of the source, by SSRC, sequence or timestamp, goes on without a hole", () => {
  for (const jump of [{ ssrc: 99 }, { sequence: 30_000 }, { timestamp: 2_000_000_000 }, { timestamp: 0 }]) {
    const { out, sent } = outgoing();
    const stage = new Passthrough(out, 111);
    for (let n = 0; n < 3; n += 1) stage.take(incoming({ sequence: 10 + n, timestamp: 96_000 + n * 960, at: n * 20 }));
    for (let n = 3; n < 6; n += 1) {
      const sequence = (jump.sequence ?? 10) + n;
      const timestamp = (jump.timestamp ?? 96_000) + n * 960;
      stage.take(incoming({ sequence, timestamp, ssrc: jump.ssrc ?? 77, at: n * 20 }));
    }
    expect(sent.map(({ sequence }) => sequence)).toEqual([1_001, 1_002, 1_003, 1_004, 1_005, 1_006]);
    expect(sent.map(({ timestamp }) => (timestamp - 5_000) / 960)).toEqual([0, 1, 2, 3, 4, 5]);
    expect(sent.map(({ marker }) => marker)).toEqual([true, false, false, true, false, false]);
  }
});

test("a pause of the sender keeps its length (mute: sequence kept, timestamp jumps)", () => {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  stage.take(incoming({ sequence: 1, timestamp: 0, at: 0 }));
  stage.take(incoming({ sequence: 2, timestamp: 48_000, marker: true, at: 1_000 }));
  expect(sent[1]).toMatchObject({ sequence: 1_002, timestamp: 53_000, marker: true });
});

/** Timestamps of a sender with packets of 20 ms, and ours, in frames since the first. */
const dated = [
  // Asterisk's 1004 Hz on a busy machine.
  { name: "by the clock", given: [0, 2_640, 2_928, 4_944, 5_280, 6_240], frames: [0, 1, 2, 3, 4, 5] },
  { name: "by the clock, with a pause", given: [0, 1_008, 20_208, 21_168], frames: [0, 1, 21, 22] },
  {
    name: "a little late for long",
    given: [0, 1_700, 3_400, 5_100, 6_800, 8_500, 10_200, 11_160],
    frames: [0, 1, 2, 3, 4, 5, 6, 7],
  },
  { name: "later and later", given: [0, 2_000, 4_000, 6_000, 8_000, 10_000, 12_000], frames: [0, 1, 2, 3, 4, 10, 11] },
  { name: "in a clock of 8 kHz", given: [0, 160, 320, 480, 640, 800, 960, 1_120], frames: [0, 1, 2, 3, 4, 5, 6, 7] },
];

test.each(dated)("a sender that dates its packets $name is set right", ({ given, frames }) => {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  for (const [n, timestamp] of given.entries()) stage.take(incoming({ sequence: n, timestamp, at: n * 20 }));
  expect(sent.map(({ timestamp }) => (timestamp - 5_000) / 960)).toEqual(frames);
});

test("numbers that carried digits are no loss", () => {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  stage.take(incoming({ sequence: 1, timestamp: 0, at: 0 }));
  for (const sequence of [2, 3, 4]) stage.skip(sequence);
  stage.take(incoming({ sequence: 5, timestamp: 960, at: 20 }));
  expect(sent.map(({ sequence }) => sequence)).toEqual([1_001, 1_002]);
});

test("header extensions and padding of the sender stay here", () => {
  const { out, sent } = outgoing();
  const stage = new Passthrough(out, 111);
  const header = [0xb0, 96, 0, 1, 0, 0, 0, 0, 0, 0, 0, 77, 0xbe, 0xde, 0, 1, 1, 2, 3, 4];
  const view = incoming({ sequence: 0, timestamp: 0 });
  expect(view.read(Buffer.from([...header, 0x48, 7, 8, 0, 2]), 0)).toBe(true);
  stage.take(view);
  expect(sent[0]?.payload).toEqual(Buffer.from([0x48, 7, 8]));
  expect(sent[0]).toMatchObject({ payloadType: 111, sequence: 1_001, timestamp: 5_000, ssrc: 0xabc });
});
