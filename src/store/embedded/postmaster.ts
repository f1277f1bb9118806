import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { PonteError } from "#core/error.ts";
import type { Log } from "#engine/ports.ts";
import { type Account, asAccount } from "./account.ts";
import type { Binaries } from "./binaries.ts";
import { behind, disownPostmasterFile, readPostmasterFile } from "./postmaster-file.ts";

/** A start may have to replay the log of a crash; beyond this a person should look. */
const START_LIMIT_MS = 60_000;

/** A dead predecessor holds its lock until its parent, or process 1, takes note of its death: 3.7 s were measured. */
const LOCK_LIMIT_MS = 30_000;

/** A fast shutdown writes a checkpoint; after this time the server is told to stop without one. */
const STOP_LIMIT_MS = 10_000;

/** How often `postmaster.pid` is read while the server starts. */
const START_POLL_MS = 10;

/** A server that died is started again after this, and after twice as long each time, up to the limit. */
const RESTART_MS = 250;
const RESTART_LIMIT_MS = 30_000;

/** The last lines of the server's own log, for the message when it does not start. */
const KEPT_LINES = 20;

export interface PostmasterOptions {
  readonly binaries: Binaries;
  readonly account: Account;
  readonly pgdata: string;
  readonly socketDirectory: string;
  readonly settings: Readonly<Record<string, string>>;
  readonly log: Log;
}

/** Whether `setpriv` can make the kernel stop the server when its parent dies (util-linux; not busybox, not macOS). */
function diesWithParent(): readonly string[] {
  const prefix = ["setpriv", "--pdeathsig", "INT", "--"];
  try {
    execFileSync("setpriv", [...prefix.slice(1), "true"], { stdio: "ignore" });
    return prefix;
  } catch {
    return [];
  }
}

/** One server process, kept alive: a server that dies is started again on the same socket. */
export class Postmaster {
  readonly #options: PostmasterOptions;
  readonly #prefix: readonly string[];
  #child: ChildProcess | undefined;
  #lines: string[] = [];
  #stopping: AbortController | undefined;
  #restarting: Promise<void> | undefined;

  constructor(options: PostmasterOptions) {
    this.#options = options;
    this.#prefix = diesWithParent();
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Resolves when the server takes connections. */
  async start(): Promise<void> {
    this.#stopping = new AbortController();
    await this.#startOnce(this.#stopping.signal);
  }

  async stop(): Promise<void> {
    this.#stopping?.abort();
    await this.#restarting;
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = once(child, "exit");
    child.kill("SIGINT");
    const hard = setTimeout(() => child.kill("SIGQUIT"), STOP_LIMIT_MS);
    await gone;
    clearTimeout(hard);
  }

  async #startOnce(signal: AbortSignal): Promise<void> {
    const until = Date.now() + LOCK_LIMIT_MS;
    for (;;) {
      await this.#clearPredecessor(signal);
      const child = this.#spawn();
      if (await this.#cameUp(child)) {
        this.#child = child;
        child.once("exit", () => this.#died(signal));
        if (child.exitCode !== null || child.signalCode !== null) this.#died(signal);
        return;
      }
      const said = this.#lines.join("\n");
      const locked = /lock file .* already exists|pre-existing shared memory block/.test(said);
      if (!locked || Date.now() > until) throw this.#failure(said);
      await delay(200, undefined, { signal });
    }
  }

  #failure(said: string): PonteError {
    return new PonteError("postgres_start", `Postgres does not start in ${this.#options.pgdata}:\n${said}`, {
      retryable: true,
    });
  }

  /** A server that outlived its daemon is stopped (where there is no `setpriv`), a stopping one is waited for. */
  async #clearPredecessor(signal: AbortSignal): Promise<void> {
    const { pgdata, log } = this.#options;
    const until = Date.now() + LOCK_LIMIT_MS;
    let told = false;
    while (Date.now() < until) {
      const file = readPostmasterFile(pgdata);
      if (file === undefined) return;
      const who = behind(file.pid, pgdata);
      if (who === "nobody") return;
      if (who === "stranger") return process.platform === "linux" ? disownPostmasterFile(pgdata) : undefined;
      if (!told && who === "postmaster") {
        log.warn({ pid: file.pid }, "stopping a Postgres that outlived its daemon");
        process.kill(file.pid, "SIGINT");
        told = true;
      }
      await delay(50, undefined, { signal });
    }
  }

  #spawn(): ChildProcess {
    const { binaries, account, pgdata, socketDirectory, settings } = this.#options;
    const all = {
      // No port and no password: the socket lies in a directory that only we and the server can enter.
      listen_addresses: "",
      unix_socket_directories: `"${socketDirectory.replaceAll('"', '""')}"`,
      port: "5432",
      // Statements and key values hold phone numbers.
      log_error_verbosity: "terse",
      log_min_error_statement: "panic",
      ...settings,
    };
    const flags = Object.entries(all).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    const command = asAccount(account, [...this.#prefix, join(binaries.bin, "postgres"), "-D", pgdata, ...flags]);
    this.#lines = [];
    const child = spawn(command.file, command.args, {
      ...command.options,
      // Its own process group: Ctrl-C reaches the daemon, and the daemon stops the server last.
      detached: true,
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, LC_ALL: "C" },
    });
    child.on("error", (error) => this.#note(String(error)));
    if (child.stderr !== null) createInterface({ input: child.stderr }).on("line", (line) => this.#note(line));
    return child;
  }

  #note(line: string): void {
    this.#lines.push(line);
    if (this.#lines.length > KEPT_LINES) this.#lines.shift();
    this.#options.log.debug({ line }, "postgres");
  }

  /** True when the server is ready, false when it has exited. */
  async #cameUp(child: ChildProcess): Promise<boolean> {
    const closed = once(child, "close").catch(() => []);
    let over = child.pid === undefined;
    closed.then(() => {
      over = true;
    });
    const until = Date.now() + START_LIMIT_MS;
    while (!over && Date.now() < until) {
      const file = readPostmasterFile(this.#options.pgdata);
      if (file?.ready && file.pid === child.pid) return true;
      await Promise.race([closed, delay(START_POLL_MS)]);
    }
    if (!over) child.kill("SIGQUIT");
    await closed;
    return false;
  }

  #died(signal: AbortSignal): void {
    if (signal.aborted || this.#restarting !== undefined) return;
    this.#child = undefined;
    this.#options.log.error({ said: this.#lines.slice(-5) }, "Postgres died; starting it again");
    this.#restarting = this.#restart(signal).finally(() => {
      this.#restarting = undefined;
    });
  }

  async #restart(signal: AbortSignal): Promise<void> {
    let waitMs = RESTART_MS;
    while (!signal.aborted) {
      try {
        await delay(waitMs, undefined, { signal });
        return await this.#startOnce(signal);
      } catch (error) {
        if (signal.aborted) return;
        waitMs = Math.min(waitMs * 2, RESTART_LIMIT_MS);
        this.#options.log.error({ err: error, next_try_ms: waitMs }, "Postgres does not come back");
      }
    }
  }
}
