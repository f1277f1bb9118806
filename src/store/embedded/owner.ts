import { execFileSync } from "node:child_process";
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { PonteError } from "#core/error.ts";

/** Which daemon a data directory belongs to, in `ponte.pid`. */
interface Owner {
  readonly pid: number;
  /** When the process started, in the words of the system: process ids are used again, in containers even the same ones. */
  readonly started: string;
  /** A socket directory outside of the data directory, to be removed with its owner. */
  readonly socketDirectory?: string | undefined;
}

/** When a process started, or undefined when there is none. Comparable on one machine between two boots. */
export function startOf(pid: number): string | undefined {
  try {
    if (process.platform !== "linux")
      return execFileSync("ps", ["-o", "lstart=", "-p", String(pid)], { encoding: "utf8" }).trim() || undefined;
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name in parentheses may hold blanks; field 3 (state) comes after it, field 22 is the start in clock ticks.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    if (fields[0] === "Z") return undefined;
    return `${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()} ${fields[19]}`;
  } catch {
    return undefined;
  }
}

function read(file: string): Owner | undefined {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as Owner;
  } catch {
    return undefined;
  }
}

function take(file: string, owner: Owner): boolean {
  const mine = `${file}.${process.pid}`;
  writeFileSync(mine, JSON.stringify(owner));
  try {
    // A link comes into being whole or not at all, and never over another.
    linkSync(mine, file);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    return false;
  } finally {
    rmSync(mine, { force: true });
  }
}

/**
 * Makes this process the owner of a data directory. Two daemons on one directory would share one server, and the first to
 * stop would pull it away from under the other.
 * @returns what gives the directory up again.
 * @throws PonteError `store_in_use` while the owner lives.
 */
export function claimDirectory(directory: string, socketDirectory: string | undefined): () => void {
  const file = join(directory, "ponte.pid");
  const owner: Owner = { pid: process.pid, started: startOf(process.pid) ?? "", socketDirectory };
  for (let attempt = 0; attempt < 5; attempt++) {
    if (take(file, owner)) return () => rmSync(file, { force: true });
    const other = read(file);
    if (other !== undefined && startOf(other.pid) === other.started) {
      throw new PonteError(
        "store_in_use",
        `ponte is already running as pid ${other.pid} on ${directory}: stop it, give this one another data directory, or set DATABASE_URL to share a database`,
      );
    }
    setAside(file, other);
  }
  throw new PonteError("store_in_use", `several processes fight for ${directory}`, { retryable: true });
}

/** Removes a dead owner's file, by a rename that only one of several can win. */
function setAside(file: string, dead: Owner | undefined): void {
  const aside = `${file}.stale.${process.pid}`;
  try {
    renameSync(file, aside);
  } catch {
    return; // Somebody else was faster.
  }
  const moved = read(aside);
  if (moved?.pid !== dead?.pid || moved?.started !== dead?.started) {
    // In between a living owner had come: it gets its file back.
    renameSync(aside, file);
    return;
  }
  rmSync(aside, { force: true });
  if (dead?.socketDirectory?.includes("/ponte-pg-")) rmSync(dead.socketDirectory, { recursive: true, force: true });
}
