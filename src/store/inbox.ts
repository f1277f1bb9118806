import { createHash } from "node:crypto";
import { PonteError } from "#core/error.ts";
import { uuidV7 } from "#core/id.ts";
import type { Clock, InboxItem, Log, WebhookInboxPort } from "#engine/ports.ts";
import type { Sql } from "./client.ts";
import { within } from "./database.ts";
import { mayPass, storeFailure } from "./failures.ts";
import { holdsLock } from "./nodes.ts";
import { WriteBehind } from "./write-behind.ts";

/** Bodies that may wait for their commit. Beyond that senders are told to come again, which they do for days. */
const MAX_QUEUED = 5_000;
const MAX_QUEUED_BYTES = 64 * 1_048_576;

/** Bodies in one statement, and their bytes: measured to be 1.7 to 2.8 times the rate of one statement each. */
const MAX_BATCH = 256;
const MAX_BATCH_BYTES = 8 * 1_048_576;

/** Statements under way: while one waits for the disk the next is made. */
const MAX_UNDER_WAY = 2;

/** The sender hangs up after about 20 s; an answer after this time would be a guess. */
const COMMIT_LIMIT_MS = 8_000;

/** A body that was taken up so often without being worked off kills whoever touches it, and is left to a person. */
const MAX_ATTEMPTS = 5;

/** Acknowledgements of finished work that may wait; those lost are worked off once more after a restart. */
const MAX_PENDING_DONE = 50_000;

/** A stopping daemon waits this long for the last acknowledgements. */
const CLOSE_LIMIT_MS = 3_000;

interface Waiting {
  readonly id: string;
  readonly source: string;
  /** SHA-256 of source and body, hexadecimal. */
  readonly digest: string;
  readonly body: Buffer;
  readonly receivedAt: Date;
  readonly settle: (outcome: { readonly id: string; readonly duplicate: boolean } | PonteError) => void;
}

interface Done {
  readonly id: string;
  readonly error: string | undefined;
}

export interface WebhookInboxOptions {
  readonly sql: Sql;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Log;
  /** 16 random bytes. */
  readonly random: () => Uint8Array;
  /** Resolves when the records of all that was taken so far are in the database. */
  readonly recorded?: () => Promise<void>;
}

/**
 * Webhook bodies that were acknowledged: each is in the database before its sender hears 200, and stays there until it was
 * worked off, by this process or by another one after it.
 */
export class WebhookInbox implements WebhookInboxPort {
  readonly #options: WebhookInboxOptions;
  readonly #queue: Waiting[] = [];
  readonly #done: WriteBehind<Done>;
  /** Handed out by this process and not known to the database as done. */
  readonly #open = new Set<string>();
  #queuedBytes = 0;
  #underWay = 0;
  #scheduled = false;

