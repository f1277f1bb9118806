import type { KnownCall } from "#engine/ports.ts";
import type { CallRow, EventRow } from "./call-row.ts";
import type { Sql } from "./client.ts";
import { within } from "./database.ts";
import { json } from "./json.ts";

/** Whoever asks about an offer has a caller waiting. */
const LOOK_UP_LIMIT_MS = 1_500;

/** The states in their order; a call only ever moves to the right. */
const ORDER = "{offered,preparing,pre_accepting,dialing,accepting,bridged,ended}";

/** The rows of calls, as the node that owns them writes them. */
export class CallStore {
  readonly #sql: Sql;
  readonly #nodeId: string;

  constructor(sql: Sql, nodeId: string) {
    this.#sql = sql;
    this.#nodeId = nodeId;
  }

  /**
   * Writes calls and their events in one statement, so that all of it is there or nothing. May be repeated: the same again
   * changes nothing.
   *
   * The fences: a row is changed by its owner only (node and epoch), its state moves forward only, and how and when a call
   * ended stays as it was first written. Another row with the same `wacid` (a tombstone, another node's call) refuses the call.
   *
   * @returns the ids that were written; those missing were refused, together with their events.
   */
  async write(rows: readonly CallRow[], events: readonly EventRow[]): Promise<ReadonlySet<string>> {
    const sql = this.#sql;
    const now = new Date().toISOString();
    const full = rows.map((row) => ({ ...row, node_id: this.#nodeId, epoch: 1, updated_at: now }));
    const written = await sql<{ readonly id: string }[]>`
      with given as (
        select * from jsonb_populate_recordset(null::whatsapp_calls, ${json(full)}::text::jsonb)
      ), written as (
        insert into whatsapp_calls as c
        select * from given
        where not exists (select from whatsapp_calls o where o.wacid = given.wacid and o.id <> given.id)
        order by given.id
        on conflict (id) do update set
          state = case when array_position(${ORDER}::text[], excluded.state) > array_position(${ORDER}::text[], c.state)
                  then excluded.state else c.state end,
          handler          = coalesce(c.handler, excluded.handler),
          trunk            = coalesce(c.trunk, excluded.trunk),
          target           = coalesce(c.target, excluded.target),
          result           = coalesce(c.result, excluded.result),
          ended_by         = coalesce(c.ended_by, excluded.ended_by),
          cause            = coalesce(c.cause, excluded.cause),
          sip_status       = coalesce(c.sip_status, excluded.sip_status),
          q850_cause       = coalesce(c.q850_cause, excluded.q850_cause),
          graph_code       = coalesce(c.graph_code, excluded.graph_code),
          detail           = coalesce(c.detail, excluded.detail),
          pre_accepted_at  = coalesce(c.pre_accepted_at, excluded.pre_accepted_at),
          answered_at      = coalesce(c.answered_at, excluded.answered_at),
          ended_at         = coalesce(c.ended_at, excluded.ended_at),
          meta_status      = coalesce(c.meta_status, excluded.meta_status),
          meta_start_at    = coalesce(c.meta_start_at, excluded.meta_start_at),
          meta_end_at      = coalesce(c.meta_end_at, excluded.meta_end_at),
          meta_duration_s  = coalesce(c.meta_duration_s, excluded.meta_duration_s),
          meta_error_code  = coalesce(c.meta_error_code, excluded.meta_error_code),
          meta_error_title = coalesce(c.meta_error_title, excluded.meta_error_title),
          -- Figures grow: the newest are the best.
          evidence         = coalesce(excluded.evidence, c.evidence),
          media_stats      = coalesce(excluded.media_stats, c.media_stats),
          timings          = coalesce(excluded.timings, c.timings),
          updated_at       = excluded.updated_at
        where c.node_id = excluded.node_id and c.epoch = excluded.epoch
        returning c.id
      ), told as (
        insert into whatsapp_call_events (call_id, seq, at, type, data)
        select call_id, seq, at, type, data
        from jsonb_populate_recordset(null::whatsapp_call_events, ${json(events)}::text::jsonb)
        where call_id in (select id from written)
        on conflict do nothing
      )
      select id from written`;
    return new Set(written.map((row) => row.id));
  }

  /** What is stored under Meta's call id. Throws PonteError `store_unavailable` when the answer does not come in time. */
  async lookUp(wacid: string): Promise<KnownCall> {
    const [row] = await within(
      this.#sql<{ readonly tombstone: boolean }[]>`select tombstone from whatsapp_calls where wacid = ${wacid}`,
      LOOK_UP_LIMIT_MS,
    );
    if (row === undefined) return "new";
    return row.tombstone ? "tombstone" : "duplicate";
  }
}
