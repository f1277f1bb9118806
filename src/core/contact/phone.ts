import type { Identity } from "./identity.ts";

/** E.164 allows 15 digits; shorter than this is a short code or a mistake. */
const MAX_DIGITS = 15;
const MIN_DIGITS = 7;

/** Brazil: 55, an area code of two digits without a zero, and a mobile number, which began with 6 to 9 before it got its 9. */
const BRAZILIAN_MOBILE = /^55([1-9][1-9])(?:9([6-9]\d{7})|([6-9]\d{7}))$/;

/** `+55 (11) 98765-4321` becomes `5511987654321`. Undefined when it is no phone number. */
export function phoneDigits(text: string): string | undefined {
  if (!/^\+?[\d\s().-]+$/.test(text)) return undefined;
  const digits = text.replace(/\D/g, "").replace(/^00/, "");
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
