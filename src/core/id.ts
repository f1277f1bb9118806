/**
 * A UUID of version 7 (RFC 9562 §5.7): ids that sort by the time they were made.
 *
 *     0                   1                   2                   3
 *     |                          unix_ts_ms                         |
 *     |          unix_ts_ms           |  ver  |       rand_a        |
 *     |var|                        rand_b                           |
 *     |                            rand_b                           |
 *
 * @param nowMs Unix time in milliseconds, 48 bits.
 * @param random 16 random bytes; the 74 bits that the layout leaves to chance are taken from them.
 */
export function uuidV7(nowMs: number, random: Uint8Array): string {
  if (random.length < 16) throw new RangeError("uuidV7 needs 16 random bytes");
  const time = Math.trunc(nowMs).toString(16).padStart(12, "0");
  const hex = Array.from(random.subarray(6, 16), (byte) => byte.toString(16).padStart(2, "0"));
  hex[0] = (((random[6] ?? 0) & 0x0f) | 0x70).toString(16);
  hex[2] = (((random[8] ?? 0) & 0x3f) | 0x80).toString(16);
  const tail = hex.join("");
  return `${time.slice(0, 8)}-${time.slice(8)}-${tail.slice(0, 4)}-${tail.slice(4, 8)}-${tail.slice(8)}`;
}
