import { createSocket, type Socket } from "node:dgram";
import { ToneGenerator } from "#core/audio/tone.ts";
import { encodeG711, PCMA_SILENCE, PCMU_SILENCE } from "#core/codec/g711.ts";
import { DigitReceiver } from "#core/rtp/digit-receiver.ts";
import { DigitSender } from "#core/rtp/digit-sender.ts";
import { RTP_HEADER_BYTES, RtpView, writeRtpHeader } from "#core/rtp/packet.ts";
import { EVENT_BYTES, eventOfKey, keyOfEvent, readEvent, writeEvent } from "#core/rtp/telephone-event.ts";
import type { SipMedia } from "#core/sdp/session.ts";
import type { Clock } from "./pbx-call.ts";

const PACKET_MS = 20;
const SAMPLE_RATE = 8_000;
const SAMPLES = (SAMPLE_RATE * PACKET_MS) / 1_000;

/** A sender that is further behind than this skips what it missed instead of sending a burst. */
const MAX_BEHIND_MS = 200;

/** No audio packet is longer. */
const MAX_PACKET_BYTES = 1_500;

/** What the far end hears. */
export type Source =
  | { readonly type: "nothing" }
  | { readonly type: "silence" }
  | { readonly type: "echo" }
  | { readonly type: "tone"; readonly hz: number };

export interface RtpCounters {
  readonly packetsIn: number;
  readonly packetsOut: number;
}

/** One end of a plain RTP session, as a simple PBX has it: G.711, tones, echo and digits. */
export class RtpEndpoint {
  readonly #clock: Clock;
  readonly #socket: Socket;
  readonly #onDigit: (digit: string) => void;
  readonly #packet = Buffer.alloc(MAX_PACKET_BYTES);
  readonly #view = new RtpView();
  readonly #samples = new Int16Array(SAMPLES);
  readonly #digitsIn: DigitReceiver;
  readonly #digitsOut: DigitSender;
  readonly #ssrc: number;
  #far: SipMedia | undefined;
  #source: Source = { type: "nothing" };
  #tone: ToneGenerator | undefined;
  #sequence: number;
  #timestamp: number;
  #digitTimestamp = 0;
  /** Added to an incoming timestamp, it gives that of the echo; set anew by the first packet of an echo. */
  #echoOffset: number | undefined;
  #marker = true;
  #dueAt = 0;
  #cancelTick: () => void = () => undefined;
  #packetsIn = 0;
  #packetsOut = 0;
  #closed = false;

