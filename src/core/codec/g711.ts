/**
 * G.711: 16-bit PCM to 8-bit logarithmic PCM and back (ITU-T G.711), by tables made once. The codes are those on the wire:
 * µ-law complemented, A-law with its even bits inverted.
 */

export type G711 = "PCMU" | "PCMA";

/** What a µ-law sender plays when it has nothing to say. */
export const PCMU_SILENCE = 0xff;
export const PCMA_SILENCE = 0xd5;

/** Added before the segment is looked up (G.711 table 2a). */
const MU_BIAS = 0x84;
const MU_CLIP = 32_635;

function decodeMu(code: number): number {
  const bits = ~code & 0xff;
  const magnitude = (((bits & 0x0f) << 3) + MU_BIAS) << ((bits & 0x70) >> 4);
  return bits & 0x80 ? MU_BIAS - magnitude : magnitude - MU_BIAS;
}

function encodeMu(sample: number): number {
  const sign = sample < 0 ? 0x80 : 0;
  const magnitude = Math.min(Math.abs(sample), MU_CLIP) + MU_BIAS;
  const segment = 31 - Math.clz32(magnitude >> 7);
  return ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0f)) & 0xff;
}

function decodeA(code: number): number {
  const bits = code ^ 0x55;
  const segment = (bits & 0x70) >> 4;
  const mantissa = (bits & 0x0f) << 4;
  const magnitude = segment === 0 ? mantissa + 8 : (mantissa + 0x108) << (segment - 1);
  return bits & 0x80 ? magnitude : -magnitude;
}

function encodeA(sample: number): number {
  const positive = sample >= 0;
  const magnitude = Math.min(positive ? sample : -sample - 1, 32_767) >> 4;
  const segment = magnitude < 16 ? 0 : 31 - Math.clz32(magnitude >> 4) + 1;
  const mantissa = segment < 2 ? magnitude & 0x0f : (magnitude >> (segment - 1)) & 0x0f;
  return ((positive ? 0x80 : 0) | (segment << 4) | mantissa) ^ 0x55;
}

function decodeTable(decode: (code: number) => number): Int16Array {
  return Int16Array.from({ length: 256 }, (_, code) => decode(code));
}

/** Indexed by the sample as unsigned 16 bits. */
function encodeTable(encode: (sample: number) => number): Uint8Array {
  return Uint8Array.from({ length: 65_536 }, (_, index) => encode(index >= 32_768 ? index - 65_536 : index));
}

const decoders = { PCMU: decodeTable(decodeMu), PCMA: decodeTable(decodeA) } as const;
const encoders = { PCMU: encodeTable(encodeMu), PCMA: encodeTable(encodeA) } as const;

/** Decodes `bytes` into `samples`, which must be at least as long. Returns the number of samples. */
export function decodeG711(codec: G711, bytes: Uint8Array, samples: Int16Array): number {
  const table = decoders[codec];
  const length = Math.min(bytes.length, samples.length);
  for (let i = 0; i < length; i += 1) samples[i] = table[bytes[i] ?? 0] ?? 0;
  return length;
}

/** Encodes `samples` into `bytes`, which must be at least as long. Returns the number of bytes. */
export function encodeG711(codec: G711, samples: Int16Array, bytes: Uint8Array): number {
  const table = encoders[codec];
  const length = Math.min(bytes.length, samples.length);
  for (let i = 0; i < length; i += 1) bytes[i] = table[(samples[i] ?? 0) & 0xffff] ?? 0;
  return length;
}
