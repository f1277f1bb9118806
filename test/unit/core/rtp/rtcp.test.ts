import { expect, test } from "vitest";
import {
  MAX_RTCP_BYTES,
  ntpMiddleOf,
  parseRtcp,
  type ReportBlock,
  type RtcpReport,
  roundTripMs,
  writeRtcp,
} from "#core/rtp/rtcp.ts";

const NOW = 1_795_200_000_250;

const block: ReportBlock = {
  ssrc: 0xaabbccdd,
  fractionLost: 12,
  cumulativeLost: -3,
  extendedHighestSequence: 0x1_0203,
  jitter: 77,
  lastSenderReport: 0x1111_2222,
  delaySinceLast: 65_536,
};

function write(report: RtcpReport): Buffer {
  const bytes = Buffer.alloc(MAX_RTCP_BYTES, 0xee);
  return bytes.subarray(0, writeRtcp(bytes, report));
}

test("a sender report with a block, a description and a goodbye are read back", () => {
  const sender = { wallMs: NOW, rtpTimestamp: 0xffff_fff0, packets: 10, octets: 1_000 };
  const packets = parseRtcp(write({ ssrc: 7, cname: "ponte", sender, block, goodbye: true }));
  expect(packets).toEqual([
    {
      type: "sender_report",
      ssrc: 7,
      ntpMiddle: ntpMiddleOf(NOW),
      rtpTimestamp: 0xffff_fff0,
      packets: 10,
      octets: 1_000,
      blocks: [block],
    },
    { type: "source_description", ssrc: 7, cname: "ponte" },
    { type: "goodbye", ssrcs: [7] },
  ]);
});

test("without anything sent or received it is an empty receiver report", () => {
  const bytes = write({ ssrc: 7, cname: "x" });
  expect(bytes.readUInt8(1)).toBe(201);
  expect(parseRtcp(bytes)).toEqual([
    { type: "receiver_report", ssrc: 7, blocks: [] },
    { type: "source_description", ssrc: 7, cname: "x" },
  ]);
});

test.each(["a", "ab", "abc", "abcd", "a".repeat(255), "b".repeat(300)])(
  "a CNAME of any length is padded to words",
  (cname) => {
    const bytes = write({ ssrc: 7, cname });
    expect(bytes.length % 4).toBe(0);
    expect(parseRtcp(bytes)?.[1]).toEqual({ type: "source_description", ssrc: 7, cname: cname.slice(0, 255) });
  },
);

/** Header of one packet: flags and count, type, length in words minus one. */
const head = (first: number, type: number, words: number, ...rest: number[]) =>
  Buffer.from([first, type, 0, words, ...rest]);

const broken = [
  { name: "nothing", bytes: Buffer.alloc(0) },
  { name: "half a header", bytes: Buffer.from([0x80, 201]) },
  { name: "version 1", bytes: head(0x40, 201, 1, 0, 0, 0, 7) },
  { name: "longer than the datagram", bytes: head(0x80, 201, 9, 0, 0, 0, 7) },
  { name: "more blocks than bytes", bytes: head(0x9f, 201, 1, 0, 0, 0, 7) },
  { name: "a sender report without its body", bytes: head(0x80, 200, 1, 0, 0, 0, 7) },
  {
    name: "padding in the middle",
    bytes: Buffer.concat([head(0xa0, 201, 2, 0, 0, 0, 7, 0, 0, 0, 4), head(0x80, 201, 1, 0, 0, 0, 7)]),
  },
  { name: "padding longer than the packet", bytes: head(0xa0, 201, 1, 0, 0, 0, 200) },
  { name: "an item beyond its packet", bytes: head(0x81, 202, 2, 0, 0, 0, 7, 1, 50, 65, 65) },
  {
    name: "garbage after a good packet",
    bytes: Buffer.concat([head(0x80, 201, 1, 0, 0, 0, 7), Buffer.from([1, 2, 3])]),
  },
  { name: "too many packets", bytes: Buffer.concat(Array.from({ length: 40 }, () => head(0x80, 201, 1, 0, 0, 0, 7))) },
];

test.each(broken)("refuses the whole compound (RFC 3550 §A.2): $name", ({ bytes }) => {
  expect(parseRtcp(bytes)).toBeUndefined();
});

test("feedback and other packets are passed over", () => {
  const bytes = Buffer.concat([head(0x8f, 205, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3), head(0x80, 201, 1, 0, 0, 0, 7)]);
  expect(parseRtcp(bytes)?.map(({ type }) => type)).toEqual(["other", "receiver_report"]);
});

test("the round trip comes from LSR and DLSR (RFC 3550 §6.4.1)", () => {
  const sentAt = NOW;
  const answer = { ...block, lastSenderReport: ntpMiddleOf(sentAt), delaySinceLast: 2 * 65_536 };
  expect(roundTripMs(answer, sentAt + 2_080)).toBeCloseTo(80, 0);
  expect(roundTripMs({ ...answer, lastSenderReport: 0 }, NOW)).toBeUndefined();
  // It would have answered before it was asked.
  expect(roundTripMs(answer, sentAt + 1_000)).toBeUndefined();
});

test("mutated reports never throw", () => {
  const bytes = write({
    ssrc: 7,
    cname: "ponte",
    sender: { wallMs: NOW, rtpTimestamp: 1, packets: 2, octets: 3 },
    block,
  });
  let state = 42;
  for (let n = 0; n < 5_000; n += 1) {
    const copy = Buffer.from(bytes);
    for (let i = 0; i < 3; i += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      copy[state % copy.length] = state >>> 24;
    }
    parseRtcp(copy.subarray(0, copy.length - (state % 5)));
  }
});
