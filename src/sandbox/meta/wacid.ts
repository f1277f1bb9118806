import { type Random, randomBytes } from "#sandbox/random.ts";

/**
 * A call id in the shape of published ones: `wacid.` and base64 of
 *
 *     1c 18 <len> user · 15 02 00 12 18 20 <32 hex digits> · 1c 18 <len> business · 15 02 00 15 0a 00
 *
 * where 12 stands for a user-initiated call. About 100 characters, with padding, `+` and `/`.
 */
export function newWacid(random: Random, user: string, businessNumber: string): string {
  const text = (value: string): Buffer => Buffer.concat([Buffer.from([0x1c, 0x18, value.length]), Buffer.from(value)]);
  const bytes = Buffer.concat([
    text(user),
    Buffer.from([0x15, 0x02, 0x00, 0x12, 0x18, 0x20]),
    Buffer.from(randomBytes(random, 16).toString("hex").toUpperCase()),
    text(businessNumber),
    Buffer.from([0x15, 0x02, 0x00, 0x15, 0x0a, 0x00]),
  ]);
  return `wacid.${bytes.toString("base64")}`;
}