  /** @param random 12 random bytes for SSRC, sequence and timestamp (RFC 3550 §5.1). */
  constructor(clock: Clock, socket: Socket, random: Buffer, onDigit: (digit: string) => void) {
    this.#clock = clock;
    this.#socket = socket;
    this.#onDigit = onDigit;
    this.#ssrc = random.readUInt32BE(0);
    this.#timestamp = random.readUInt32BE(4);
    this.#sequence = random.readUInt16BE(8);
    this.#digitsIn = new DigitReceiver(SAMPLE_RATE, {
      onStart: () => undefined,
      onEnd: (event) => this.#onDigit(keyOfEvent(event) ?? ""),
    });
    this.#digitsOut = new DigitSender(SAMPLE_RATE, {
      begin: () => {
        this.#digitTimestamp = this.#timestamp;
      },
      packet: (event, end, volume, duration, marker) => {
        if (this.#far?.digits === undefined) return;
        writeEvent(this.#packet, RTP_HEADER_BYTES, { event, end, volume, duration });
        this.#send(marker, this.#far.digits.payloadType, this.#digitTimestamp, EVENT_BYTES);
      },
      done: () => undefined,
    });
    socket.on("message", (bytes) => this.#received(bytes));
    // A far end that has closed its port is no reason to stop.
    socket.on("error", () => undefined);
  }

  /** Opens a port of its own on `address`. */
  static async open(
    clock: Clock,
    address: string,
    random: Buffer,
    onDigit: (digit: string) => void,
  ): Promise<RtpEndpoint> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.bind(0, address, () => {
        socket.off("error", reject);
        resolve();
      });
    });
    return new RtpEndpoint(clock, socket, random, onDigit);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  counters(): RtpCounters {
    return { packetsIn: this.#packetsIn, packetsOut: this.#packetsOut };
  }

  /** Where packets go and what they look like. */
  setFar(far: SipMedia): void {
    this.#far = far;
    this.#digitsIn.setClockRate(far.digits?.clockRate ?? SAMPLE_RATE);
    this.#digitsOut.setClockRate(far.digits?.clockRate ?? SAMPLE_RATE);
  }

  play(source: Source): void {
    this.#source = source;
    this.#tone = source.type === "tone" ? new ToneGenerator(source.hz, SAMPLE_RATE, 0.4) : undefined;
    this.#echoOffset = undefined;
    this.#marker = true;
    this.#cancelTick();
    this.#dueAt = this.#clock.now();
    this.#tick();
  }

  /** Sends one key as telephone-event. */
  press(digit: string, durationMs: number): void {
    const event = eventOfKey(digit);
    if (event !== undefined) this.#digitsOut.press(event, durationMs, this.#clock.now());
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#cancelTick();
    this.#socket.close();
  }

  /** Every 20 ms by the clock, not 20 ms after the last time: errors do not add up. */
  #tick(): void {
    if (this.#closed) return;
    const now = this.#clock.now();
    if (now - this.#dueAt > MAX_BEHIND_MS) this.#dueAt = now;
    this.#digitsIn.tick(now);
    if (this.#digitsOut.active) this.#digitsOut.poll(now);
    else this.#sendAudio();
    if (this.#source.type !== "echo") this.#timestamp += SAMPLES;
    this.#dueAt += PACKET_MS;
    this.#cancelTick = this.#clock.after(Math.max(0, this.#dueAt - now), () => this.#tick());
  }

  #sendAudio(): void {
    const far = this.#far;
    if (far === undefined || this.#source.type === "nothing" || this.#source.type === "echo") return;
    const { codec, payloadType } = far.audio;
    if (codec === "opus") return;
    const payload = this.#packet.subarray(RTP_HEADER_BYTES, RTP_HEADER_BYTES + SAMPLES);
    if (this.#tone === undefined) payload.fill(codec === "PCMU" ? PCMU_SILENCE : PCMA_SILENCE);
    else encodeG711(codec, this.#tone.fill(this.#samples), payload);
    this.#send(this.#marker, payloadType, this.#timestamp, SAMPLES);
    this.#marker = false;
  }

  #received(bytes: Buffer): void {
    const now = this.#clock.now();
    const far = this.#far;
    if (this.#closed || far === undefined || !this.#view.read(bytes, now)) return;
    const { payloadType, timestamp, marker, start, end } = this.#view;
    const isDigit = payloadType === far.digits?.payloadType;
    if (!isDigit && payloadType !== far.audio.payloadType) return;
    this.#packetsIn += 1;
    if (isDigit) {
      const event = readEvent(bytes, start, end);
      if (event !== undefined) this.#digitsIn.take(event, timestamp, marker, now);
    }
    if (this.#source.type !== "echo" || end - start > MAX_PACKET_BYTES - RTP_HEADER_BYTES) return;
    this.#echoOffset ??= this.#timestamp - timestamp;
    this.#timestamp = timestamp + this.#echoOffset;
    bytes.copy(this.#packet, RTP_HEADER_BYTES, start, end);
    this.#send(marker, payloadType, this.#timestamp, end - start);
  }

  #send(marker: boolean, payloadType: number, timestamp: number, payloadBytes: number): void {
    const far = this.#far;
    if (this.#closed || far === undefined || far.port === 0) return;
    if (far.direction === "sendonly" || far.direction === "inactive") return;
    this.#sequence = (this.#sequence + 1) & 0xffff;
    writeRtpHeader(this.#packet, 0, marker, payloadType, this.#sequence, timestamp, this.#ssrc);
    this.#packetsOut += 1;
    // A copy, because the kernel may take it later than we fill the next one.
    const datagram = Buffer.from(this.#packet.subarray(0, RTP_HEADER_BYTES + payloadBytes));
    this.#socket.send(datagram, far.port, far.address, () => undefined);
  }
}
