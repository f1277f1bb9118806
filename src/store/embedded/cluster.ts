import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from "node:fs";
import { join } from "node:path";
import postgres from "postgres";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";
import { type Account, canEnter, chooseAccount, runAs } from "./account.ts";
import { type Binaries, type BinarySources, findBinaries } from "./binaries.ts";
import { claimDirectory } from "./owner.ts";
import { Postmaster } from "./postmaster.ts";

/** A socket's whole path must fit into `sun_path` (104 bytes on macOS) with Postgres' own `/.s.PGSQL.5432.lock`. */
const MAX_SOCKET_DIRECTORY_BYTES = 80;

/** The only role of an embedded cluster; who can enter the socket directory may use it. */
const USER = "ponte";

/** Small enough for a small machine; the measured use is 45 to 95 MB. */
const SETTINGS = { shared_buffers: "64MB" };

/** A daemon's own connections, when nobody says how many there will be. */
const CONNECTIONS = 28;

/** For those of a killed daemon that the server has not noticed yet, for `psql`, and for the commands of `ponte`. */
const SPARE_CONNECTIONS = 32;

/** For tests, whose data nobody will miss after a power cut. A killed server still loses nothing that it has committed. */
const FORGETFUL = { fsync: "off", full_page_writes: "off" };

export interface EmbeddedOptions {
  /** Holds `pgdata`, the socket, and a copy of the programs where one is needed. */
  readonly dataDir: string;
  readonly log: Log;
  /** Name of the database to make and to use. */
  readonly database?: string;
  /** False: no fsync. */
  readonly durable?: boolean;
  /** As root: may make a system user `ponte`. */
  readonly mayCreateUser?: boolean;
  /** How many connections the daemon will open; 28 when absent. */
  readonly connections?: number;
  readonly settings?: Readonly<Record<string, string>>;
  readonly sources?: BinarySources;
}

/** What a client needs to reach the server. */
export interface Endpoint {
  /** The socket directory. */
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
}

export interface EmbeddedServer {
  readonly endpoint: Endpoint;
  /** The same for `psql` and for `openDatabase`. */
  readonly url: string;
  readonly major: number;
  /** The server's process id, while it runs. */
  readonly pid: () => number | undefined;
  stop(): Promise<void>;
}

/** Where data goes when nothing is configured: root's belongs to the machine, a user's to the checkout. */
export function defaultDataDir(): string {
  return process.getuid?.() === 0 ? "/var/lib/ponte" : join(process.cwd(), "data");
}

export function urlOf(endpoint: Endpoint): string {
  const query = new URLSearchParams({ host: endpoint.host, port: String(endpoint.port), user: endpoint.user });
  return `postgresql:///${encodeURIComponent(endpoint.database)}?${query}`;
}

/**
 * Starts a real Postgres of our own on a Unix socket, making its cluster the first time. It dies with this process, and is
 * started again when it dies alone.
 */
export async function startEmbedded(options: EmbeddedOptions): Promise<EmbeddedServer> {
  if (!existsSync(options.dataDir)) {
    mkdirSync(options.dataDir, { recursive: true });
    chmodSync(options.dataDir, 0o755);
  }
  const home = realpathSync(options.dataDir);
  const socket = chooseSocketDirectory(home);
  const release = claimDirectory(home, socket.outside ? socket.path : undefined);
  let postmaster: Postmaster | undefined;
  const undo = async () => {
    await postmaster?.stop();
    if (socket.outside) rmSync(socket.path, { recursive: true, force: true });
    release();
  };
  try {
    const pgdata = join(home, "pgdata");
    const account = await usableAccount(home, pgdata, options.mayCreateUser ?? true);
    const binaries = await findBinaries(home, account, existingMajor(pgdata), options.sources);
    if (!existsSync(pgdata)) await makeCluster(pgdata, binaries, account, options);
    givePrivateDirectory(socket.path, account);
    const max_connections = String((options.connections ?? CONNECTIONS) + SPARE_CONNECTIONS);
    const settings = {
      ...SETTINGS,
      max_connections,
      ...(options.durable === false ? FORGETFUL : {}),
      ...options.settings,
    };
    postmaster = new Postmaster({
      binaries,
      account,
      pgdata,
      socketDirectory: socket.path,
      settings,
      log: options.log,
    });
    await postmaster.start();
    const endpoint = { host: socket.path, port: 5432, user: USER, database: options.database ?? "ponte" };
    await makeDatabase(endpoint);
    options.log.info(
      { data_dir: home, version: binaries.major, source: binaries.source, user: account.name, url: urlOf(endpoint) },
      "embedded Postgres is up",
    );
    const running = postmaster;
    return { endpoint, url: urlOf(endpoint), major: binaries.major, pid: () => running.pid, stop: undo };
  } catch (error) {
    await undo();
    throw error;
  }
}

function chooseSocketDirectory(home: string): { readonly path: string; readonly outside: boolean } {
  const inside = join(home, "socket");
  if (Buffer.byteLength(inside) <= MAX_SOCKET_DIRECTORY_BYTES) return { path: inside, outside: false };
  return { path: mkdtempSync("/tmp/ponte-pg-"), outside: true };
}

async function usableAccount(home: string, pgdata: string, mayCreateUser: boolean): Promise<Account> {
  const account = await chooseAccount(pgdata, mayCreateUser);
  if (await canEnter(account, home)) return account;
  throw new PonteError(
    "data_dir_unreachable",
    `the data directory ${home} cannot be entered by user "${account.name}", under whom Postgres has to run: choose another (as root the default is /var/lib/ponte), or set DATABASE_URL`,
  );
}

function existingMajor(pgdata: string): number | undefined {
  if (!existsSync(pgdata)) return undefined;
  return Number.parseInt(readFileSync(join(pgdata, "PG_VERSION"), "utf8"), 10);
}

/** Makes a fresh directory that only the account can enter. */
function givePrivateDirectory(path: string, account: Account): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { mode: 0o700 });
  if (account.ids !== undefined) chownSync(path, account.ids.uid, account.ids.gid);
}

/** Makes the cluster beside its place and moves it there when it is whole, so that half a cluster never counts. */
async function makeCluster(pgdata: string, binaries: Binaries, account: Account, options: EmbeddedOptions) {
  const unfinished = `${pgdata}.init`;
  givePrivateDirectory(unfinished, account);
  // From 17 on Postgres brings its own collation, so that sorting does not depend on the system's libraries.
  const locale = binaries.major >= 17 ? ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] : [];
  const sync = options.durable === false ? ["--no-sync"] : [];
  const initdb = [join(binaries.bin, "initdb"), "-D", unfinished, "-U", USER, "-E", "UTF8", "-A", "trust"];
  try {
    await runAs(account, [...initdb, "--locale=C", ...locale, ...sync], { ...process.env, LC_ALL: "C" });
  } catch (error) {
    const said = (error as { readonly stderr?: string }).stderr ?? String(error);
    throw new PonteError("postgres_init", `initdb failed in ${unfinished}: ${said.trim()}`, { cause: error });
  }
  renameSync(unfinished, pgdata);
}

async function makeDatabase(endpoint: Endpoint): Promise<void> {
  const sql = postgres({ ...endpoint, database: "postgres", max: 1, fetch_types: false });
  try {
    const [found] = await sql`select 1 from pg_database where datname = ${endpoint.database}`;
    if (found === undefined) await sql`create database ${sql(endpoint.database)}`;
  } finally {
    await sql.end();
  }
}
