import {
  Application,
  createDecoder,
  createEncoder,
  type OpusDecoderHandle,
  type OpusEncoderHandle,
} from "libopus-wasm";
import type { ToneReport } from "#core/audio/tone.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import { type Clock, Timers } from "#sandbox/clock.ts";
import type { CallRequest, PlacedCall, UserPhone } from "#sandbox/meta/calls.ts";
import type { SimulatedMeta } from "#sandbox/meta/meta.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import { type Random, seededRandom } from "#sandbox/random.ts";
import { Ear } from "./ear.ts";
import { Hearing } from "./hearing.ts";
import { Mouth } from "./mouth.ts";
import { roundTrip } from "./round-trip.ts";
import { Speaker } from "./speaker.ts";
import { Progress, type UserCall, type UserStatistics } from "./user-call.ts";

/** WhatsApp's audio band; libopus takes it as it is. */
const SAMPLE_RATE = 16_000;
const FRAME_MS = 20;
const FRAME_SAMPLES = (SAMPLE_RATE * FRAME_MS) / 1000;
const BITRATE = 20_000;
/** Enough for tones; twenty users share a machine with what they test. */
const COMPLEXITY = 1;
/** After a longer stop of the process the frames in between are left out, as a sound card would. */
const MAX_CATCH_UP_FRAMES = 5;

export interface SyntheticCallRequest extends Omit<CallRequest, "user"> {
  readonly user?: Partial<WhatsAppUser>;
}

/** WhatsApp users without a browser: they place calls, say tones, press keys and measure what they hear. */
export class SyntheticUsers {
  readonly #meta: SimulatedMeta;
  readonly #clock: Clock;
  readonly #random: Random;
  #count = 0;

  constructor(meta: SimulatedMeta, options: { readonly clock?: Clock; readonly seed?: number } = {}) {
    this.#meta = meta;
    this.#clock = options.clock ?? systemClock;
    this.#random = seededRandom(options.seed ?? 4);
  }

