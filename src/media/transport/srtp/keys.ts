import { counterMode, expandKey } from "./aes.ts";
import { type HmacKey, hmacKey } from "./sha1.ts";

/** Master key and salt of one direction (RFC 3711 §8.2). */
export interface SrtpMaster {
  /** 16 bytes. */
  readonly key: Buffer;
  /** 14 bytes. */
  readonly salt: Buffer;
}

/** Session keys of one direction for SRTP or SRTCP, ready for use. */
export interface SessionKeys {
  readonly cipher: Int32Array;
  readonly auth: HmacKey;
  /** The salt, shifted left by 16 bits as in the counter block (RFC 3711 §4.1.1), as four words. */
  readonly salt: Int32Array;
}

export const MASTER_KEY_BYTES = 16;
export const MASTER_SALT_BYTES = 14;
const AUTH_KEY_BYTES = 20;

/** RFC 3711 §4.3.2. */
const LABELS = { rtp: { cipher: 0, auth: 1, salt: 2 }, rtcp: { cipher: 3, auth: 4, salt: 5 } } as const;

/** RFC 3711 §4.3.1 with a key derivation rate of zero, which is what DTLS-SRTP uses (RFC 5764 §4.1.2). */
export function sessionKeys(master: SrtpMaster, kind: "rtp" | "rtcp"): SessionKeys {
  const labels = LABELS[kind];
  return {
    cipher: expandKey(deriveKey(master, labels.cipher, MASTER_KEY_BYTES)),
    auth: hmacKey(deriveKey(master, labels.auth, AUTH_KEY_BYTES)),
    salt: counterSalt(deriveKey(master, labels.salt, MASTER_SALT_BYTES)),
  };
}

/** `bytes` of the key stream that belongs to `label` (RFC 3711 §4.3.3). */
export function deriveKey(master: SrtpMaster, label: number, bytes: number): Buffer {
  const x = Buffer.from(master.salt);
  x[7] = (x[7] ?? 0) ^ label;
  const block = counterSalt(x);
  const out = Buffer.alloc(bytes);
  counterMode(expandKey(master.key), word(block, 0), word(block, 1), word(block, 2), word(block, 3), out, 0, bytes);
  return out;
}

function counterSalt(salt: Buffer): Int32Array {
  const block = Buffer.concat([salt, Buffer.alloc(2)]);
  return Int32Array.from({ length: 4 }, (_, index) => block.readInt32BE(index * 4));
}

function word(words: Int32Array, index: number): number {
  return words[index] ?? 0;
}
