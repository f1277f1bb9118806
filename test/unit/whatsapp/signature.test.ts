import { expect, test } from "vitest";
import { sameSecret, signatureFits } from "#whatsapp/signature.ts";

/** RFC 4231 §4.3, test case 2. */
const secret = "Jefe";
const body = Buffer.from("what do ya want for nothing?");
const digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";

test.each([
  ["the right secret", `sha256=${digest}`, [secret], true],
  ["the right secret, in capitals", `sha256=${digest.toUpperCase()}`, [secret], true],
  ["the old one of two", `sha256=${digest}`, ["new", secret], true],
  ["the new one of two", `sha256=${digest}`, [secret, "old"], true],
  ["another secret", `sha256=${digest}`, ["Jeff"], false],
  ["no secret", `sha256=${digest}`, [], false],
  ["no header", undefined, [secret], false],
  ["an empty header", "", [secret], false],
  ["sha1", `sha1=${digest}`, [secret], false],
  ["no prefix", digest, [secret], false],
  ["a digit less", `sha256=${digest.slice(1)}`, [secret], false],
  ["a digit more", `sha256=${digest}0`, [secret], false],
  ["no hexadecimal digits", `sha256=${"z".repeat(64)}`, [secret], false],
  ["a list of two", `sha256=${digest}, sha256=${digest}`, [secret], false],
])("a signature by %s", (_, header, secrets, fits) => {
  expect(signatureFits(body, header, secrets)).toBe(fits);
});

test("one changed byte is found, and an empty secret opens nothing", () => {
  const changed = Buffer.from(body);
  changed[0] = (changed[0] ?? 0) ^ 1;
  expect(signatureFits(changed, `sha256=${digest}`, [secret])).toBe(false);
  // RFC 4231 has no empty key; this is HMAC-SHA-256 of an empty body with an empty key.
  const empty = "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad";
  expect(signatureFits(Buffer.alloc(0), `sha256=${empty}`, [""])).toBe(false);
});

test("compares tokens of any length", () => {
  expect([sameSecret("abc", "abc"), sameSecret("abc", "abcd"), sameSecret("", "a")]).toEqual([true, false, false]);
});
