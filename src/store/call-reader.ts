import { PonteError } from "#core/error.ts";
import type { CallEvent, CallQuery, CallReaderPort, CallRecord } from "#engine/ports.ts";
import type { Sql } from "./client.ts";
import type { Database } from "./database.ts";
import { storeFailure } from "./failures.ts";
import { DEFAULT_TENANT } from "./tenant.ts";

/** Calls of one page, at most, whatever was asked for. */
const MAX_PAGE = 200;

/** Events of one call that are read; the journal keeps calls far below. */
const MAX_EVENTS = 5_000;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

type Row = Readonly<Record<string, unknown>>;

/** Reads calls, for the API. */
export class CallReader implements CallReaderPort {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Newest first. Throws PonteError `bad_cursor`, `store_unavailable`. */
  async list(query: CallQuery): Promise<{ readonly calls: readonly CallRecord[]; readonly next?: string }> {
    const { sql } = this.#database;
    const limit = Math.min(Math.max(Math.trunc(query.limit), 1), MAX_PAGE);
    const after = query.cursor === undefined ? undefined : readCursor(query.cursor);
    const rows = await reading(
      sql<Row[]>`
        select ${columns(sql)} from whatsapp_calls
        where tenant_id = ${DEFAULT_TENANT}
          ${query.state === undefined ? sql`` : sql`and state = ${query.state}`}
          ${query.channelId === undefined ? sql`` : sql`and channel_id = ${query.channelId}`}
          ${query.result === undefined ? sql`` : sql`and result = ${query.result}`}
          ${after === undefined ? sql`` : sql`and (received_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`}
        order by received_at desc, id desc
        limit ${limit + 1}`,
    );
    const calls = rows.slice(0, limit).map(recordOf);
    const last = rows[limit - 1];
    return rows.length > limit && last !== undefined ? { calls, next: cursorOf(last) } : { calls };
  }

  /**
   * One call with its timeline, by ponte's id or by Meta's. In one statement, so that the row is as old as the last event: a
   * reader who sees that a call is closed sees its last figures too.
   */
  async get(id: string): Promise<{ readonly call: CallRecord; readonly events: readonly CallEvent[] } | undefined> {
    const { sql } = this.#database;
    const key = UUID.test(id) ? sql`id = ${id}` : sql`wacid = ${id}`;
    const [row] = await reading(sql<(Row & { readonly events: readonly CallEvent[] })[]>`
      select ${columns(sql)}, (
        select coalesce(jsonb_agg(jsonb_build_object(
          'at', round(extract(epoch from at) * 1000), 'type', type, 'data', data) order by seq), '[]')
        from (select * from whatsapp_call_events where call_id = whatsapp_calls.id order by seq limit ${MAX_EVENTS}) told
      ) as events
      from whatsapp_calls where ${key}`);
    if (row === undefined) return undefined;
    const { events, ...call } = row;
    return { call: recordOf(call), events };
  }

  ping(): Promise<void> {
    return this.#database.ping();
  }
}

/** What is shown: everything but the tenant and the bookkeeping of ownership. */
function columns(sql: Sql) {
  return sql`
    id, wacid, channel_id, direction, state, tombstone, from_number, from_user_id, username, profile_name, to_number,
    cta_payload, deeplink_payload, handler, trunk, target, result, ended_by, cause, sip_status, q850_cause, graph_code,
    detail, meta_timestamp, received_at, pre_accepted_at, answered_at, ended_at, meta_status, meta_start_at, meta_end_at,
    meta_duration_s, meta_error_code, meta_error_title, evidence, media_stats, timings, updated_at`;
}

function recordOf(row: Row): CallRecord {
  const shown = Object.entries(row).map(([name, value]) => [name, value instanceof Date ? value.toISOString() : value]);
  return Object.fromEntries(shown) as CallRecord;
}

/** Where a page ended: the time (milliseconds, as all of ours are) and the id of its last call. */
function cursorOf(row: Row): string {
  const at = row["received_at"];
  return Buffer.from(`${at instanceof Date ? at.toISOString() : ""} ${row["id"]}`).toString("base64url");
}

function readCursor(cursor: string): { readonly at: string; readonly id: string } {
  const [at = "", id = ""] = Buffer.from(cursor, "base64url").toString().split(" ");
  if (Number.isNaN(Date.parse(at)) || !UUID.test(id))
    throw new PonteError("bad_cursor", "not a cursor of a page of calls");
  return { at: new Date(at).toISOString(), id };
}

async function reading<T>(statement: Promise<T>): Promise<T> {
  try {
    return await statement;
  } catch (error) {
    throw storeFailure(error);
  }
}
