import { createRequire } from "node:module";
import { WebSocket } from "ws";
import type { ToneReport } from "#core/audio/tone.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import { Timers } from "#sandbox/clock.ts";
import type { CallEnd } from "#sandbox/meta/calls.ts";
import { Ear } from "#sandbox/phone/ear.ts";
import { Mouth } from "#sandbox/phone/mouth.ts";
import type { PhoneNotice, PhoneRequest } from "#sandbox/phone/protocol.ts";
import { roundTrip } from "#sandbox/phone/round-trip.ts";
import { Progress, type UserCall, type UserStatistics } from "#sandbox/phone/user-call.ts";

/** The part of `@roamhq/wrtc` (libwebrtc) that a phone needs; its own types want those of a browser. */
interface Wrtc {
  readonly RTCPeerConnection: new () => Peer;
  readonly nonstandard: {
    readonly RTCAudioSource: new () => AudioSource;
    readonly RTCAudioSink: new (track: Track) => AudioSink;
  };
}

interface Track {
  stop(): void;
}

interface AudioSource {
  createTrack(): Track;
  onData(data: { readonly samples: Int16Array; readonly sampleRate: number }): void;
}

interface AudioSink {
  ondata: ((data: AudioData) => void) | null;
  stop(): void;
}

interface AudioData {
  readonly samples: Int16Array;
  readonly sampleRate: number;
  readonly channelCount: number;
}

interface Peer {
  ontrack: ((event: { readonly track: Track }) => void) | null;
  onicegatheringstatechange: (() => void) | null;
  readonly iceGatheringState: string;
  readonly localDescription: { readonly sdp: string } | null;
  addTrack(track: Track): unknown;
  setRemoteDescription(description: { readonly type: string; readonly sdp: string }): Promise<void>;
  createAnswer(): Promise<{ readonly type: string; readonly sdp: string }>;
  setLocalDescription(description: { readonly type: string; readonly sdp: string }): Promise<void>;
  getStats(): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>>;
  close(): void;
}

const wrtc = createRequire(import.meta.url)("@roamhq/wrtc") as Wrtc;

const SAMPLE_RATE = 48_000;
/** libwebrtc takes and gives pieces of 10 ms. */
const PIECE_MS = 10;

