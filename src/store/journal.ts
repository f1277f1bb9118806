import type { Call } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import type { CallEvent, CallExtra, CallJournalPort, CallMemoryPort, Clock, KnownCall, Log } from "#engine/ports.ts";
import { type CallRow, type EventRow, mergeRows, rowOf, tombstoneRow } from "./call-row.ts";
import type { CallStore } from "./calls.ts";
import { WriteBehind } from "./write-behind.ts";

/** Calls in one statement; measured to be past the point where more would help. */
const MAX_BATCH_CALLS = 256;

/** Calls whose records may wait for a database that is away: an hour of a busy day, about 40 MB. */
const MAX_PENDING_CALLS = 20_000;

/** Events of one call that may wait. A call has some thirty; somebody who types digits for minutes has more. */
const MAX_PENDING_EVENTS = 500;

/** A stopping daemon waits this long for the database to take the last records. */
const CLOSE_LIMIT_MS = 5_000;

interface Entry {
  readonly row: CallRow;
  readonly events: readonly EventRow[];
}

export interface CallJournalOptions {
  readonly store: CallStore;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 random bytes. */
  readonly random: () => Uint8Array;
}

/** Call records, written behind. What is told about one call is written in its order; see `WriteBehind`. */
export class CallJournal implements CallJournalPort, CallMemoryPort {
  readonly #options: CallJournalOptions;
  /** By Meta's call id, under which a tombstone and a late offer meet. */
  readonly #queue: WriteBehind<Entry>;
  #seq = 0;
  #eventsLost = 0;

  constructor(options: CallJournalOptions) {
    this.#options = options;
    this.#queue = new WriteBehind({
      name: "calls",
      clock: options.clock,
      log: options.log,
      maxBatch: MAX_BATCH_CALLS,
      maxPending: MAX_PENDING_CALLS,
      merge: (older, newer) => this.#merge(older, newer),
      write: (entries) => this.#write(entries),
    });
  }

  /** For metrics: calls that wait, and records that were lost. */
  get figures(): { readonly pending: number; readonly dropped: number; readonly eventsLost: number } {
    return { pending: this.#queue.pending, dropped: this.#queue.dropped, eventsLost: this.#eventsLost };
  }

  record(call: Call, events: readonly CallEvent[], extra?: CallExtra): void {
    const row = rowOf(call, events, extra);
    this.#queue.put(row.wacid, { row, events: this.#numbered(row.id, events) });
  }

  tombstone(wacid: string, channelId: string, event: CallEvent): void {
    const { clock, random } = this.#options;
    const row = tombstoneRow(uuidV7(clock.now(), random()), wacid, channelId, event.at);
    this.#queue.put(wacid, { row, events: this.#numbered(row.id, [event]) });
  }

  async lookUp(wacid: string): Promise<KnownCall> {
    const waiting = this.#queue.waiting(wacid);
    if (waiting !== undefined) return waiting.row["tombstone"] === true ? "tombstone" : "duplicate";
    return this.#options.store.lookUp(wacid);
  }

  /** Resolves with true when everything that was told so far is in the database. */
  flush(limitMs: number): Promise<boolean> {
    return this.#queue.flush(limitMs);
  }

  /** Resolves when all that was told so far is in the database, however long that takes. */
  written(): Promise<void> {
    return this.#queue.written();
  }

  close(): Promise<void> {
    return this.#queue.close(CLOSE_LIMIT_MS);
  }

  #numbered(callId: string, events: readonly CallEvent[]): readonly EventRow[] {
    return events.map((event) => {
      this.#seq = Math.max(this.#seq + 1, this.#options.clock.now() * 1_000);
      const at = new Date(event.at).toISOString();
      return { call_id: callId, seq: this.#seq, at, type: event.type, data: event.data };
    });
  }

  #merge(older: Entry, newer: Entry): Entry {
    // Told twice that an unknown call is over, or that a call is over whose tombstone waits: the first one stays.
    if (older.row.id !== newer.row.id) return older;
    const events = [...older.events, ...newer.events];
    this.#eventsLost += Math.max(0, events.length - MAX_PENDING_EVENTS);
    return { row: mergeRows(older.row, newer.row), events: events.slice(0, MAX_PENDING_EVENTS) };
  }

  async #write(entries: readonly Entry[]): Promise<void> {
    const written = await this.#options.store.write(
      entries.map((entry) => entry.row),
      entries.flatMap((entry) => entry.events),
    );
    for (const { row } of entries) {
      if (written.has(row.id)) continue;
      const facts = { call_id: row.id, state: row.state, tombstone: row["tombstone"] };
      // Meta's last word about a call that another node, or a former life of this one, had: it is on record already.
      const level = row["tombstone"] === true ? "debug" : "warn";
      this.#options.log[level](facts, "call record refused: the call has ended or belongs to another node");
    }
  }
}
