/** Careful reading of JSON that somebody else wrote: wrong types read as absent. */

export type Json = Readonly<Record<string, unknown>>;

/** Meta's deepest webhooks have 9 levels. */
export const MAX_JSON_DEPTH = 64;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * Whether brackets nest deeper than `MAX_JSON_DEPTH`. Asked before parsing, because three megabytes of `[` come to a hundred
 * megabytes of arrays.
 */
export function isTooDeep(bytes: Buffer): boolean {
  let depth = 0;
  let inString = false;
  for (let index = 0; index < bytes.length; index++) {
    const byte = bytes[index];
    if (inString) {
      if (byte === BACKSLASH) index++;
      else if (byte === QUOTE) inString = false;
    } else if (byte === QUOTE) inString = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > MAX_JSON_DEPTH) return true;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return false;
}

/** The value of a JSON text, or undefined when it is none. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The objects of a list; a single object counts as a list of one. */
export function objectsIn(value: unknown): readonly Json[] {
  return (Array.isArray(value) ? value : [value]).filter(isObject);
}

export function objectAt(owner: Json | undefined, key: string): Json | undefined {
  const value = owner?.[key];
  return isObject(value) ? value : undefined;
}

const CONTROL_CHARACTERS = /[\p{Cc}\u2028\u2029]+/gu;

/**
 * A text of at least one visible character, cut to `maxLength`. Line ends and other control characters become spaces and
 * halves of surrogate pairs are replaced: such texts go into SIP headers and into Postgres, which refuse both.
 */
export function textAt(owner: Json | undefined, key: string, maxLength: number): string | undefined {
  const value = owner?.[key];
  if (typeof value !== "string") return undefined;
  const clean = value.slice(0, maxLength).toWellFormed().replace(CONTROL_CHARACTERS, " ").trim();
  return clean === "" ? undefined : clean;
}

/** A number, or a string of decimal digits, between 0 and 2^53 - 1. */
export function numberAt(owner: Json | undefined, key: string): number | undefined {
  const value = owner?.[key];
  const number = typeof value === "string" && /^\d{1,16}$/.test(value) ? Number(value) : value;
  return typeof number === "number" && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** A phone number as digits, without `+`, spaces and dashes (E.164 has at most 15). */
export function digitsAt(owner: Json | undefined, key: string): string | undefined {
  const text = textAt(owner, key, 64)?.replace(/[\s()+.-]/g, "");
  return text !== undefined && /^\d{1,20}$/.test(text) ? text : undefined;
}