  /** Dials. Each call is by another user unless the request says who. */
  async call(request: SyntheticCallRequest): Promise<SyntheticCall> {
    this.#count += 1;
    const user = { ...nthUser(this.#count), ...request.user };
    const [encoder, decoder] = await Promise.all([
      createEncoder({
        sampleRate: SAMPLE_RATE,
        channels: 1,
        application: Application.Voip,
        bitrate: BITRATE,
        complexity: COMPLEXITY,
        frameSize: FRAME_SAMPLES,
        fec: true,
        packetLossPercent: 5,
      }),
      createDecoder({ sampleRate: SAMPLE_RATE, channels: 1 }),
    ]);
    const call = new SyntheticCall({ clock: this.#clock, random: this.#random, encoder, decoder });
    call.place((phone) => this.#meta.placeCall({ ...request, user }, phone));
    return call;
  }
}

function nthUser(n: number): WhatsAppUser {
  const number = `55119${String(10_000_000 + n)}`;
  return { number, profileName: `Synthetic ${n}`, userId: `BR.${String(13_491_208_655_302 + n)}` };
}

interface CallParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly encoder: OpusEncoderHandle;
  readonly decoder: OpusDecoderHandle;
}

/** One call of a synthetic user. Its microphone runs from the pickup to the end. */
export class SyntheticCall implements UserCall {
  readonly #parts: CallParts;
  readonly #progress: Progress;
  readonly #timers: Timers;
  readonly #mouth = new Mouth(SAMPLE_RATE);
  readonly #ear: Ear;
  readonly #speaker: Speaker;
  readonly #hearing = new Hearing();
  readonly #frame = new Int16Array(FRAME_SAMPLES);
  #placed: PlacedCall | undefined;
  #mutedUntil = 0;
  #startedAt = 0;
  #frames = 0;

  constructor(parts: CallParts) {
    this.#parts = parts;
    this.#progress = new Progress(() => parts.clock.now());
    this.#timers = new Timers(parts.clock);
    this.#ear = new Ear(parts.clock, SAMPLE_RATE);
    this.#speaker = new Speaker(parts.random);
  }

  place(dial: (phone: UserPhone) => PlacedCall): void {
    this.#placed = dial({
      onRinging: () => this.#progress.ring(),
      onPickedUp: () => this.#pickedUp(),
      onEnded: (end) => {
        this.#close();
        this.#progress.end(end);
      },
      onRtp: (packet) => this.#hear(packet),
    });
  }

  get wacid(): string {
    return this.#placed?.wacid ?? "";
  }

  get ringing(): UserCall["ringing"] {
    return this.#progress.ringing;
  }

  get answered(): UserCall["answered"] {
    return this.#progress.answered;
  }

  get ended(): UserCall["ended"] {
    return this.#progress.ended;
  }

  sendTone(hz: number, amplitude?: number): void {
    this.#mouth.tone(hz, amplitude);
  }

  silence(): void {
    this.#mouth.silence();
  }

  sendDigits(digits: string): Promise<void> {
    return this.#progress.over ? Promise.resolve() : this.#speaker.press(digits);
  }

  /** Sends no packets at all for this long, as a muted phone may (M13). */
  mute(ms: number): void {
    this.#mutedUntil = this.#parts.clock.now() + ms;
  }

  listen(ms: number, expectedHz?: number): Promise<ToneReport> {
    return this.#ear.listen(this.#progress.over ? 0 : ms, expectedHz);
  }

  measureRoundTrip(): Promise<number | undefined> {
    return this.#progress.over ? Promise.resolve(undefined) : roundTrip(this.#parts.clock, this.#mouth, this.#ear);
  }

  async statistics(): Promise<UserStatistics> {
    const { ringingMs, answeredMs } = this.#progress;
    const { firstSoundAt } = this.#ear;
    const { firstAt } = this.#hearing;
    return {
      ...(ringingMs === undefined ? {} : { ringingMs }),
      ...(answeredMs === undefined ? {} : { answeredMs }),
      ...(firstAt === undefined ? {} : { firstPacketMs: this.#progress.since(firstAt) }),
      ...(firstSoundAt === undefined ? {} : { firstSoundMs: this.#progress.since(firstSoundAt) }),
      packetsHeard: this.#hearing.packets,
      packetsSent: this.#speaker.packets,
      lost: this.#hearing.lost,
      longestPauseMs: Math.round(this.#hearing.longestPauseMs),
      digitsHeard: this.#hearing.digits,
      ...(this.#placed === undefined ? {} : { relay: this.#placed.statistics() }),
    };
  }

  hangUp(): void {
    this.#placed?.hangUp();
  }

  #pickedUp(): void {
    this.#progress.pickUp();
    this.#startedAt = this.#parts.clock.now();
    this.#tick();
  }

  /** One frame every 20 ms of the clock, without drift. */
  #tick(): void {
    const now = this.#parts.clock.now();
    const due = Math.floor((now - this.#startedAt) / FRAME_MS) + 1;
    while (this.#frames < due && !this.#progress.over) {
      if (due - this.#frames > MAX_CATCH_UP_FRAMES || now < this.#mutedUntil) this.#speaker.skip();
      else this.#say();
      this.#frames += 1;
    }
    if (this.#progress.over) return;
    this.#timers.after(Math.max(1, this.#startedAt + this.#frames * FRAME_MS - now), () => this.#tick());
  }

  #say(): void {
    const { encoder } = this.#parts;
    for (const packet of this.#speaker.next(() => encoder.encode(this.#mouth.next(this.#frame)))) {
      this.#placed?.sendRtp(packet);
    }
  }

  #hear(packet: Buffer): void {
    if (this.#progress.over) return;
    const at = this.#parts.clock.now();
    const heard = this.#hearing.take(packet, at);
    if (heard === undefined || heard.opus.length === 0) return;
    const missing = Math.round((heard.missingTicks * SAMPLE_RATE) / 48_000);
    try {
      this.#ear.hear(this.#parts.decoder.decode(heard.opus), at, missing);
    } catch {
      this.#hearing.lost += 1; // An Opus packet that cannot be decoded is as good as lost.
    }
  }

  #close(): void {
    this.#timers.cancelAll();
    this.#speaker.close();
    this.#ear.close();
    this.#parts.encoder.free();
    this.#parts.decoder.free();
  }
}
