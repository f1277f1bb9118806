import { createSocket, type RemoteInfo, type Socket } from "node:dgram";
import { once } from "node:events";
import { createDecoder, createEncoder, type OpusEncoderHandle } from "libopus-wasm";
import { listen, ToneGenerator, type ToneReport } from "#core/audio/tone.ts";
import type { Side } from "#core/call/call.ts";
import type { EvidenceStep, SilenceFindings } from "#core/call/evidence.ts";
import { decodeG711, encodeG711 } from "#core/codec/g711.ts";
import { RtpView, writeRtpHeader } from "#core/rtp/packet.ts";
import { readEvent, writeEvent } from "#core/rtp/telephone-event.ts";
import type { AudioFormat, DigitFormat, SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import type { MediaEvents, MediaFailure } from "#engine/ports.ts";
import { MediaPlane, type MediaPlaneOptions } from "#media/plane/media-plane.ts";
import type { SecureSession, SecureSessionEvents } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import { Wheel } from "#media/worker/wheel.ts";
import { quietLog } from "#test/support/quiet-log.ts";

export const LOOPBACK = "127.0.0.1";
export const OPUS: AudioFormat = { codec: "opus", payloadType: 111, clockRate: 48_000 };
export const OPUS_OF_PBX: AudioFormat = { codec: "opus", payloadType: 107, clockRate: 48_000 };
export const PCMU: AudioFormat = { codec: "PCMU", payloadType: 0, clockRate: 8_000 };
export const PCMA: AudioFormat = { codec: "PCMA", payloadType: 8, clockRate: 8_000 };
export const WHATSAPP_DIGITS: DigitFormat = { payloadType: 126, clockRate: 8_000 };
export const PBX_DIGITS: DigitFormat = { payloadType: 101, clockRate: 8_000 };

/** Resolves when `condition` holds; rejects with its name when it does not within `withinMs`. */
export async function until(condition: () => boolean, what: string, withinMs = 8_000): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What came of one media call. */
export class Story implements MediaEvents {
  readonly evidence: { readonly step: EvidenceStep; readonly at: number }[] = [];
  readonly digits: string[] = [];
  readonly digitDurations: number[] = [];
  readonly checks: { readonly afterMs: number; readonly findings: SilenceFindings }[] = [];
  readonly failures: { readonly failure: MediaFailure; readonly detail: string }[] = [];
  connected = false;

  onConnected(): void {
    this.connected = true;
  }
  onFailed(failure: MediaFailure, detail: string): void {
    this.failures.push({ failure, detail });
  }
  onEvidence(step: EvidenceStep, at: number): void {
    this.evidence.push({ step, at });
  }
  onSilenceCheck(afterMs: number, findings: SilenceFindings): void {
    this.checks.push({ afterMs, findings });
  }
  onDigit(side: Side, digit: string, durationMs: number): void {
    this.digits.push(`${side}${digit}`);
    this.digitDurations.push(durationMs);
  }
  steps(): EvidenceStep[] {
    return this.evidence.map(({ step }) => step);
  }
}

export interface Heard {
  readonly payloadType: number;
  readonly marker: boolean;
  readonly sequence: number;
  readonly timestamp: number;
  readonly ssrc: number;
  readonly payload: Buffer;
  readonly at: number;
}

/** Reads RTP, and plays it as 8 kHz PCM in the order of arrival. */
export class Ear {
  readonly packets: Heard[] = [];
  readonly #view = new RtpView();

  take(packet: Buffer): void {
    const view = this.#view;
    if (!view.read(packet, performance.now())) throw new Error("not RTP");
    const { payloadType, marker, sequence, timestamp, ssrc, start, end, at } = view;
    this.packets.push({
      payloadType,
      marker,
      sequence,
      timestamp,
      ssrc,
      at,
      payload: Buffer.from(packet.subarray(start, end)),
    });
  }

  of(payloadType: number, from = 0): Heard[] {
    return this.packets.slice(from).filter((packet) => packet.payloadType === payloadType);
  }

  async listen(format: AudioFormat, hz: number, from = 0): Promise<ToneReport> {
    const samples = await decodeAll(format, this.of(format.payloadType, from));
    return listen(samples, 8_000, hz);
  }
}

async function decodeAll(format: AudioFormat, packets: readonly Heard[]): Promise<Int16Array> {
  const parts: Int16Array[] = [];
  const codec = format.codec;
  if (codec === "opus") {
    const decoder = await createDecoder({ sampleRate: 8_000, channels: 1 });
    for (const { payload } of packets) parts.push(decoder.decode(payload));
    decoder.free();
  } else {
    for (const { payload } of packets) {
      const samples = new Int16Array(payload.length);
      decodeG711(codec, payload, samples);
      parts.push(samples);
    }
  }
  const all = new Int16Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** Speaks a tone, one packet for each call of `packet`. */
export class Mouth {
  readonly #format: AudioFormat;
  readonly #tone: ToneGenerator;
  readonly #encoder: OpusEncoderHandle | undefined;
  readonly #samples: Int16Array;
  readonly ssrc: number;
  sequence = 100;
  timestamp = 5_000;

  constructor(format: AudioFormat, hz: number, encoder: OpusEncoderHandle | undefined, ptimeMs: number, ssrc: number) {
    this.#format = format;
    this.#tone = new ToneGenerator(hz, 8_000, 0.4);
    this.#encoder = encoder;
    this.#samples = new Int16Array(ptimeMs * 8);
    this.ssrc = ssrc;
  }

  packet(): Buffer {
    const samples = this.#tone.fill(this.#samples);
    const { codec, payloadType, clockRate } = this.#format;
    let payload: Uint8Array;
    if (codec === "opus") payload = this.#encoder?.encode(samples) ?? new Uint8Array(0);
    else {
      payload = new Uint8Array(samples.length);
      encodeG711(codec, samples, payload);
    }
    const packet = Buffer.alloc(12 + payload.length);
    packet.set(payload, 12);
    writeRtpHeader(packet, 0, false, payloadType, this.sequence, this.timestamp, this.ssrc);
    this.sequence += 1;
    this.timestamp += (samples.length * clockRate) / 8_000;
    return packet;
  }

  /** All packets of one digit: three updates, three ends; the sequence goes on. */
  digit(event: number, format: DigitFormat, durationMs: number): Buffer[] {
    const timestamp = this.timestamp;
    const units = (ms: number) => (ms * format.clockRate) / 1_000;
    const shape = [0.3, 0.6, 0.9, 1, 1, 1].map((share, index) => ({
      duration: units(durationMs * share),
      end: index > 2,
    }));
    this.timestamp += (durationMs * this.#format.clockRate) / 1_000;
    return shape.map(({ duration, end }, index) => {
      const packet = Buffer.alloc(16);
      writeRtpHeader(packet, 0, index === 0, format.payloadType, this.sequence++, timestamp, this.ssrc);
      writeEvent(packet, 12, { event, end, volume: 10, duration });
      return packet;
    });
  }
}

/** A PBX's media: two UDP sockets. */
export class Pbx {
  readonly ear = new Ear();
  readonly rtcp: Buffer[] = [];
  lastFrom: RemoteInfo | undefined;
  readonly #rtp: Socket;
  readonly #rtcp: Socket;
  target: { address: string; port: number } | undefined;

  constructor(family: "udp4" | "udp6" = "udp4") {
    this.#rtp = createSocket(family);
    this.#rtcp = createSocket(family);
    this.#rtp.on("message", (packet, from) => {
      this.lastFrom = from;
      this.ear.take(packet);
    });
    this.#rtcp.on("message", (packet) => this.rtcp.push(Buffer.from(packet)));
  }

  async start(address = LOOPBACK): Promise<void> {
    for (const socket of [this.#rtp, this.#rtcp]) {
      socket.bind(0, address);
      await once(socket, "listening");
    }
  }

  describe(audio: AudioFormat, more: Partial<SipMedia> = {}): SipMedia {
    return {
      address: this.#rtp.address().address,
      port: this.#rtp.address().port,
      rtcpPort: this.#rtcp.address().port,
      audio,
      digits: PBX_DIGITS,
      direction: "sendrecv",
      ptimeMs: 20,
      ...more,
    };
  }

  send(packet: Buffer): void {
    const { target } = this;
    if (target) this.#rtp.send(packet, target.port, target.address);
  }

  sendRtcp(packet: Buffer): void {
    const { target } = this;
    if (target) this.#rtcp.send(packet, target.port + 1, target.address);
  }

  async stop(): Promise<void> {
    for (const socket of [this.#rtp, this.#rtcp]) {
      const closed = once(socket, "close");
      socket.close();
      await closed;
    }
  }
}

/** WhatsApp's relay: ice-lite, DTLS server. */
export class Relay implements SecureSessionEvents {
  readonly ear = new Ear();
  readonly rtcp: Buffer[] = [];
  readonly port: PublicPort;
  readonly session: SecureSession;
  connected = false;
  failed: string | undefined;

  constructor(port: PublicPort) {
    this.port = port;
    this.session = port.open({ mode: "lite", events: this });
  }

  offer(digits: DigitFormat | undefined = WHATSAPP_DIGITS): WhatsAppOffer {
    return {
      mid: "audio",
      transport: { ...this.session.local, setup: "actpass" },
      audio: OPUS,
      ...(digits && { digits }),
      ptimeMs: 20,
    };
  }

  onIceConnected(): void {
    // Nothing to do: the keys are what counts.
  }
  onConnected(): void {
    this.connected = true;
  }
  onRtp(packet: Buffer): void {
    this.ear.take(packet);
  }
  onRtcp(packet: Buffer): void {
    this.rtcp.push(Buffer.from(packet));
  }
  onFailed(reason: string): void {
    this.failed = reason;
  }
}

/** Everything around one plane; `stop` leaves nothing behind. */
export class Stage {
  readonly plane: MediaPlane;
  readonly log = quietLog();
  readonly wheel = new Wheel(systemClock);
  readonly #relayPort = new PublicPort({ port: 0, bind4: LOOPBACK });
  readonly #pbxes: Pbx[] = [];
  readonly #leave: (() => void)[] = [];
  readonly #encoders: OpusEncoderHandle[] = [];

  constructor(options: Partial<MediaPlaneOptions> = {}) {
    this.plane = new MediaPlane(
      {
        workers: 1,
        publicPort: 0,
        publicBind: [LOOPBACK],
        sipBind: LOOPBACK,
        sipAddress: () => LOOPBACK,
        silenceChecksMs: [600, 1_200],
        ...options,
      },
      this.log,
    );
  }

  async start(): Promise<void> {
    await Promise.all([this.plane.start(), this.#relayPort.start()]);
  }

  async pbx(family: "udp4" | "udp6" = "udp4"): Promise<Pbx> {
    const pbx = new Pbx(family);
    await pbx.start(family === "udp4" ? LOOPBACK : "::1");
    this.#pbxes.push(pbx);
    return pbx;
  }

  relay(): Relay {
    return new Relay(this.#relayPort);
  }

  /** A call with both sides connected; not yet sending. */
  async call(session: (pbx: Pbx) => SipMedia, digits: DigitFormat | undefined = WHATSAPP_DIGITS) {
    const relay = this.relay();
    const pbx = await this.pbx();
    const story = new Story();
    const call = await this.plane.open("call", relay.offer(digits), story);
    pbx.target = { address: call.sipAddress.address, port: call.sipAddress.port };
    relay.session.connect({ ...call.local, setup: "active" }, "server");
    call.connect();
    await until(() => story.connected && relay.connected, "ICE and DTLS");
    call.setSipSession(session(pbx));
    return { relay, pbx, story, call };
  }

  /** Somebody who speaks a tone. */
  async mouth(format: AudioFormat, hz: number, options: { ptimeMs?: number; ssrc?: number } = {}): Promise<Mouth> {
    const settings = { sampleRate: 8_000, channels: 1, bitrate: 24_000, fec: true, packetLossPercent: 20 } as const;
    const encoder = format.codec === "opus" ? await createEncoder(settings) : undefined;
    if (encoder) this.#encoders.push(encoder);
    return new Mouth(format, hz, encoder, options.ptimeMs ?? 20, options.ssrc ?? 0x1234_5678);
  }

  /** Calls `speak` every 20 ms. Returns what stops it. */
  every20ms(speak: () => void): () => void {
    const leave = this.wheel.add(speak);
    this.#leave.push(leave);
    return leave;
  }

  async stop(): Promise<void> {
    for (const leave of this.#leave.splice(0)) leave();
    await this.plane.stop();
    await Promise.all([this.#relayPort.stop(), ...this.#pbxes.splice(0).map((pbx) => pbx.stop())]);
    for (const encoder of this.#encoders.splice(0)) encoder.free();
  }
}

/** The digits in a stream: by timestamp, their event and the number of packets with and without the end bit. */
export function digitsIn(
  packets: readonly Heard[],
): { event: number; packets: number; ends: number; duration: number; markers: number }[] {
  const found = new Map<number, { event: number; packets: number; ends: number; duration: number; markers: number }>();
  for (const packet of packets) {
    const event = readEvent(packet.payload, 0, packet.payload.length);
    if (event === undefined) continue;
    const digit = found.get(packet.timestamp) ?? { event: event.event, packets: 0, ends: 0, duration: 0, markers: 0 };
    digit.packets += 1;
    digit.ends += event.end ? 1 : 0;
    digit.markers += packet.marker ? 1 : 0;
    digit.duration = Math.max(digit.duration, event.duration);
    found.set(packet.timestamp, digit);
  }
  return [...found.values()];
}
