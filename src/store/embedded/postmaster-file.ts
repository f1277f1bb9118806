import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** What `postmaster.pid` in a data directory says (Postgres, `src/include/utils/pidfile.h`). */
export interface PostmasterFile {
  readonly pid: number;
  /** The server takes connections. */
  readonly ready: boolean;
}

export function readPostmasterFile(pgdata: string): PostmasterFile | undefined {
  try {
    const lines = readFileSync(join(pgdata, "postmaster.pid"), "utf8").split("\n");
    const pid = Number(lines[0]);
    return Number.isInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === "ready" } : undefined;
  } catch {
    return undefined;
  }
}

/** What stands behind a process id found in `postmaster.pid`. */
export type Behind =
  | "postmaster" /* a server on this very directory */
  | "zombie" /* dead, but not yet taken note of by its parent */
  | "stranger" /* the id was used again for something else */
  | "nobody";

export function behind(pid: number, pgdata: string): Behind {
  return process.platform === "linux" ? behindOnLinux(pid, pgdata) : behindElsewhere(pid, pgdata);
}

function behindOnLinux(pid: number, pgdata: string): Behind {
  const proc = `/proc/${pid}`;
  try {
    const stat = readFileSync(`${proc}/stat`, "utf8");
    const name = stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")"));
    if (name !== "postgres") return "stranger";
    if (stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z")) return "zombie";
    // A postmaster works in its data directory.
    return readlinkSync(`${proc}/cwd`) === realpathSync(pgdata) ? "postmaster" : "stranger";
  } catch {
    return existsSync(proc) ? "stranger" : "nobody";
  }
}

function behindElsewhere(pid: number, pgdata: string): Behind {
  try {
    const command = execFileSync("ps", ["-o", "command=", "-p", String(pid)], { encoding: "utf8" });
    return command.includes(pgdata) ? "postmaster" : "stranger";
  } catch {
    return "nobody";
  }
}

/**
 * Postgres takes a living process of its own user for its predecessor and refuses to start. In a container that was killed and
 * started again the old id most often belongs to somebody else (threads count too). The id is replaced by one that no
 * process can have; the rest of the file stays, because Postgres also uses it to make sure that no old backend is left.
 */
export function disownPostmasterFile(pgdata: string): void {
  const file = join(pgdata, "postmaster.pid");
  const unassignable = readFileSync("/proc/sys/kernel/pid_max", "utf8").trim();
  writeFileSync(file, readFileSync(file, "utf8").replace(/^\d+/, unassignable));
}
