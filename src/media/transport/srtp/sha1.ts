/**
 * HMAC-SHA1 (RFC 2104, FIPS 180-4) with a key that stays: the two padded keys are hashed once, so that a packet of 72 bytes
 * costs three compressions. Everything is in integers and in place; node:crypto would make two objects per packet.
 */
const W = new Int32Array(80);
const state = new Int32Array(5);

export interface HmacKey {
  readonly inner: Int32Array;
  readonly outer: Int32Array;
}

/** `key` must not be longer than a block of 64 bytes; SRTP's is 20. */
export function hmacKey(key: Uint8Array): HmacKey {
  return { inner: padded(key, 0x36), outer: padded(key, 0x5c) };
}

function padded(key: Uint8Array, pad: number): Int32Array {
  const block = new Uint8Array(64).fill(pad);
  for (let i = 0; i < key.length; i += 1) block[i] = (key[i] ?? 0) ^ pad;
  reset();
  loadBlock(block, 0);
  compress(state);
  return Int32Array.from(state);
}

function reset(): void {
  state[0] = 0x67452301;
  state[1] = 0xefcdab89 | 0;
  state[2] = 0x98badcfe | 0;
  state[3] = 0x10325476;
  state[4] = 0xc3d2e1f0 | 0;
}

/** The five words of HMAC-SHA1 over `bytes[from, to)`, into `out`. */
export function hmacSha1(key: HmacKey, bytes: Uint8Array, from: number, to: number, out: Int32Array): void {
  state.set(key.inner);
  let at = from;
  for (; at + 64 <= to; at += 64) {
    loadBlock(bytes, at);
    compress(state);
  }
  loadTail(bytes, at, to);
  if (to - at >= 56) {
    compress(state);
    for (let i = 0; i < 15; i += 1) W[i] = 0;
  }
  // The length in bits counts the block of the padded key; a packet is far below 2^32 bits, so the upper word is zero.
  W[14] = 0;
  W[15] = (to - from + 64) * 8;
  compress(state);
  for (let i = 0; i < 5; i += 1) W[i] = state[i] as number;
  W[5] = 0x80000000 | 0;
  for (let i = 6; i < 15; i += 1) W[i] = 0;
  W[15] = (64 + 20) * 8;
  state.set(key.outer);
  compress(state);
  out.set(state);
}

function loadBlock(bytes: Uint8Array, from: number): void {
  for (let i = 0, at = from; i < 16; i += 1, at += 4) {
    W[i] =
      ((bytes[at] as number) << 24) |
      ((bytes[at + 1] as number) << 16) |
      ((bytes[at + 2] as number) << 8) |
      (bytes[at + 3] as number);
  }
}

/** The last, incomplete block with the bit that ends the message (FIPS 180-4 §5.1.1), without the length. */
function loadTail(bytes: Uint8Array, from: number, to: number): void {
  for (let i = 0; i < 16; i += 1) W[i] = 0;
  let i = 0;
  for (let at = from; at < to; at += 1, i += 1) {
    W[i >> 2] = (W[i >> 2] as number) | ((bytes[at] as number) << (24 - (i & 3) * 8));
  }
  W[i >> 2] = (W[i >> 2] as number) | (0x80 << (24 - (i & 3) * 8));
}

/** One compression of the 16 words in W (FIPS 180-4 §6.1.2). */
function compress(h: Int32Array): void {
  for (let t = 16; t < 80; t += 1) {
    const x = (W[t - 3] as number) ^ (W[t - 8] as number) ^ (W[t - 14] as number) ^ (W[t - 16] as number);
    W[t] = (x << 1) | (x >>> 31);
  }
  let a = h[0] as number;
  let b = h[1] as number;
  let c = h[2] as number;
  let d = h[3] as number;
  let e = h[4] as number;
  for (let t = 0; t < 20; t += 1) {
    const next = (((a << 5) | (a >>> 27)) + ((b & c) | (~b & d)) + e + 0x5a827999 + (W[t] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  for (let t = 20; t < 40; t += 1) {
    const next = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0x6ed9eba1 + (W[t] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  for (let t = 40; t < 60; t += 1) {
    const next = (((a << 5) | (a >>> 27)) + ((b & c) | (b & d) | (c & d)) + e + 0x8f1bbcdc + (W[t] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  for (let t = 60; t < 80; t += 1) {
    const next = (((a << 5) | (a >>> 27)) + (b ^ c ^ d) + e + 0xca62c1d6 + (W[t] as number)) | 0;
    e = d;
    d = c;
    c = (b << 30) | (b >>> 2);
    b = a;
    a = next;
  }
  h[0] = ((h[0] as number) + a) | 0;
  h[1] = ((h[1] as number) + b) | 0;
  h[2] = ((h[2] as number) + c) | 0;
  h[3] = ((h[3] as number) + d) | 0;
  h[4] = ((h[4] as number) + e) | 0;
}
