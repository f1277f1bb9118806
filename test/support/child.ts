import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("./embedded-child.ts", import.meta.url));

/** A process that prints JSON lines. */
export interface Child {
  readonly process: ChildProcess;
  /** The next line, parsed. Rejects with what it said on standard error when it ends instead. */
  line(): Promise<Record<string, unknown>>;
  /** Ends it politely. */
  end(): Promise<void>;
  kill(): Promise<void>;
}

/** Starts `embedded-child.ts`, behind `prefix` if there is one (`setpriv …`). */
export function startChild(args: readonly string[], prefix: readonly string[] = []): Child {
  const [file = "", ...rest] = [...prefix, process.execPath, script, ...args];
  const child = spawn(file, rest, { stdio: ["pipe", "pipe", "pipe"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const complaints: string[] = [];
  child.stderr.on("data", (part: Buffer) => complaints.push(part.toString()));
  const gone = once(child, "close");
  return {
    process: child,
    line: async () => {
      const next = await lines.next();
      if (next.done === true) throw new Error(`the child ended: ${complaints.join("")}`);
      return JSON.parse(next.value) as Record<string, unknown>;
    },
    end: async () => {
      child.stdin.end();
      await gone;
    },
    kill: async () => {
      child.kill("SIGKILL");
      await gone;
    },
  };
}
