import { expect, test } from "vitest";
import { Reception } from "#core/rtp/reception.ts";
import { MAX_RTCP_BYTES, ntpMiddleOf, parseRtcp, type RtcpPacket, type RtcpReport, writeRtcp } from "#core/rtp/rtcp.ts";
import { RtcpSession } from "#media/leg/rtcp-session.ts";
import { newFrame } from "#media/stage/frame.ts";
import { outgoing } from "#test/unit/media/stage/support.ts";

const START = 1_795_200_000_000;

function setUp(random = 0.5) {
  const { out } = outgoing(48_000);
  const reception = new Reception();
  const sent: RtcpPacket[][] = [];
  const rtcp = new RtcpSession({
    out,
    reception,
    cname: "c",
    random: () => random,
    transmit: (packet) => sent.push(parseRtcp(Buffer.from(packet)) ?? []) > 0,
  });
  const speak = (at: number) => out.sendFrame({}, newFrame(60), 111, 960, at);
  return { out, reception, rtcp, sent, speak };
}

function compound(report: RtcpReport): Buffer {
  const bytes = Buffer.alloc(MAX_RTCP_BYTES);
  return bytes.subarray(0, writeRtcp(bytes, report));
}

test("nothing is reported before the start", () => {
  const { rtcp, sent } = setUp();
  rtcp.tick(START);
  rtcp.sayGoodbye(START);
  expect(sent).toEqual([]);
});

test("reports come about every 5 s, the first sooner, spread by chance (RFC 3550 §6.2)", () => {
  for (const [random, first, every] of [
    [0, 1_250, 2_500],
    [0.5, 2_500, 5_000],
    [0.999, 3_750, 7_500],
  ] as const) {
    const { rtcp, sent } = setUp(random);
    rtcp.start(START);
    rtcp.start(START + 1_000);
    let at = START;
    const times: number[] = [];
    for (; times.length < 3; at += 20) {
      const before = sent.length;
      rtcp.tick(at);
      if (sent.length > before) times.push(at - START);
    }
    expect(Math.abs((times[0] ?? 0) - first)).toBeLessThanOrEqual(25);
    expect(Math.abs((times[2] ?? 0) - (times[1] ?? 0) - every)).toBeLessThanOrEqual(25);
  }
});

test("who sent since the last report says so, who did not does not", () => {
  const { rtcp, sent, speak } = setUp();
  rtcp.start(START);
  speak(START);
  rtcp.tick(START + 3_000);
  rtcp.tick(START + 9_000);
  expect(sent.map(([report]) => report?.type)).toEqual(["sender_report", "receiver_report"]);
  // 3 s of a 48 kHz clock after the packet whose timestamp was 5000.
  expect(sent[0]?.[0]).toMatchObject({
    packets: 1,
    octets: 60,
    rtpTimestamp: 5_000 + 144_000,
    ntpMiddle: ntpMiddleOf(START + 3_000),
  });
  expect(sent[0]?.[1]).toEqual({ type: "source_description", ssrc: 0xabc, cname: "c" });
});

test("blocks tell what was received, and when the far end's report came", () => {
  const { rtcp, sent, reception } = setUp();
  rtcp.start(START);
  for (const sequence of [1, 2, 4]) reception.take(77, sequence, sequence * 960, sequence * 20, 70, true);
  const sender = { wallMs: START, rtpTimestamp: 0, packets: 4, octets: 240 };
  rtcp.take(compound({ ssrc: 77, cname: "far", sender }), START + 1_000);
  rtcp.tick(START + 3_000);
  expect(sent[0]?.[0]).toMatchObject({
    type: "receiver_report",
    blocks: [
      { ssrc: 77, cumulativeLost: 1, fractionLost: 64, lastSenderReport: ntpMiddleOf(START), delaySinceLast: 131_072 },
    ],
  });
});

test("the round trip comes from a block about us, and from no other", () => {
  const { rtcp } = setUp();
  const block = {
    ssrc: 0xabc,
    fractionLost: 0,
    cumulativeLost: 0,
    extendedHighestSequence: 1,
    jitter: 0,
    lastSenderReport: ntpMiddleOf(START),
    delaySinceLast: 65_536,
  };
  rtcp.take(compound({ ssrc: 77, cname: "far", block: { ...block, ssrc: 1 } }), START + 1_040);
  expect(rtcp.roundTripMs).toBeUndefined();
  rtcp.take(compound({ ssrc: 77, cname: "far", block }), START + 1_040);
  expect(rtcp.roundTripMs).toBeCloseTo(40, 0);
});

test("a goodbye of the far end ends nothing, ours is said once; garbage is counted", () => {
  const { rtcp, sent } = setUp();
  rtcp.start(START);
  rtcp.take(compound({ ssrc: 77, cname: "far", goodbye: true }), START);
  rtcp.take(Buffer.from([1, 2, 3]), START);
  rtcp.tick(START + 5_000);
  rtcp.sayGoodbye(START + 5_100);
  rtcp.sayGoodbye(START + 5_200);
  rtcp.tick(START + 60_000);
  expect(sent.map((packets) => packets.at(-1)?.type)).toEqual(["source_description", "goodbye"]);
  expect([rtcp.received, rtcp.malformed]).toEqual([1, 1]);
});
