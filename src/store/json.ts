import type postgres from "postgres";

/** What Postgres stores neither as text nor as jsonb: NUL, and halves of surrogate pairs. Names of callers may hold both. */
function storable(text: string): string {
  return text.replaceAll("\u0000", "").toWellFormed();
}

/**
 * A value as the text of a jsonb parameter that Postgres does not refuse.
 *
 * Used as `${json(rows)}::text::jsonb`: postgres.js would serialise a parameter of type jsonb a second time.
 */
export function json(value: unknown): string {
  const text = JSON.stringify(value);
  // Looking at the text is ten times as fast as looking at each string on the way.
  if (!UNSTORABLE.test(text)) return text;
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "string" ? storable(inner) : inner));
}

/** NUL and lone surrogates as JSON writes them; an escaped backslash before `u0000` is caught too, and does no harm. */
const UNSTORABLE = /\\u(0000|d[89a-f])/i;

/** The same text for the same JSON value, whatever order its keys came in. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const members = Object.keys(value)
    .filter((key) => Reflect.get(value, key) !== undefined)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonicalJson(Reflect.get(value, key))}`);
  return `{${members.join(",")}}`;
}

/** `packetsIn` becomes `packets_in`, all the way down; what is in the database is snake_case. */
export function snakeCased(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snakeCased);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snakeCased(inner),
    ]),
  );
}

export type Row = postgres.Row;