/** A WhatsApp user with libwebrtc, connected like the phone page: one WebSocket, one call at a time. */
export class WrtcUser {
  readonly #socket: WebSocket;
  #call: WrtcCall | undefined;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data) => {
      const notice = JSON.parse(String(data)) as PhoneNotice;
      if (notice.type === "offer") this.#call?.offered(notice.sdp, notice.wacid);
      else this.#call?.take(notice);
    });
    socket.on("close", () => this.#call?.lost());
  }

  /** @param url The page's address. */
  static async open(url: string): Promise<WrtcUser> {
    const address = new URL("phone", url);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    const user = new WrtcUser(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("open", resolve);
      socket.once("error", reject);
    });
    return user;
  }

  /** Dials one of the page's numbers. */
  call(number: string): UserCall {
    const call = new WrtcCall((request) => this.#socket.send(JSON.stringify(request)));
    this.#call = call;
    call.send({ type: "call", number, keys: "server" });
    return call;
  }

  async close(): Promise<void> {
    this.#call?.lost();
    if (this.#socket.readyState === WebSocket.CLOSED) return;
    const closed = new Promise<void>((resolve) => this.#socket.once("close", () => resolve()));
    this.#socket.close();
    await closed;
  }
}

class WrtcCall implements UserCall {
  wacid = "";
  readonly send: (request: PhoneRequest) => void;
  readonly #progress = new Progress(() => systemClock.now());
  readonly #timers = new Timers(systemClock);
  readonly #mouth = new Mouth(SAMPLE_RATE);
  readonly #ear = new Ear(systemClock, SAMPLE_RATE);
  readonly #peer = new wrtc.RTCPeerConnection();
  readonly #source = new wrtc.nonstandard.RTCAudioSource();
  readonly #track = this.#source.createTrack();
  readonly #released: (() => void)[] = [];
  #sink: AudioSink | undefined;
  #digitsHeard = "";
  #startedAt = 0;
  #pieces = 0;

  constructor(send: (request: PhoneRequest) => void) {
    this.send = send;
    this.#peer.ontrack = ({ track }) => this.#hear(track);
  }

  get ringing(): Promise<boolean> {
    return this.#progress.ringing;
  }

  get answered(): Promise<boolean> {
    return this.#progress.answered;
  }

  get ended(): Promise<CallEnd> {
    return this.#progress.ended;
  }

  /** The relay's offer: answered with all candidates. */
  offered(sdp: string, wacid: string): void {
    this.wacid = wacid;
    this.#answer(sdp).then(
      (answer) => this.send({ type: "answer", sdp: answer }),
      () => this.hangUp(),
    );
  }

  take(notice: PhoneNotice): void {
    if (notice.type === "digit") this.#digitsHeard += notice.digit;
    else if (notice.type === "released") this.#released.shift()?.();
    else if (notice.type === "error") throw new Error(notice.text);
    else if (notice.type === "state" && notice.state === "ringing") this.#progress.ring();
    else if (notice.type === "state" && notice.state === "talking") this.#progress.pickUp();
    else if (notice.type === "state" && notice.state === "ended") this.#end(notice as unknown as CallEnd);
  }

  lost(): void {
    if (!this.#progress.over) this.#end({ reason: "failed", by: "whatsapp" });
  }

  sendTone(hz: number, amplitude?: number): void {
    this.#mouth.tone(hz, amplitude);
  }

  silence(): void {
    this.#mouth.silence();
  }

  sendDigits(digits: string): Promise<void> {
    if (this.#progress.over) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#released.push(resolve);
    this.send({ type: "digits", digits });
    return promise;
  }

  listen(ms: number, expectedHz?: number): Promise<ToneReport> {
    return this.#ear.listen(this.#progress.over ? 0 : ms, expectedHz);
  }

  measureRoundTrip(): Promise<number | undefined> {
    return this.#progress.over ? Promise.resolve(undefined) : roundTrip(systemClock, this.#mouth, this.#ear);
  }

  async statistics(): Promise<UserStatistics> {
    const { ringingMs, answeredMs } = this.#progress;
    const { firstSoundAt } = this.#ear;
    const all = this.#progress.over ? [] : [...(await this.#peer.getStats()).values()];
    const count = (type: string, name: string): number => Number(all.find((one) => one["type"] === type)?.[name] ?? 0);
    return {
      ...(ringingMs === undefined ? {} : { ringingMs }),
      ...(answeredMs === undefined ? {} : { answeredMs }),
      ...(firstSoundAt === undefined ? {} : { firstSoundMs: this.#progress.since(firstSoundAt) }),
      packetsHeard: count("inbound-rtp", "packetsReceived"),
      packetsSent: count("outbound-rtp", "packetsSent"),
      lost: count("inbound-rtp", "packetsLost"),
      digitsHeard: this.#digitsHeard,
    };
  }

  hangUp(): void {
    this.send({ type: "hang_up" });
  }

  async #answer(sdp: string): Promise<string> {
    this.#peer.addTrack(this.#track);
    await this.#peer.setRemoteDescription({ type: "offer", sdp });
    await this.#peer.setLocalDescription(await this.#peer.createAnswer());
    this.#startedAt = systemClock.now();
    this.#speak();
    if (this.#peer.iceGatheringState !== "complete") {
      await new Promise<void>((resolve) => {
        this.#peer.onicegatheringstatechange = () => {
          if (this.#peer.iceGatheringState === "complete") resolve();
        };
      });
    }
    return this.#peer.localDescription?.sdp ?? "";
  }

  /** A piece every 10 ms of the clock, without drift, as a sound card would. */
  #speak(): void {
    const now = systemClock.now();
    const due = Math.floor((now - this.#startedAt) / PIECE_MS) + 1;
    for (; this.#pieces < due; this.#pieces += 1) {
      const samples = this.#mouth.next(new Int16Array((SAMPLE_RATE * PIECE_MS) / 1000));
      this.#source.onData({ samples, sampleRate: SAMPLE_RATE });
    }
    this.#timers.after(Math.max(1, this.#startedAt + this.#pieces * PIECE_MS - now), () => this.#speak());
  }

  #hear(track: Track): void {
    const sink = new wrtc.nonstandard.RTCAudioSink(track);
    this.#sink = sink;
    sink.ondata = ({ samples, sampleRate, channelCount }) => {
      if (sampleRate !== SAMPLE_RATE || this.#progress.over) return;
      this.#ear.hear(
        channelCount === 1 ? Int16Array.from(samples) : everyNth(samples, channelCount),
        systemClock.now(),
      );
    };
  }

  #end(end: CallEnd): void {
    this.#timers.cancelAll();
    this.#sink?.stop();
    this.#track.stop();
    this.#peer.close();
    this.#ear.close();
    for (const released of this.#released.splice(0)) released();
    this.#progress.end(end);
  }
}

/** The first channel of interleaved samples. */
function everyNth(samples: Int16Array, channels: number): Int16Array {
  return Int16Array.from({ length: samples.length / channels }, (_, i) => samples[i * channels] ?? 0);
}
