import type { Log } from "#engine/ports.ts";

/** A log that remembers what it was told and prints nothing. */
export interface QuietLog extends Log {
  readonly lines: readonly { readonly level: string; readonly facts: object; readonly message: string }[];
}

export function quietLog(): QuietLog {
  const lines: { level: string; facts: object; message: string }[] = [];
  const at = (level: string) => (facts: object, message: string) => {
    lines.push({ level, facts, message });
  };
  const log: QuietLog = {
    lines,
    trace: at("trace"),
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => log,
  };
  return log;
}
