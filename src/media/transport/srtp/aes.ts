/**
 * AES-128 encryption of single blocks (FIPS 197) with the four usual tables, on 32-bit integers. Faster than node:crypto for
 * the two to fifteen blocks of a voice packet, because no call leaves JavaScript. Only for SRTP: the tables' cache timing
 * is visible to who shares the processor, which the DTLS handshake (node:crypto) does not risk.
 */
const T0 = new Int32Array(256);
const T1 = new Int32Array(256);
const T2 = new Int32Array(256);
const T3 = new Int32Array(256);
const SBOX = new Uint8Array(256);
fillTables();

function fillTables(): void {
  // Powers of the generator 3 give inverses in GF(2^8); the S-box is the inverse followed by an affine map (FIPS 197 §5.1.1).
  const power = new Uint8Array(256);
  const log = new Uint8Array(256);
  for (let i = 0, x = 1; i < 256; i += 1) {
    power[i] = x;
    log[x] = i;
    x ^= (x << 1) ^ (x & 0x80 ? 0x11b : 0);
  }
  for (let i = 0; i < 256; i += 1) {
    const inverse = i === 0 ? 0 : (power[(255 - (log[i] ?? 0)) % 255] ?? 0);
    let s = inverse;
    for (let turn = 1; turn < 5; turn += 1) s ^= (inverse << turn) | (inverse >>> (8 - turn));
    s = (s ^ 0x63) & 0xff;
    SBOX[i] = s;
    const s2 = (s << 1) ^ (s & 0x80 ? 0x11b : 0);
    const column = (s2 << 24) | (s << 16) | (s << 8) | (s2 ^ s);
    T0[i] = column;
    T1[i] = (column >>> 8) | (column << 24);
    T2[i] = (column >>> 16) | (column << 16);
    T3[i] = (column >>> 24) | (column << 8);
  }
}

/** 44 words of round keys from a key of 16 bytes (FIPS 197 §5.2). */
export function expandKey(key: Uint8Array): Int32Array {
  const words = new Int32Array(44);
  for (let i = 0; i < 4; i += 1) {
    words[i] = (at(key, i * 4) << 24) | (at(key, i * 4 + 1) << 16) | (at(key, i * 4 + 2) << 8) | at(key, i * 4 + 3);
  }
  for (let i = 4, constant = 1; i < 44; i += 1) {
    let word = words[i - 1] ?? 0;
    if (i % 4 === 0) {
      word = substitute((word << 8) | (word >>> 24)) ^ (constant << 24);
      constant = (constant << 1) ^ (constant & 0x80 ? 0x11b : 0);
    }
    words[i] = (words[i - 4] ?? 0) ^ word;
  }
  return words;
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

function substitute(word: number): number {
  return (
    (at(SBOX, word >>> 24) << 24) |
    (at(SBOX, (word >>> 16) & 255) << 16) |
    (at(SBOX, (word >>> 8) & 255) << 8) |
    at(SBOX, word & 255)
  );
}

/** Encrypts the block of words a…d into `out[0…3]`. */
export function encryptBlock(keys: Int32Array, a: number, b: number, c: number, d: number, out: Int32Array): void {
  // Reads of typed arrays within bounds: `| 0` tells the compiler, and V8, that they are 32-bit integers.
  let s0 = a ^ (keys[0] as number);
  let s1 = b ^ (keys[1] as number);
  let s2 = c ^ (keys[2] as number);
  let s3 = d ^ (keys[3] as number);
  let t0 = 0;
  let t1 = 0;
  let t2 = 0;
  let k = 4;
  for (let round = 1; round < 10; round += 1) {
    t0 = mix(s0, s1, s2, s3) ^ (keys[k] as number);
    t1 = mix(s1, s2, s3, s0) ^ (keys[k + 1] as number);
    t2 = mix(s2, s3, s0, s1) ^ (keys[k + 2] as number);
    s3 = mix(s3, s0, s1, s2) ^ (keys[k + 3] as number);
    s0 = t0;
    s1 = t1;
    s2 = t2;
    k += 4;
  }
  out[0] = last(s0, s1, s2, s3) ^ (keys[40] as number);
  out[1] = last(s1, s2, s3, s0) ^ (keys[41] as number);
  out[2] = last(s2, s3, s0, s1) ^ (keys[42] as number);
  out[3] = last(s3, s0, s1, s2) ^ (keys[43] as number);
}

function mix(a: number, b: number, c: number, d: number): number {
  return (
    (T0[a >>> 24] as number) ^
    (T1[(b >>> 16) & 255] as number) ^
    (T2[(c >>> 8) & 255] as number) ^
    (T3[d & 255] as number)
  );
}

function last(a: number, b: number, c: number, d: number): number {
  return (
    ((SBOX[a >>> 24] as number) << 24) |
    ((SBOX[(b >>> 16) & 255] as number) << 16) |
    ((SBOX[(c >>> 8) & 255] as number) << 8) |
    (SBOX[d & 255] as number)
  );
}

const keystream = new Int32Array(4);

/**
 * AES in counter mode as SRTP uses it (RFC 3711 §4.1.1): XORs `bytes[from, to)` with the key stream that starts at counter
 * block (w0, w1, w2, w3), whose last 16 bits are zero and count. In place, without allocation.
 */
export function counterMode(
  keys: Int32Array,
  w0: number,
  w1: number,
  w2: number,
  w3: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): void {
  let at = from;
  let counter = w3;
  while (at + 16 <= to) {
    encryptBlock(keys, w0, w1, w2, counter, keystream);
    counter += 1;
    for (let word = 0; word < 4; word += 1, at += 4) {
      const key = keystream[word] as number;
      bytes[at] = (bytes[at] as number) ^ (key >>> 24);
      bytes[at + 1] = (bytes[at + 1] as number) ^ (key >>> 16);
      bytes[at + 2] = (bytes[at + 2] as number) ^ (key >>> 8);
      bytes[at + 3] = (bytes[at + 3] as number) ^ key;
    }
  }
  if (at >= to) return;
  encryptBlock(keys, w0, w1, w2, counter, keystream);
  for (let i = 0; at < to; i += 1, at += 1) {
    bytes[at] = (bytes[at] as number) ^ ((keystream[i >> 2] as number) >>> (24 - (i & 3) * 8));
  }
}
