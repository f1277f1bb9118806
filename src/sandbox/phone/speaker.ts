import { type Random, randomInteger } from "#sandbox/random.ts";
import { buildRtp, DIGITS_PT, digitPayload, FRAME_TICKS, OPUS_PT } from "#sandbox/relay/rtp.ts";

/** Packets of one key: 120 ms, as the WhatsApp dial pad's shortest. */
const DIGIT_PACKETS = 6;
/** Frames of audio between two keys. */
const PAUSE_FRAMES = 4;
/** RFC 4733 §2.5.1.4: the end is sent three times. */
const END_PACKETS = 3;
/** Ticks of 8 kHz in 20 ms: a digit's duration counts in these, though its timestamps run at 48 kHz. */
const DURATION_TICKS = 160;

/** The RTP stream of one user: audio and digits in one sequence of packets, under one SSRC, a frame every 20 ms. */
export class Speaker {
  packets = 0;
  readonly #ssrc: number;
  readonly #keys: { readonly digit: string; readonly released: () => void }[] = [];
  #sequence: number;
  #timestamp: number;
  #pressed:
    | { readonly digit: string; readonly released: () => void; readonly startedAt: number; frames: number }
    | undefined;
  #pause = 0;
  #first = true;

  constructor(random: Random) {
    this.#ssrc = randomInteger(random, 1, 2 ** 32 - 1);
    this.#sequence = randomInteger(random, 0, 0xffff);
    this.#timestamp = randomInteger(random, 0, 2 ** 32 - 1);
  }

  /** Presses keys one after the other; resolves when the last one is released. */
  press(digits: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const all = [...digits];
    for (const [index, digit] of all.entries()) {
      this.#keys.push({ digit, released: index === all.length - 1 ? resolve : () => undefined });
    }
    if (all.length === 0) resolve();
    return promise;
  }

  /** The packets of the next 20 ms; `encode` makes the audio and is only asked when audio is due. */
  next(encode: () => Uint8Array): Buffer[] {
    const packets = this.#pressed === undefined && !this.#nextKey() ? [this.#audio(encode())] : this.#digit();
    this.#timestamp = (this.#timestamp + FRAME_TICKS) >>> 0;
    this.packets += packets.length;
    return packets;
  }

  /** 20 ms in which nothing is sent: the sequence stays, the timestamp goes on (a muted microphone). */
  skip(): void {
    this.#timestamp = (this.#timestamp + FRAME_TICKS) >>> 0;
  }

  close(): void {
    for (const key of this.#keys.splice(0)) key.released();
    this.#pressed?.released();
  }

  #nextKey(): boolean {
    this.#pause -= 1;
    if (this.#pause > 0) return false;
    const key = this.#keys.shift();
    if (key === undefined) return false;
    this.#pressed = { ...key, startedAt: this.#timestamp, frames: 0 };
    return true;
  }

  #audio(payload: Uint8Array): Buffer {
    const marker = this.#first;
    this.#first = false;
    return this.#packet(OPUS_PT, marker, this.#timestamp, payload);
  }

  #digit(): Buffer[] {
    const key = this.#pressed;
    if (key === undefined) return [];
    key.frames += 1;
    const last = key.frames === DIGIT_PACKETS;
    const payload = digitPayload(key.digit, last, key.frames * DURATION_TICKS);
    const copies = last ? END_PACKETS : 1;
    const packets = Array.from({ length: copies }, () =>
      this.#packet(DIGITS_PT, key.frames === 1, key.startedAt, payload),
    );
    if (last) {
      this.#pressed = undefined;
      this.#pause = PAUSE_FRAMES;
      key.released();
    }
    return packets;
  }

  #packet(payloadType: number, marker: boolean, timestamp: number, payload: Uint8Array): Buffer {
    this.#sequence = (this.#sequence + 1) & 0xffff;
    return buildRtp({ payloadType, marker, sequence: this.#sequence, timestamp, ssrc: this.#ssrc }, payload);
  }
}
