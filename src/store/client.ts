import postgres from "postgres";

/** A connection pool. The one type of postgres.js that the rest of the store sees. */
export type Sql = postgres.Sql;

/** Enough for the journal, the inbox and the API at once; a database is shared, so that each node is modest. */
const POOL_CONNECTIONS = 10;

/** A database that does not take a connection in this time is away. */
const CONNECT_TIMEOUT_S = 5;

/** No statement of ours needs longer; one that does would hold a connection and its locks. */
const STATEMENT_TIMEOUT_MS = 15_000;

/** Waiting longer for a row means that something holds it that should not. */
const LOCK_TIMEOUT_MS = 5_000;

/** A transaction in which nothing happens was forgotten. */
const IDLE_TRANSACTION_MS = 30_000;

/** Between two attempts to reach a database that is away; the growing pauses of postgres.js (up to 20 s) outlast a restart. */
const RECONNECT_S = 0.25;

export interface ClientOptions {
  /** `postgresql://user:password@host:port/database`, or with `?host=/socket/directory`. */
  readonly url: string;
  readonly connections?: number;
  /** False behind a pooler in transaction mode, which cannot keep prepared statements. */
  readonly prepare?: boolean;
  /** True: connections are never recycled, because something (a lock) belongs to the session. */
  readonly forever?: boolean;
  readonly onClose?: () => void;
}

/** `?host=` and the like of a libpq URL, which postgres.js would send to the server as settings. */
function place(url: string): { readonly url: string; readonly options: postgres.Options<Record<string, never>> } {
  const parsed = new URL(url);
  const take = (name: string): string | undefined => {
    const value = parsed.searchParams.get(name);
    parsed.searchParams.delete(name);
    return value ?? undefined;
  };
  const host = take("host");
  const port = take("port");
  const user = take("user");
  if (host === undefined) return { url, options: {} };
  return {
    url: parsed.toString(),
    options: { host, port: Number(port ?? 5432), ...(user === undefined ? {} : { user }) },
  };
}

/** Opens a pool. Connects at the first statement and again whenever the server comes back. */
export function connect(options: ClientOptions): Sql {
  const where = place(options.url);
  return postgres(where.url, {
    ...where.options,
    max: options.connections ?? POOL_CONNECTIONS,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_S,
    prepare: options.prepare ?? true,
    onnotice: () => undefined,
    ...(options.forever === true ? { max_lifetime: null } : {}),
    ...(options.onClose === undefined ? {} : { onclose: options.onClose }),
    connection: {
      application_name: "ponte",
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
    },
  });
}
