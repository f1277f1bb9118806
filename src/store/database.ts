import type { Log } from "#engine/ports.ts";
import { defaultDataDir, startEmbedded } from "#store/embedded/cluster.ts";
import { connect, type Sql } from "./client.ts";
import { storeFailure } from "./failures.ts";

/** A stopping daemon waits this long for statements under way. */
const CLOSE_TIMEOUT_S = 2;

/** A probe that takes longer finds the database away. */
const PROBE_TIMEOUT_MS = 2_000;

export interface DatabaseOptions {
  readonly log: Log;
  /** Absent: Postgres of our own in `dataDir`. */
  readonly url?: string | undefined;
  /** Absent: `/var/lib/ponte` for root, `./data` for everybody else. */
  readonly dataDir?: string | undefined;
  /** Of this pool. */
  readonly connections?: number;
  /** Of this and all other pools that will be opened; an embedded server has room for them, and for a `psql` or two. */
  readonly allowed?: number;
  readonly prepare?: boolean;
}

export interface Database {
  readonly sql: Sql;
  readonly url: string;
  /** True: the database is ours, and no other node can be using it. */
  readonly embedded: boolean;
  /** Resolves after a round trip; rejects with PonteError `store_unavailable`. */
  ping(): Promise<void>;
  close(): Promise<void>;
}

/** Opens the configured database, or the embedded one, which it then also stops. */
export async function openDatabase(options: DatabaseOptions): Promise<Database> {
  const server =
    options.url === undefined
      ? await startEmbedded({
          dataDir: options.dataDir ?? defaultDataDir(),
          log: options.log,
          ...(options.allowed === undefined ? {} : { connections: options.allowed }),
        })
      : undefined;
  const url = options.url ?? server?.url ?? "";
  const sql = connect({
    url,
    ...(options.connections === undefined ? {} : { connections: options.connections }),
    ...(options.prepare === undefined ? {} : { prepare: options.prepare }),
  });
  let closing: Promise<void> | undefined;
  return {
    sql,
    url,
    embedded: server !== undefined,
    ping: () => within(sql`select 1`, PROBE_TIMEOUT_MS).then(() => undefined),
    close: () => {
      closing ??= sql.end({ timeout: CLOSE_TIMEOUT_S }).then(() => server?.stop());
      return closing;
    },
  };
}

/** A statement with a limit of its own, for those who cannot wait; the database is then taken to be away. */
export async function within<T>(statement: Promise<T>, limitMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const error = Object.assign(new Error(`no answer in ${limitMs} ms`), { code: "ETIMEDOUT" });
    timer = setTimeout(reject, limitMs, error);
  });
  try {
    return await Promise.race([statement, late]);
  } catch (error) {
    // The loser of the race may fail later, when nobody listens any more.
    statement.catch(() => undefined);
    throw storeFailure(error);
  } finally {
    clearTimeout(timer);
  }
}