  constructor(options: WebhookInboxOptions) {
    this.#options = options;
    this.#done = new WriteBehind({
      name: "webhook_inbox",
      clock: options.clock,
      log: options.log,
      maxBatch: 1_000,
      maxPending: MAX_PENDING_DONE,
      merge: (older) => older,
      write: (items) => this.#writeDone(items),
    });
  }

  accept(source: "meta", body: Buffer): Promise<{ readonly id: string; readonly duplicate: boolean }> {
    if (this.#queue.length >= MAX_QUEUED || this.#queuedBytes + body.length > MAX_QUEUED_BYTES) {
      const full = new PonteError("store_overloaded", "too many webhooks wait for the database", { retryable: true });
      return Promise.reject(full);
    }
    const { clock, random } = this.#options;
    const now = clock.now();
    return new Promise((resolve, reject) => {
      this.#queue.push({
        id: uuidV7(now, random()),
        source,
        digest: createHash("sha256").update(`${source}\n`).update(body).digest("hex"),
        body,
        receivedAt: new Date(now),
        settle: (outcome) => (outcome instanceof PonteError ? reject(outcome) : resolve(outcome)),
      });
      this.#queuedBytes += body.length;
      this.#schedule();
    });
  }

  /**
   * Takes up what was accepted but is not being worked off: by a node that died, or by nobody because its commit was never
   * heard of. A node without its lock counts as dead here at once: were it only reconnecting, an event would be told twice,
   * and the engine knows its calls. To be asked at the start and every few seconds.
   */
  async unprocessed(limit: number): Promise<readonly InboxItem[]> {
    const { sql, nodeId } = this.#options;
    try {
      const rows = await sql<{ readonly id: string; readonly body: Buffer; readonly received_at: Date }[]>`
        update webhook_inbox set node_id = ${nodeId}, attempts = attempts + 1
        where id in (
          select i.id from webhook_inbox i
          where i.processed_at is null and i.attempts < ${MAX_ATTEMPTS}
            and case when i.node_id = ${nodeId} then i.id <> all(${[...this.#open]}::uuid[])
                else not exists (select from nodes n where n.id = i.node_id and ${holdsLock(sql)}) end
          order by i.id limit ${limit} for update skip locked
        )
        returning id, body, received_at`;
      for (const row of rows) this.#open.add(row.id);
      return rows
        .toSorted((a, b) => (a.id < b.id ? -1 : 1))
        .map((row) => ({ id: row.id, source: "meta", body: row.body, receivedAt: row.received_at.getTime() }));
    } catch (error) {
      throw storeFailure(error);
    }
  }

  done(id: string, error?: string): void {
    this.#done.put(id, { id, error });
  }

  /** Forgets what was worked off before `before`; a repetition that comes later than that is taken for new. */
  async prune(before: Date, limit: number): Promise<number> {
    const gone = await this.#options.sql`
      delete from webhook_inbox where id in (
        select id from webhook_inbox where processed_at < ${before} limit ${limit} for update skip locked)`;
    return gone.count;
  }

  /** For metrics. */
  get figures(): { readonly queued: number; readonly open: number } {
    return { queued: this.#queue.length, open: this.#open.size };
  }

  flush(limitMs: number): Promise<boolean> {
    return this.#done.flush(limitMs);
  }

  close(): Promise<void> {
    return this.#done.close(CLOSE_LIMIT_MS);
  }

  /** The first body goes at the end of this turn of the event loop; what comes while a statement is under way goes with the next. */
  #schedule(): void {
    if (this.#scheduled || this.#underWay >= MAX_UNDER_WAY || this.#queue.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      const batch = this.#takeBatch();
      if (batch.length === 0) return;
      this.#underWay += 1;
      this.#insert(batch).finally(() => {
        this.#underWay -= 1;
        this.#schedule();
      });
      this.#schedule();
    });
  }

  #takeBatch(): readonly Waiting[] {
    let count = 0;
    let bytes = 0;
    for (const { body } of this.#queue) {
      if (count === MAX_BATCH || (count > 0 && bytes + body.length > MAX_BATCH_BYTES)) break;
      count += 1;
      bytes += body.length;
    }
    this.#queuedBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  /** Never rejects: every outcome is told to those who wait. */
  async #insert(batch: readonly Waiting[]): Promise<void> {
    // The same body twice in one batch is one row.
    const first = new Map<string, Waiting>();
    for (const one of batch) if (!first.has(one.digest)) first.set(one.digest, one);
    const rows = [...first.values()];
    for (const row of rows) this.#open.add(row.id);
    try {
      const stored = await within(this.#statement(rows), COMMIT_LIMIT_MS);
      const byDigest = new Map(stored.map((row) => [row.digest, row]));
      for (const one of batch) one.settle(this.#outcome(one, byDigest.get(one.digest)));
    } catch (error) {
      // Whether it was committed may be unknown: then it is found by `unprocessed`, or when the sender comes again.
      for (const row of rows) this.#open.delete(row.id);
      if (!mayPass(error) && batch.length > 1) await Promise.all(batch.map((one) => this.#insert([one])));
      else for (const one of batch) one.settle(storeFailure(error));
    }
  }

  #statement(rows: readonly Waiting[]) {
    const { sql, nodeId } = this.#options;
    // Sorted, because two batches that lock the same rows in different orders wait for each other for ever.
    return sql<{ id: string; digest: string; node_id: string; processed: boolean }[]>`
      insert into webhook_inbox as i (id, source, digest, body, received_at, node_id)
      select id, source, decode(digest, 'hex'), decode(body, 'base64'), received_at, ${nodeId}
      from unnest(
        ${rows.map((row) => row.id)}::uuid[], ${rows.map((row) => row.source)}::text[],
        ${rows.map((row) => row.digest)}::text[], ${rows.map((row) => row.body.toString("base64"))}::text[],
        ${rows.map((row) => row.receivedAt.toISOString())}::timestamptz[]
      ) as given (id, source, digest, body, received_at)
      order by digest
      on conflict (digest) do update set digest = i.digest
      returning id, encode(digest, 'hex') as digest, node_id, processed_at is not null as processed`;
  }

  #outcome(
    one: Waiting,
    row: { readonly id: string; readonly node_id: string; readonly processed: boolean } | undefined,
  ) {
    if (row === undefined) return new PonteError("store_failed", "the inbox lost a row that it had just stored");
    if (row.id === one.id) return { id: row.id, duplicate: false };
    this.#open.delete(one.id);
    const mine = row.node_id === this.#options.nodeId;
    if (row.processed || !mine || this.#open.has(row.id)) return { id: row.id, duplicate: true };
    // Stored by us before, but its commit was never heard of, so that nobody works it off.
    this.#open.add(row.id);
    return { id: row.id, duplicate: false };
  }

  /** Only when what came of them is on record: a crash in between must find them open, or their calls are lost. */
  async #writeDone(items: readonly Done[]): Promise<void> {
    await this.#options.recorded?.();
    await this.#options.sql`
      update webhook_inbox i set processed_at = now(), error = given.error
      from unnest(${items.map((item) => item.id)}::uuid[], ${items.map((item) => item.error ?? null)}::text[])
        as given (id, error)
      where i.id = given.id and i.processed_at is null`;
    for (const item of items) this.#open.delete(item.id);
  }
}
