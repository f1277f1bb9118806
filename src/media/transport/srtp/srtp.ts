import { counterMode } from "./aes.ts";
import { type SessionKeys, type SrtpMaster, sessionKeys } from "./keys.ts";
import { ReplayWindow } from "./replay-window.ts";
import { hmacSha1 } from "./sha1.ts";

/**
 * SRTP with AES_CM_128_HMAC_SHA1_80 (RFC 3711, RFC 5764 §4.1.2), in place:
 *
 *     | RTP header, CSRCs, extension | payload, padding (encrypted) | tag, 10 bytes |
 *
 * A context is one direction of one session. Lengths are returned; a refusal is one of the negative numbers below.
 */
export const TAG_BYTES = 10;
const RTP_HEADER_BYTES = 12;
const ROC_BYTES = 4;

export const SRTP_MALFORMED = -1;
export const SRTP_FORGED = -2;
export const SRTP_REPLAYED = -3;
export const SRTP_TOO_MANY_SOURCES = -4;

/** Meta sends one SSRC, a browser up to two or three; each holds a replay window. */
export const MAX_SSRCS = 16;

const SEQUENCES = 0x10000;
const digest = new Int32Array(5);

/**
 * The index that a packet with this sequence number most likely has: within 2^15 of the highest so far (RFC 3711 §3.3.1,
 * Appendix A). −1 when it would be before the first.
 */
export function estimateIndex(highest: number, sequence: number): number {
  if (highest < 0) return sequence;
  const last = highest % SEQUENCES;
  const base = highest - last;
  const step = sequence - last;
  if (step > 0x8000) return base - SEQUENCES + sequence;
  if (step < -0x8000) return base + SEQUENCES + sequence;
  return base + sequence;
}

/** Where the payload starts; 0 when the header does not fit into `length` bytes or is not RTP version 2. */
function payloadOffset(packet: Uint8Array, length: number): number {
  if (length < RTP_HEADER_BYTES) return 0;
  const first = packet[0] as number;
  if (first >>> 6 !== 2) return 0;
  let offset = RTP_HEADER_BYTES + (first & 15) * 4;
  if (first & 0x10) {
    if (offset + 4 > length) return 0;
    offset += 4 + (((packet[offset + 2] as number) << 8) | (packet[offset + 3] as number)) * 4;
  }
  return offset <= length ? offset : 0;
}

function readWord(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

function writeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word >>> 24;
  bytes[at + 1] = word >>> 16;
  bytes[at + 2] = word >>> 8;
  bytes[at + 3] = word;
}

export class SrtpContext {
  readonly #keys: SessionKeys;
  readonly #windows = new Map<number, ReplayWindow>();
  /** The window of the last packet: nearly always that of the next. */
  #lastSsrc = 0;
  #lastWindow: ReplayWindow | undefined;

  constructor(master: SrtpMaster) {
    this.#keys = sessionKeys(master, "rtp");
  }

  /**
   * Encrypts the RTP packet in `packet[0, length)` and appends the tag. `packet` must have TAG_BYTES more room. Returns the new
   * length. An index that was used already is refused as replayed: the same key stream must never cover two payloads.
   */
  protect(packet: Uint8Array, length: number): number {
    const offset = payloadOffset(packet, length);
    if (offset === 0 || packet.length < length + TAG_BYTES) return SRTP_MALFORMED;
    const ssrc = readWord(packet, 8);
    const known = this.#window(ssrc);
    if (known === undefined && this.#windows.size >= MAX_SSRCS) return SRTP_TOO_MANY_SOURCES;
    const window = known ?? new ReplayWindow();
    const sequence = ((packet[2] as number) << 8) | (packet[3] as number);
    const index = estimateIndex(window.highest, sequence);
    if (index < 0 || !window.isNew(index)) return SRTP_REPLAYED;
    window.add(index);
    if (known === undefined) this.#remember(ssrc, window);
    this.#crypt(packet, offset, length, ssrc, index, sequence);
    this.#tag(packet, length, index);
    writeWord(packet, length, digest[0] as number);
    writeWord(packet, length + 4, digest[1] as number);
    packet[length + 8] = (digest[2] as number) >>> 24;
    packet[length + 9] = (digest[2] as number) >>> 16;
    return length + TAG_BYTES;
  }

  /** Checks and decrypts an SRTP packet. Returns the length of the RTP packet; one that is refused may have a spoilt tag. */
  unprotect(packet: Uint8Array): number {
    const length = packet.length - TAG_BYTES;
    const offset = payloadOffset(packet, length);
    if (offset === 0) return SRTP_MALFORMED;
    const ssrc = readWord(packet, 8);
    const known = this.#window(ssrc);
    if (known === undefined && this.#windows.size >= MAX_SSRCS) return SRTP_TOO_MANY_SOURCES;
    const sequence = ((packet[2] as number) << 8) | (packet[3] as number);
    const index = estimateIndex(known?.highest ?? -1, sequence);
    if (index < 0 || known?.isNew(index) === false) return SRTP_REPLAYED;
    const tag0 = readWord(packet, length);
    const tag1 = readWord(packet, length + 4);
    const tag2 = ((packet[length + 8] as number) << 8) | (packet[length + 9] as number);
    this.#tag(packet, length, index);
    const wrong =
      (tag0 ^ (digest[0] as number)) | (tag1 ^ (digest[1] as number)) | (tag2 ^ ((digest[2] as number) >>> 16));
    if (wrong !== 0) return SRTP_FORGED;
    const window = known ?? new ReplayWindow();
    window.add(index);
    if (known === undefined) this.#remember(ssrc, window);
    this.#crypt(packet, offset, length, ssrc, index, sequence);
    return length;
  }

  #window(ssrc: number): ReplayWindow | undefined {
    if (ssrc === this.#lastSsrc && this.#lastWindow !== undefined) return this.#lastWindow;
    const window = this.#windows.get(ssrc);
    if (window !== undefined) {
      this.#lastSsrc = ssrc;
      this.#lastWindow = window;
    }
    return window;
  }

  #remember(ssrc: number, window: ReplayWindow): void {
    this.#windows.set(ssrc, window);
    this.#lastSsrc = ssrc;
    this.#lastWindow = window;
  }

  /** RFC 3711 §4.1.1: IV = (salt · 2^16) XOR (SSRC · 2^64) XOR (index · 2^16). */
  #crypt(packet: Uint8Array, from: number, to: number, ssrc: number, index: number, sequence: number): void {
    const { cipher, salt } = this.#keys;
    const roc = (index - sequence) / SEQUENCES;
    const w1 = (salt[1] as number) ^ ssrc;
    const w2 = (salt[2] as number) ^ roc;
    const w3 = (salt[3] as number) ^ (sequence << 16);
    counterMode(cipher, salt[0] as number, w1, w2, w3, packet, from, to);
  }

  /** RFC 3711 §4.2: the tag covers the packet and the rollover counter, which is written where the tag will be. */
  #tag(packet: Uint8Array, length: number, index: number): void {
    writeWord(packet, length, Math.floor(index / SEQUENCES));
    hmacSha1(this.#keys.auth, packet, 0, length + ROC_BYTES, digest);
  }
}
