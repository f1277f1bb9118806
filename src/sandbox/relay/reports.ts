import { MAX_RTCP_BYTES, parseRtcp, type ReportBlock, writeRtcp } from "#core/rtp/rtcp.ts";
import type { Inspector } from "./inspector.ts";
import { type RtpPacket, readRtp, timestampDistance } from "./rtp.ts";

/** The relay's own RTCP towards the business: sender and receiver reports of one call (RFC 3550 §6.4). */
export class Reports {
  readonly #ssrc: number;
  readonly #inspector: Inspector;
  readonly #buffer = Buffer.alloc(MAX_RTCP_BYTES);
  #packets = 0;
  #octets = 0;
  #lastSent: { readonly timestamp: number; readonly at: number } | undefined;
  #jitter = 0;
  #lastTransit: number | undefined;
  #senderReport: { readonly middle: number; readonly at: number } | undefined;
  #expectedBefore = 0;
  #receivedBefore = 0;

  constructor(ssrc: number, inspector: Inspector) {
    this.#ssrc = ssrc;
    this.#inspector = inspector;
  }

  sent(packet: Buffer, now: number): void {
    this.#packets += 1;
    this.#octets += packet.length - 12;
    const rtp = readRtp(packet);
    if (rtp !== undefined) this.#lastSent = { timestamp: rtp.timestamp, at: now };
  }

  /** Interarrival jitter (RFC 3550 §A.8), in ticks of 48 kHz. */
  received(rtp: RtpPacket, now: number): void {
    const arrival = Math.round((now * 48) % 2 ** 32) | 0;
    const transit = timestampDistance(arrival, rtp.timestamp);
    const before = this.#lastTransit;
    this.#lastTransit = transit;
    if (before !== undefined) this.#jitter += (Math.abs(timestampDistance(transit, before)) - this.#jitter) / 16;
  }

  heard(compound: Buffer, now: number): void {
    for (const packet of parseRtcp(compound) ?? []) {
      if (packet.type === "sender_report") this.#senderReport = { middle: packet.ntpMiddle, at: now };
    }
  }

  /** undefined while there is nothing to tell. Valid until the next one. */
  compound(now: number): Buffer | undefined {
    const block = this.#block(now);
    const sent = this.#lastSent;
    if (block === undefined && sent === undefined) return undefined;
    const sender = sent && {
      wallMs: now,
      rtpTimestamp: sent.timestamp + Math.round((now - sent.at) * 48),
      packets: this.#packets,
      octets: this.#octets,
    };
    const length = writeRtcp(this.#buffer, {
      ssrc: this.#ssrc,
      cname: "WhatsAppAudioStream1",
      ...(sender === undefined ? {} : { sender }),
      ...(block === undefined ? {} : { block }),
    });
    return this.#buffer.subarray(0, length);
  }

  #block(now: number): ReportBlock | undefined {
    const { ssrc, lost, packets, extendedHighest } = this.#inspector;
    if (ssrc === undefined) return undefined;
    const expected = packets + lost;
    const expectedNow = expected - this.#expectedBefore;
    const lostNow = expectedNow - (packets - this.#receivedBefore);
    this.#expectedBefore = expected;
    this.#receivedBefore = packets;
    const report = this.#senderReport;
    return {
      ssrc,
      fractionLost: expectedNow <= 0 || lostNow <= 0 ? 0 : Math.min(255, Math.floor((lostNow * 256) / expectedNow)),
      cumulativeLost: lost,
      extendedHighestSequence: extendedHighest >>> 0,
      jitter: Math.round(this.#jitter),
      lastSenderReport: report?.middle ?? 0,
      delaySinceLast: report === undefined ? 0 : Math.round(((now - report.at) * 65_536) / 1000),
    };
  }
}
