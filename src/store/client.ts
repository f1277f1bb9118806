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
  /** Longest wait for a row; shorter for those who would rather come again. */
  readonly lockTimeoutMs?: number;
  /**
   * True: a commit does not wait for the disk. It is as durable as the next one that does, on whatever connection: for what is only
   * half of something that such a commit completes.
   */
  readonly hurried?: boolean;
  /** Told what arrives on channels that a statement of this pool has listened to. */
  readonly onNotify?: (channel: string, payload: string) => void;
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

/**
 * How long the healthy connections of a pool that is given up may finish what they are at; also how long a statement that
 * was lost goes without being told so. Ours take milliseconds.
 */
const RETIRE_TIMEOUT_S = 0.5;

/**
 * What needs one connection for several statements. When that connection is lost, postgres.js 3.4 goes on writing to it from
 * a timer, which ends the process; so whatever has to be done together is one statement here.
 */
const REFUSED: ReadonlySet<string | symbol> = new Set(["begin", "reserve", "subscribe"]);

/**
 * Opens a pool. Connects at the first statement and again whenever the server comes back.
 *
 * A pool of postgres.js 3.4 does not survive the loss of a connection: a statement that is sent between the socket's error
 * and its close is never answered, and what was about to be written stays in front of the next handshake, so that the
 * connection can never be used again. Therefore the whole pool is replaced as soon as one of its connections has closed;
 * `end` then settles what was lost in the old one.
 */
export function connect(options: ClientOptions): Sql {
  const retiring = new Set<Promise<void>>();
  let ending = false;
  let pool = open();

  function open(): Sql {
    const one = openPool(options, () => {
      if (ending) return;
      options.onClose?.();
      if (pool === one) pool = open();
      const retired = one.end({ timeout: RETIRE_TIMEOUT_S }).finally(() => retiring.delete(retired));
      retiring.add(retired);
    });
    return one;
  }

  async function end(how?: { readonly timeout?: number }): Promise<void> {
    ending = true;
    await Promise.all([pool.end(how), ...retiring]);
  }

  return new Proxy(pool, {
    apply: (_first, _self, args) => Reflect.apply(pool, undefined, args),
    get: (_first, property) => {
      if (REFUSED.has(property)) throw new Error(`sql.${String(property)} is not used here: write one statement`);
      return property === "end" ? end : Reflect.get(pool, property);
    },
  });
}

function openPool(options: ClientOptions, onClose: () => void): Sql {
  const where = place(options.url);
  return postgres(where.url, {
    ...where.options,
    max: options.connections ?? POOL_CONNECTIONS,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_S,
    prepare: options.prepare ?? true,
    onnotice: () => undefined,
    onclose: onClose,
    // Not in the types of postgres.js, which offers its own way of listening: that one keeps a pool which is never given up.
    ...(options.onNotify === undefined ? {} : { onnotify: options.onNotify }),
    ...(options.forever === true ? { max_lifetime: null } : {}),
    connection: {
      application_name: "ponte",
      statement_timeout: STATEMENT_TIMEOUT_MS,
      lock_timeout: options.lockTimeoutMs ?? LOCK_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_TRANSACTION_MS,
      ...(options.hurried === true ? { synchronous_commit: "off" } : {}),
    },
  });
}
