import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { LogLine } from "./log.ts";

const entry = fileURLToPath(new URL("../../src/cli/ponte.js", import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one command of the command line to its end, on a configuration. */
export function runPonte(
  words: readonly string[],
  config: string | object,
  env: Readonly<Record<string, string>> = {},
): Promise<Ended> {
  return new Ponte(words, config, env).ended;
}

/** ponte as a process of its own, as an operator runs it; its log is read from its standard output. */
export class DaemonProcess {
  readonly #ponte: Ponte;

  private constructor(ponte: Ponte) {
    this.#ponte = ponte;
  }

  /** Resolves when it takes calls; rejects with what it said when it ends instead. */
  static async start(config: object): Promise<DaemonProcess> {
    const ponte = new Ponte(["run"], config, {});
    const first = await Promise.race([ponte.ready, ponte.ended]);
    if (first !== undefined) throw new Error(`ponte did not start (${first.code}): ${first.stderr}${first.stdout}`);
    return new DaemonProcess(ponte);
  }

  get pid(): number {
    return this.#ponte.child.pid ?? 0;
  }

  get lines(): readonly LogLine[] {
    return this.#ponte.lines;
  }

  get ended(): Promise<Ended> {
    return this.#ponte.ended;
  }

  signal(signal: NodeJS.Signals): void {
    this.#ponte.child.kill(signal);
  }

  /** Ends it without a chance to clean up. May be called twice. */
  async kill(): Promise<void> {
    this.signal("SIGKILL");
    await this.ended;
  }
}

class Ponte {
  readonly child: ChildProcess;
  readonly lines: LogLine[] = [];
  readonly ready: Promise<undefined>;
  readonly ended: Promise<Ended>;

  constructor(words: readonly string[], config: string | object, env: Readonly<Record<string, string>>) {
    const folder = mkdtempSync(join(tmpdir(), "ponte-config-"));
    const path = join(folder, "ponte.yaml");
    // JSON is YAML.
    writeFileSync(path, typeof config === "string" ? config : JSON.stringify(config));
    this.child = spawn(process.execPath, [entry, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, PONTE_CONFIG: path, ...env },
    });
    const { promise, resolve } = Promise.withResolvers<undefined>();
    this.ready = promise;
    const said = { stdout: "", stderr: "" };
    createInterface({ input: this.child.stdout ?? process.stdin }).on("line", (line) => {
      said.stdout += `${line}\n`;
      if (!line.startsWith("{")) return;
      this.lines.push(JSON.parse(line) as LogLine);
      if (this.lines.at(-1)?.msg === "ponte is ready") resolve(undefined);
    });
    this.child.stderr?.on("data", (part: Buffer) => {
      said.stderr += part.toString();
    });
    this.ended = once(this.child, "close").then(([code, signal]) => {
      rmSync(folder, { recursive: true, force: true });
      return { code: code as number | null, signal: signal as NodeJS.Signals | null, ...said };
    });
  }
}
