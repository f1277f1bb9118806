/** Serial number arithmetic (RFC 1982): how far `to` lies after `from`; negative when it lies before. */

/** For 16-bit sequence numbers, −32768 to 32767. */
export function sequenceDistance(from: number, to: number): number {
  return ((to - from) << 16) >> 16;
}

/** For 32-bit timestamps, −2^31 to 2^31 − 1. */
export function timestampDistance(from: number, to: number): number {
  return (to - from) | 0;
}
