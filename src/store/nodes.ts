import { hostname } from "node:os";
import type { Clock, Log } from "#engine/ports.ts";
import { connect, type Sql } from "./client.ts";
import { storeFailure } from "./failures.ts";

/** How often a node says that it lives. */
const HEARTBEAT_MS = 1_000;

/** A node that holds no lock and has been silent for so long has crashed; a shorter silence may be a reconnect. */
export const LOCK_GRACE_MS = 5_000;

/** A node that has been silent for so long is dead whatever lock it holds: its host has vanished, and its connection lingers. */
export const SILENCE_LIMIT_MS = 20_000;

/** Leaving politely must not hold up a stop. */
const LEAVE_TIMEOUT_S = 0.5;

export interface NodeOptions {
  readonly url: string;
  readonly nodeId: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * This process among those that share the database: a row in `nodes`, a heartbeat, and a session advisory lock that the
 * server drops the moment the process dies. The lock needs a connection of its own, which is never recycled.
 */
export class Node {
  readonly #options: NodeOptions;
  readonly #lockKey: string;
  #sql: Sql | undefined;
  #locked = false;
  #healthySince: number | undefined;
  #cancel: (() => void) | undefined;
  #beating: Promise<void> | undefined;

  constructor(options: NodeOptions) {
    this.#options = options;
    this.#lockKey = lockKeyOf(options.nodeId);
  }

  get id(): string {
    return this.#options.nodeId;
  }

  /**
   * For how long the database has been answering this node without a break. Others had the same chance to say that they live,
   * so that nobody is declared dead for a silence of the database.
   */
  healthyForMs(): number {
    return this.#healthySince === undefined ? 0 : this.#options.clock.now() - this.#healthySince;
  }

  async start(): Promise<void> {
    this.#sql = connect({
      url: this.#options.url,
      connections: 1,
      forever: true,
      onClose: () => {
        this.#locked = false;
        this.#healthySince = undefined;
      },
    });
    try {
      await this.#beat();
    } catch (error) {
      throw storeFailure(error);
    }
    this.#next();
  }

  /** Leaves; its row goes, its unended calls are then nobody's and are swept. */
  async stop(): Promise<void> {
    this.#cancel?.();
    await this.#beating;
    const sql = this.#sql;
    this.#sql = undefined;
    if (sql === undefined) return;
    await sql`delete from nodes where id = ${this.id}`.catch((error: unknown) => {
      this.#options.log.warn({ err: error }, "could not sign off from the database");
    });
    await sql.end({ timeout: LEAVE_TIMEOUT_S });
  }

  #next(): void {
    this.#cancel = this.#options.clock.after(HEARTBEAT_MS, () => {
      this.#beating = this.#beat()
        .catch((error: unknown) => this.#missed(error))
        .then(() => {
          if (this.#sql !== undefined) this.#next();
        });
    });
  }

  #missed(error: unknown): void {
    if (this.#healthySince !== undefined) this.#options.log.warn({ err: error }, "heartbeat missed");
    this.#healthySince = undefined;
  }

  async #beat(): Promise<void> {
    const sql = this.#sql;
    if (sql === undefined) return;
    const { nodeId, version, clock } = this.#options;
    if (!this.#locked) {
      const [row] = await sql`select pg_try_advisory_lock(${this.#lockKey}::bigint) as taken`;
      this.#locked = row?.["taken"] === true;
    }
    await sql`
      insert into nodes (id, host, pid, version, lock_key)
      values (${nodeId}, ${hostname()}, ${process.pid}, ${version}, ${this.#lockKey}::bigint)
      on conflict (id) do update set seen_at = now()`;
    this.#healthySince ??= clock.now();
  }
}

/** 63 bits of the node's id. Two nodes with the same would only be slower to be found dead. */
function lockKeyOf(nodeId: string): string {
  return (BigInt(`0x${nodeId.replaceAll("-", "").slice(16)}`) & 0x7fff_ffff_ffff_ffffn).toString();
}

/** A condition on `nodes n`: it holds its lock, so that its process lives and is connected. */
export function holdsLock(sql: Sql) {
  return sql`exists (
    select from pg_locks l
    where l.locktype = 'advisory' and l.granted and l.objsubid = 1
      and l.database = (select oid from pg_database where datname = current_database())
      and l.classid::bigint = n.lock_key >> 32 and l.objid::bigint = n.lock_key & 4294967295)`;
}

/** What is known about the others when dead nodes are looked for. */
export interface View {
  /** Nobody else can be using this database (it is our own): every other node is a former life. */
  readonly sole: boolean;
  readonly healthyForMs: number;
}

/** A condition on `nodes n`: dead, as far as this node may judge. */
export function isDead(sql: Sql, me: string, view: View) {
  if (view.sole) return sql`n.id <> ${me}`;
  const crashed = view.healthyForMs >= LOCK_GRACE_MS;
  const vanished = view.healthyForMs >= SILENCE_LIMIT_MS;
  return sql`n.id <> ${me} and (
    (${vanished} and n.seen_at < now() - ${SILENCE_LIMIT_MS} * interval '1 millisecond')
    or (${crashed} and n.seen_at < now() - ${LOCK_GRACE_MS} * interval '1 millisecond' and not ${holdsLock(sql)}))`;
}
