import type { Identity } from "./identity.ts";

/** E.164 allows 15 digits; shorter than this is a short code or a mistake. */
const MAX_DIGITS = 15;
const MIN_DIGITS = 7;

/** Brazil: 55, an area code of two digits without a zero, and a mobile number, which began with 6 to 9 before it got its 9. */
const BRAZILIAN_MOBILE = /^55([1-9][1-9])(?:9([6-9]\d{7})|([6-9]\d{7}))$/;

/** Marks of writing direction, which copied numbers carry (Unicode TR9). */
const INVISIBLE = /[\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;
/** What people put between digits, the dashes of Unicode among it. */
const WRITTEN = /^\+?[\d\s().\-/\u2010-\u2015\u2212]+$/;

/**
 * `+55 (11) 98765-4321` becomes `5511987654321`, and so do `0055 …` and `+55 (0) 11 …`. Undefined when it is no international
 * phone number: no country code begins with 0.
 */
export function phoneDigits(text: string): string | undefined {
  const plain = text.replace(INVISIBLE, "").trim();
  if (!WRITTEN.test(plain)) return undefined;
  const digits = plain
    .replace(/^(\+|00)(\d{1,3}\s*)\(0\)/, "$1$2")
    .replace(/\D/g, "")
    .replace(/^00/, "");
  if (digits.startsWith("0")) return undefined;
  return digits.length < MIN_DIGITS || digits.length > MAX_DIGITS ? undefined : digits;
}

/**
 * The one form that stands for all equivalent forms of a number. Brazil put a 9 in front of its mobile numbers from 2012 to 2016,
 * and WhatsApp still knows many people by the number without it: both are one person. Here the 9 is always there.
 *
 * @param digits without `+`, with the country code.
 */
export function canonicalPhone(digits: string): string {
  const [, area, withNine, without] = BRAZILIAN_MOBILE.exec(digits) ?? [];
  const number = withNine ?? without;
  return area === undefined || number === undefined ? digits : `55${area}9${number}`;
}

/** All forms under which WhatsApp may know a number, the given one first. */
export function equivalentPhones(digits: string): readonly string[] {
  const canonical = canonicalPhone(digits);
  const [, area, number] = BRAZILIAN_MOBILE.exec(canonical) ?? [];
  if (area === undefined || number === undefined) return [digits];
  return [digits, ...[canonical, `55${area}${number}`].filter((form) => form !== digits)];
}

export function phoneIdentity(digits: string): Identity {
  return { kind: "phone", value: canonicalPhone(digits), address: digits };
}
