import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";
import { connect, type Sql } from "./client.ts";
import { mayPass, storeFailure } from "./failures.ts";

export const MIGRATIONS = fileURLToPath(new URL("./migrations", import.meta.url));

/** The advisory lock under which one process migrates; the number is "ponte" in ASCII. */
const LOCK_KEY = "482939925605";

/** A migration of a large table may take this long on another node. */
const LOCK_LIMIT_MS = 300_000;
const LOCK_POLL_MS = 50;

const CLOSE_TIMEOUT_S = 5;

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  /** SHA-256 of the text, line ends made equal. */
  readonly checksum: string;
  /**
   * `-- no-transaction` in the first line: for the one statement that cannot run in a transaction, such as `create index
   * concurrently`.
   */
  readonly transaction: boolean;
}

/** Reads `NNNN_name.sql` in order. A gap or a double number is a mistake of whoever merged two branches. */
export function readMigrations(folder: string): readonly Migration[] {
  const names = readdirSync(folder).filter((name) => name.endsWith(".sql"));
  const migrations = names.sort().map((name, index): Migration => {
    const version = /^(\d{4})_[a-z0-9_]+\.sql$/.exec(name)?.[1];
    if (version === undefined || Number(version) !== index + 1) {
      throw new PonteError("migration_order", `${name} is not migration number ${index + 1} (NNNN_name.sql, no gaps)`);
    }
    const text = readFileSync(join(folder, name), "utf8").replaceAll("\r\n", "\n");
    const checksum = createHash("sha256").update(text).digest("hex");
    return { version: Number(version), name, text, checksum, transaction: !text.startsWith("-- no-transaction\n") };
  });
  return migrations;
}

export interface MigrateOptions {
  readonly url: string;
  readonly log: Log;
  readonly folder?: string;
}

/**
 * Brings the database to the state that this build needs. Safe to run on every node at once: one works, the others wait.
 * @returns how many migrations were applied.
 * @throws PonteError `schema_newer`, `schema_changed`, `migration_failed`, `store_unavailable`.
 */
export async function migrate({ url, log, folder = MIGRATIONS }: MigrateOptions): Promise<number> {
  const migrations = readMigrations(folder);
  // The lock belongs to a session, so that everything here runs on one connection; with the connection the lock goes.
  let lost = false;
  const sql = connect({ url, connections: 1, forever: true, onClose: () => (lost = true) });
  try {
    await sql`set statement_timeout = 0`;
    await sql`set lock_timeout = 0`;
    await lock(sql, log);
    return await apply(sql, migrations, log, () => lost);
  } catch (error) {
    throw storeFailure(error);
  } finally {
    await sql.end({ timeout: CLOSE_TIMEOUT_S });
  }
}

/**
 * Takes the lock by asking again and again: a statement that waits for it inside the server would hold a snapshot, and
 * `create index concurrently` of the one who has the lock would wait for that snapshot (a deadlock, seen in every trial).
 */
async function lock(sql: Sql, log: Log): Promise<void> {
  const until = Date.now() + LOCK_LIMIT_MS;
  for (let first = true; ; first = false) {
    const [row] = await sql`select pg_try_advisory_lock(${LOCK_KEY}::bigint) as taken`;
    if (row?.["taken"] === true) return;
    if (first) log.info({}, "waiting for another process to migrate the database");
    if (Date.now() > until)
      throw new PonteError("migration_busy", "another process has been migrating for too long", { retryable: true });
    await delay(LOCK_POLL_MS);
  }
}

async function apply(sql: Sql, migrations: readonly Migration[], log: Log, lost: () => boolean): Promise<number> {
  await sql`create table if not exists schema_migrations (
    version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now())`;
  const applied = await sql<{ readonly version: number; readonly name: string; readonly checksum: string }[]>`
    select version, name, checksum from schema_migrations order by version`;
  check(migrations, applied);
  const missing = migrations.filter((one) => !applied.some((row) => row.version === one.version));
  for (const migration of missing) {
    if (lost())
      throw new PonteError("store_unavailable", "the database went away while it was migrated", { retryable: true });
    const started = performance.now();
    await run(sql, migration);
    log.info({ migration: migration.name, took_ms: Math.round(performance.now() - started) }, "database migrated");
  }
  return missing.length;
}

function check(
  migrations: readonly Migration[],
  applied: readonly { readonly version: number; readonly name: string; readonly checksum: string }[],
): void {
  for (const row of applied) {
    const known = migrations[row.version - 1];
    if (known === undefined) {
      throw new PonteError(
        "schema_newer",
        `the database was migrated by a newer ponte (${row.name}); this one knows ${migrations.length} migrations: install the newer one, or restore a backup`,
      );
    }
    if (known.checksum !== row.checksum) {
      throw new PonteError(
        "schema_changed",
        `migration ${row.name} is not the one that was applied to this database: migrations are never edited, only added`,
      );
    }
  }
}

async function run(sql: Sql, { version, name, checksum, text, transaction }: Migration): Promise<void> {
  // Numbers, our own file names and hexadecimal digits: nothing in it needs to be escaped.
  const note = `insert into schema_migrations (version, name, checksum) values (${version}, '${name}', '${checksum}');`;
  try {
    if (transaction) {
      // One message to the server: all of it, or nothing.
      await sql.unsafe(`begin;\n${text}\n;\n${note}\ncommit;`);
    } else {
      await sql.unsafe(text);
      await sql.unsafe(note);
    }
  } catch (error) {
    if (mayPass(error)) throw error;
    await sql`rollback`;
    const reason = error instanceof Error ? error.message : String(error);
    throw new PonteError("migration_failed", `migration ${name} failed: ${reason}`, { cause: error });
  }
}
