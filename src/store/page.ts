import { PonteError } from "#core/error.ts";
import type { Page } from "#router/ports.ts";

/** Rows of one page, at most, whatever was asked for. */
const MAX_PAGE = 200;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** Ids that come from outside are compared with columns of type uuid, which refuse anything else. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export function pageLimit(limit: number): number {
  return Math.min(Math.max(Math.trunc(limit) || 1, 1), MAX_PAGE);
}

/** Where a page ended: the sort key of its last row. */
export function cursorOf(...parts: readonly string[]): string {
  return Buffer.from(JSON.stringify(parts)).toString("base64url");
}

/** Throws PonteError `bad_cursor` unless the parts fit their patterns, in which case they are safe to cast. */
export function readCursor(cursor: string, ...patterns: readonly RegExp[]): readonly string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString());
    if (Array.isArray(parts) && parts.length === patterns.length)
      if (patterns.every((pattern, n) => typeof parts[n] === "string" && pattern.test(parts[n]))) return parts;
  } catch (cause) {
    throw new PonteError("bad_cursor", "not a cursor of this list", { cause });
  }
  throw new PonteError("bad_cursor", "not a cursor of this list");
}

export const cursorPart = {
  uuid: UUID,
  event: /^evt_[0-9a-f-]{36}$/,
  /** ISO 8601 with milliseconds, as all of ours. */
  time: /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
};

/** A page of `limit` from `limit + 1` rows. */
export function pageOf<Row, T>(
  rows: readonly Row[],
  limit: number,
  read: (row: Row) => T,
  cursor: (row: Row) => string,
): Page<T> {
  const last = rows[limit - 1];
  const items = rows.slice(0, limit).map(read);
  return rows.length > limit && last !== undefined ? { items, next: cursor(last) } : { items };
}
