import type { Reception } from "#core/rtp/reception.ts";
import { MAX_RTCP_BYTES, parseRtcp, type ReportBlock, roundTripMs, writeRtcp } from "#core/rtp/rtcp.ts";
import type { RtpOut } from "#media/stage/rtp-out.ts";

/** RFC 3550 §6.2: the recommended minimum, and what two participants come to. */
const INTERVAL_MS = 5_000;

export interface RtcpOptions {
  readonly out: RtpOut;
  readonly reception: Reception;
  readonly cname: string;
  readonly transmit: (packet: Buffer) => boolean;
  /** 0 to 1. */
  readonly random: () => number;
}

/** RTCP of one leg: our reports about what we send and receive, and what the far end's reports tell. */
export class RtcpSession {
  received = 0;
  malformed = 0;
  /** By the far end's report about us. */
  roundTripMs: number | undefined;
  readonly #options: RtcpOptions;
  #dueAt: number | undefined;
  #packetsReported = 0;
  #lastSenderReport: { readonly ssrc: number; readonly ntpMiddle: number; readonly at: number } | undefined;

  constructor(options: RtcpOptions) {
    this.#options = options;
  }

  /** From now on reports are sent. The first one comes after half the interval (RFC 3550 §6.2). */
  start(at: number): void {
    this.#dueAt ??= at + this.#interval() / 2;
  }

  /** `at` in Unix milliseconds. */
  tick(at: number): void {
    if (this.#dueAt === undefined || at < this.#dueAt) return;
    this.#dueAt = at + this.#interval();
    this.#send(at, false);
  }

  /** RFC 3550 §6.6. */
  sayGoodbye(at: number): void {
    if (this.#dueAt === undefined) return;
    this.#dueAt = undefined;
    this.#send(at, true);
  }

  /** Between half and one and a half of the interval, so that reports do not fall into step (RFC 3550 §6.3.1). */
  #interval(): number {
    return INTERVAL_MS * (0.5 + this.#options.random());
  }

  #send(at: number, goodbye: boolean): void {
    const { out, cname, transmit } = this.#options;
    const bytes = Buffer.alloc(MAX_RTCP_BYTES);
    const block = this.#block(at);
    const active = out.packets > this.#packetsReported;
    this.#packetsReported = out.packets;
    const sender = { wallMs: at, rtpTimestamp: out.timestampAt(at), packets: out.packets, octets: out.octets };
    const length = writeRtcp(bytes, {
      ssrc: out.ssrc,
      cname,
      ...(active ? { sender } : {}),
      ...(block === undefined ? {} : { block }),
      goodbye,
    });
    transmit(bytes.subarray(0, length));
  }

  #block(at: number): ReportBlock | undefined {
    const report = this.#options.reception.report();
    if (report === undefined) return undefined;
    const last = this.#lastSenderReport?.ssrc === report.ssrc ? this.#lastSenderReport : undefined;
    return {
      ...report,
      lastSenderReport: last?.ntpMiddle ?? 0,
      delaySinceLast: last === undefined ? 0 : Math.round(((at - last.at) * 65_536) / 1_000),
    };
  }

  /** A compound of the far end. A BYE in it ends nothing: the call is ended by signalling. */
  take(bytes: Buffer, at: number): void {
    const packets = parseRtcp(bytes);
    if (packets === undefined) {
      this.malformed += 1;
      return;
    }
    this.received += 1;
    for (const packet of packets) {
      if (packet.type === "sender_report") {
        this.#lastSenderReport = { ssrc: packet.ssrc, ntpMiddle: packet.ntpMiddle, at };
      }
      if (packet.type !== "sender_report" && packet.type !== "receiver_report") continue;
      const about = packet.blocks.find((block) => block.ssrc === this.#options.out.ssrc);
      if (about !== undefined) this.roundTripMs = roundTripMs(about, at) ?? this.roundTripMs;
    }
  }
}
