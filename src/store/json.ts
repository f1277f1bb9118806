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
  return JSON.stringify(value, (_key, inner: unknown) => (typeof inner === "string" ? storable(inner) : inner));
}

/** The same text for the same value, whatever order its keys came in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  );
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
