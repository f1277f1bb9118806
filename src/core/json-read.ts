import type { JsonObject, Json as JsonValue } from "./json.ts";

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

const CONTROL_BUT_LINES = /[^\P{Cc}\n\t]+/gu;

/** What a person wrote, cut to `maxLength`: as `textAt`, but its lines stay lines. */
export function proseAt(owner: Json | undefined, key: string, maxLength: number): string | undefined {
  const value = owner?.[key];
  if (typeof value !== "string") return undefined;
  const clean = value
    .slice(0, maxLength)
    .toWellFormed()
    .replace(/\r\n?|[\u2028\u2029]/g, "\n")
    .replace(CONTROL_BUT_LINES, " ");
  return clean.trim() === "" ? undefined : clean;
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

/**
 * A parsed document as one that can be stored: texts that Postgres refuses (NUL, halves of surrogate pairs) are mended.
 *
 * @param maxText of longer texts only the beginning is kept, characters.
 */
export function storable(document: Json, maxText = Number.POSITIVE_INFINITY): JsonObject {
  return mend(document, maxText) as JsonObject;
}

function mend(value: unknown, maxText: number): JsonValue {
  if (typeof value === "string") return mendText(value, maxText);
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "boolean" || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => mend(each, maxText));
  if (!isObject(value)) return null;
  const entries = Object.entries(value).map(([key, inner]) => [mendText(key, maxText), mend(inner, maxText)] as const);
  return Object.fromEntries(entries);
}

function mendText(text: string, maxText: number): string {
  const kept = text.length > maxText ? `${text.slice(0, maxText)}… (${text.length - maxText} more)` : text;
  return kept.toWellFormed().replaceAll("\0", "");
}

/** `T`, with optional fields in the place of those that may be undefined. */
export type Present<T> = { readonly [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  readonly [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** The object without what is undefined: optional fields of a document are absent, never undefined. */
export function present<T extends object>(fields: T): Present<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** Timestamps are seconds; a larger number is taken as milliseconds (the year 5138 in seconds). */
const FIRST_MILLISECONDS = 100_000_000_000;

/** A Unix time in seconds or milliseconds, as a number or digits, in milliseconds. No event is younger than `latest`. */
export function instantAt(owner: Json | undefined, key: string, latest: number): number | undefined {
  const number = numberAt(owner, key);
  if (number === undefined || number === 0) return undefined;
  return Math.min(number >= FIRST_MILLISECONDS ? number : number * 1_000, latest);
}
