import { counterMode } from "./aes.ts";
import { type SessionKeys, type SrtpMaster, sessionKeys } from "./keys.ts";
import { ReplayWindow } from "./replay-window.ts";
import { hmacSha1 } from "./sha1.ts";
import { MAX_SSRCS, SRTP_FORGED, SRTP_MALFORMED, SRTP_REPLAYED, SRTP_TOO_MANY_SOURCES, TAG_BYTES } from "./srtp.ts";

/**
 * SRTCP with AES_CM_128_HMAC_SHA1_80 (RFC 3711 §3.4), in place:
 *
 *     | header, SSRC: 8 bytes | rest of the compound packet (encrypted) | E, index: 4 bytes | tag: 10 bytes |
 */
const CLEAR_BYTES = 8;
const INDEX_BYTES = 4;
export const SRTCP_OVERHEAD_BYTES = INDEX_BYTES + TAG_BYTES;

/** "The packet is encrypted" in the word of the index. */
const E_BIT = 0x80000000;
const MAX_INDEX = 0x7fffffff;

export class SrtcpContext {
  readonly #keys: SessionKeys;
  readonly #windows = new Map<number, ReplayWindow>();
  #nextIndex = 0;

  constructor(master: SrtpMaster) {
    this.#keys = sessionKeys(master, "rtcp");
  }

  /** Encrypts the compound packet in `packet[0, length)`, which needs SRTCP_OVERHEAD_BYTES more room; returns the new length. */
  protect(packet: Buffer, length: number): number {
    if (length < CLEAR_BYTES || (packet[0] ?? 0) >>> 6 !== 2) return SRTP_MALFORMED;
    if (packet.length < length + SRTCP_OVERHEAD_BYTES || this.#nextIndex > MAX_INDEX) return SRTP_MALFORMED;
    const index = this.#nextIndex;
    this.#nextIndex += 1;
    this.#crypt(packet, length, index);
    packet.writeUInt32BE(E_BIT + index, length);
    const tag = this.#tag(packet, length + INDEX_BYTES);
    tag.copy(packet, length + INDEX_BYTES, 0, TAG_BYTES);
    return length + SRTCP_OVERHEAD_BYTES;
  }

  /** Checks and decrypts; returns the length of the compound packet, or why not. */
  unprotect(packet: Buffer): number {
    const length = packet.length - SRTCP_OVERHEAD_BYTES;
    if (length < CLEAR_BYTES || (packet[0] ?? 0) >>> 6 !== 2) return SRTP_MALFORMED;
    const word = packet.readUInt32BE(length);
    // DTLS-SRTP's profile encrypts RTCP (RFC 5764 §4.1.2): a packet that says it is in the clear is not of this session.
    if (word < E_BIT) return SRTP_MALFORMED;
    const index = word - E_BIT;
    const ssrc = packet.readUInt32BE(4);
    const known = this.#windows.get(ssrc);
    if (known === undefined && this.#windows.size >= MAX_SSRCS) return SRTP_TOO_MANY_SOURCES;
    if (known?.isNew(index) === false) return SRTP_REPLAYED;
    const tag = this.#tag(packet, length + INDEX_BYTES);
    let wrong = 0;
    for (let i = 0; i < TAG_BYTES; i += 1) wrong |= (tag[i] ?? 0) ^ (packet[length + INDEX_BYTES + i] ?? 0);
    if (wrong !== 0) return SRTP_FORGED;
    const window = known ?? new ReplayWindow();
    window.add(index);
    if (known === undefined) this.#windows.set(ssrc, window);
    this.#crypt(packet, length, index);
    return length;
  }

  #crypt(packet: Buffer, length: number, index: number): void {
    const { cipher, salt } = this.#keys;
    const w1 = (salt[1] ?? 0) ^ packet.readInt32BE(4);
    const w2 = (salt[2] ?? 0) ^ (index >>> 16);
    const w3 = (salt[3] ?? 0) ^ (index << 16);
    counterMode(cipher, salt[0] ?? 0, w1, w2, w3, packet, CLEAR_BYTES, length);
  }

  #tag(packet: Buffer, length: number): Buffer {
    hmacSha1(this.#keys.auth, packet, 0, length, digest);
    for (let i = 0; i < 5; i += 1) tagBytes.writeInt32BE(digest[i] ?? 0, i * 4);
    return tagBytes;
  }
}

const digest = new Int32Array(5);
const tagBytes = Buffer.alloc(20);
