import type { Clock, Log } from "#engine/ports.ts";
import type { Pool } from "#router/ports.ts";
import { connect, type Sql } from "./client.ts";

const CHANNEL = "ponte_wake";

/** What gathers in this time is one NOTIFY: each takes a lock of the whole cluster for an instant. */
const GATHER_MS = 20;

/** After a lost connection; until then the workers' polling has to do. */
const RELISTEN_MS = 1_000;

const CLOSE_TIMEOUT_S = 0.5;

const POOLS: ReadonlySet<string> = new Set(["route", "send", "deliver"] satisfies Pool[]);

export interface WakeOptions {
  readonly url: string;
  /** To notify with. */
  readonly sql: Sql;
  readonly nodeId: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Tells workers, here at once and on other nodes after the commit, that there may be work. A hint that may be lost. */
export class Wake {
  readonly #options: WakeOptions;
  readonly #listeners = new Set<(pool: Pool) => void>();
  readonly #gathered = new Set<Pool>();
  #listening: Sql | undefined;
  #cancelSend: (() => void) | undefined;
  #cancelListen: (() => void) | undefined;

  constructor(options: WakeOptions) {
    this.#options = options;
  }

  start(): void {
    const { url } = this.#options;
    this.#listening = connect({
      url,
      connections: 1,
      forever: true,
      onClose: () => this.#listenLater(),
      onNotify: (_channel, payload) => this.#heard(payload),
    });
    this.#listen();
  }

  async stop(): Promise<void> {
    this.#cancelSend?.();
    this.#cancelListen?.();
    this.#listeners.clear();
    const listening = this.#listening;
    this.#listening = undefined;
    await listening?.end({ timeout: CLOSE_TIMEOUT_S });
  }

  on(listener: (pool: Pool) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be called after the commit. */
  wake(pool: Pool): void {
    this.#tell(pool);
    this.#gathered.add(pool);
    if (this.#listening === undefined) return;
    this.#cancelSend ??= this.#options.clock.after(GATHER_MS, () => {
      this.#cancelSend = undefined;
      this.#send();
    });
  }

  #tell(pool: Pool): void {
    for (const listener of this.#listeners) listener(pool);
  }

  #send(): void {
    const { sql, nodeId, log } = this.#options;
    const payload = `${nodeId} ${[...this.#gathered].join(" ")}`;
    this.#gathered.clear();
    sql`select pg_notify(${CHANNEL}, ${payload})`.catch((error: unknown) =>
      log.debug({ err: error }, "could not wake the other nodes"),
    );
  }

  #heard(payload: string): void {
    const [from, ...pools] = payload.split(" ");
    if (from === this.#options.nodeId) return;
    for (const pool of pools) if (POOLS.has(pool)) this.#tell(pool as Pool);
  }

  #listen(): void {
    const sql = this.#listening;
    sql?.unsafe(`listen ${CHANNEL}`).catch((error: unknown) => {
      this.#options.log.debug({ err: error }, "cannot listen for work of other nodes");
      this.#listenLater();
    });
  }

  #listenLater(): void {
    if (this.#listening === undefined || this.#cancelListen !== undefined) return;
    this.#cancelListen = this.#options.clock.after(RELISTEN_MS, () => {
      this.#cancelListen = undefined;
      this.#listen();
    });
  }
}
