import { RTP_HEADER_BYTES, type RtpView, writeRtpHeader } from "#core/rtp/packet.ts";
import { newFrame } from "./frame.ts";
import { FRAME_MS } from "./sink.ts";

/** Where packets leave. */
export interface PacketOut {
  /** False when the packet was not sent. It must not be changed afterwards. */
  sendRtp(packet: Buffer): boolean;
}

export interface RtpOutOptions {
  readonly ssrc: number;
  /** Random (RFC 3550 §5.1). */
  readonly sequence: number;
  readonly timestamp: number;
  readonly to: PacketOut;
}

/**
 * One outgoing RTP stream for the whole life of a leg: one SSRC, continuous sequence numbers, and timestamps that follow
 * the clock, whatever plays: silence, the other leg, digits.
 *
 * Sources take turns by just sending. The first packet of a turn lands where time is by now, but never before the end of
 * what was sent; all later ones follow their predecessor. So a source that ran ahead gives the time back at the next turn.
 */
export class RtpOut {
  readonly ssrc: number;
  packets = 0;
  bytes = 0;
  /** Payload bytes, for sender reports. */
  octets = 0;
  /** When the first and the last packet were sent, milliseconds. */
  firstAt = 0;
  sentAt = 0;
  /** Packets that were not sent because the stream was closed or a digit was being sent. */
  held = 0;

  readonly #to: PacketOut;
  #open = false;
  /** Only this source may send: that of a digit. */
  #reserved: object | undefined;
  #source: object | undefined;
  #sequence: number;
  /** Timestamp that follows what was sent, not yet cut to 32 bits. */
  #next: number;
  #lastTimestamp: number;
  #clockRate = 8_000;
  #frameUnits = 160;
  /** The timeline: this timestamp belongs to this moment. */
  #anchor: { timestamp: number; at: number } | undefined;

  constructor(options: RtpOutOptions) {
    this.ssrc = options.ssrc;
    this.#sequence = options.sequence;
    this.#next = options.timestamp;
    this.#lastTimestamp = options.timestamp;
    this.#to = options.to;
  }

  get clockRate(): number {
    return this.#clockRate;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Whether anything is sent at all. A stream that is opened again goes on where time is by then. */
  setOpen(open: boolean): void {
    this.#open = open;
    if (!open) this.#source = undefined;
  }

  setClockRate(clockRate: number): void {
    if (clockRate === this.#clockRate) return;
    this.#clockRate = clockRate;
    this.#frameUnits = (clockRate * FRAME_MS) / 1_000;
    this.#anchor = undefined;
    this.#source = undefined;
  }

  /** While reserved, packets of all other sources are held back. */
  reserve(source: object | undefined): void {
    this.#reserved = source;
  }

  /** Whether packets of this source would be sent. */
  takes(source: object): boolean {
    return this.#open && (this.#reserved === undefined || this.#reserved === source);
  }

  isTurnOf(source: object): boolean {
    return this.#source === source;
  }

  /** The turn of whoever sends is over: the next packet starts where time is. */
  interrupt(source: object): void {
    if (this.#source === source) this.#source = undefined;
  }

  /** Units of the clock by which `at` lies after the end of what was sent; negative when we are ahead. */
  lag(at: number): number {
    const anchor = this.#anchor;
    return anchor === undefined ? 0 : anchor.timestamp + ((at - anchor.at) * this.#clockRate) / 1_000 - this.#next;
  }

  /** Begins a turn. Returns the timestamp of its first packet: whole frames of 20 ms after the last. */
  #take(source: object, at: number): number {
    this.#source = source;
    if (this.#anchor === undefined) this.#anchor = { timestamp: this.#next, at };
    const frames = Math.round(this.lag(at) / this.#frameUnits);
    return this.#next + Math.max(0, frames) * this.#frameUnits;
  }

  /** Sends a frame that was made here, `units` of the clock long. */
  sendFrame(source: object, frame: Buffer, payloadType: number, units: number, at: number): void {
    if (!this.takes(source)) {
      this.held += 1;
      return;
    }
    const first = this.#source !== source;
    const timestamp = first ? this.#take(source, at) : this.#next;
    this.#sequence += 1;
    writeRtpHeader(frame, 0, first, payloadType, this.#sequence, timestamp, this.ssrc);
    this.#next = timestamp + units;
    this.#lastTimestamp = timestamp;
    this.#send(frame, frame.length - RTP_HEADER_BYTES, at);
  }

  /** The same for a payload that has no frame yet. */
  sendPayload(source: object, payload: Uint8Array, payloadType: number, units: number, at: number): void {
    const frame = newFrame(payload.length);
    frame.set(payload, RTP_HEADER_BYTES);
    this.sendFrame(source, frame, payloadType, units, at);
  }

  /**
   * Sends a received packet under a header of our own, in place: `sequenceStep` and `timestampStep` after the newest packet
   * of this turn (negative for one that was late), or as the first of a turn when `source` has no turn.
   */
  relay(
    source: object,
    packet: RtpView,
    payloadType: number,
    sequenceStep: number,
    timestampStep: number,
    units: number,
  ): void {
    let sequence: number;
    let timestamp: number;
    const first = this.#source !== source;
    if (first) {
      timestamp = this.#take(source, packet.at);
      sequence = this.#sequence + 1;
    } else {
      timestamp = this.#lastTimestamp + timestampStep;
      sequence = this.#sequence + sequenceStep;
    }
    if (first || sequenceStep > 0) {
      this.#sequence = sequence;
      this.#lastTimestamp = timestamp;
      this.#next = timestamp + units;
    }
    const start = packet.start - RTP_HEADER_BYTES;
    const { bytes, end } = packet;
    writeRtpHeader(bytes, start, first || packet.marker, payloadType, sequence, timestamp, this.ssrc);
    this.#send(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), end - packet.start, packet.at);
  }

  /** Begins a digit: all its packets carry the timestamp that is returned (RFC 4733 §2.2). */
  beginEvent(source: object, at: number): number {
    this.#lastTimestamp = this.#take(source, at);
    return this.#lastTimestamp;
  }

  sendEvent(frame: Buffer, payloadType: number, marker: boolean, timestamp: number, at: number): void {
    this.#sequence += 1;
    writeRtpHeader(frame, 0, marker, payloadType, this.#sequence, timestamp, this.ssrc);
    this.#send(frame, frame.length - RTP_HEADER_BYTES, at);
  }

  /** The digit took so many units of the clock of this stream. */
  endEvent(source: object, timestamp: number, units: number): void {
    this.#next = Math.max(this.#next, timestamp + units);
    this.interrupt(source);
  }

  #send(packet: Buffer, octets: number, at: number): void {
    if (!this.#to.sendRtp(packet)) return;
    if (this.packets === 0) this.firstAt = at;
    this.packets += 1;
    this.bytes += packet.length;
    this.octets += octets;
    this.sentAt = at;
  }

  /** The RTP timestamp of this moment, for sender reports (RFC 3550 §6.4.1). */
  timestampAt(at: number): number {
    const since = ((at - this.sentAt) * this.#clockRate) / 1_000;
    return Math.round(this.#lastTimestamp + since) % 0x1_0000_0000;
  }
}
