import type { NumberPrivacy } from "#core/privacy.ts";
import type { Log } from "#engine/ports.ts";
import { createLog, type LogLevel } from "#src/log.ts";

export type LogLine = Readonly<Record<string, unknown>> & { readonly level: LogLevel; readonly msg: string };

/** What the daemon's own log would have written, to be looked at. */
export interface CollectedLog {
  readonly log: Log;
  /** Every line so far, parsed. */
  lines(): readonly LogLine[];
  /** Every line so far as it was written: what must not leak is looked for in this. */
  text(): string;
}

/** The real log, redaction included, written into memory. */
export function collectLog(
  options: { readonly level?: LogLevel; readonly phoneNumbers?: NumberPrivacy } = {},
): CollectedLog {
  const written: string[] = [];
  const log = createLog({
    level: options.level ?? "trace",
    redact: { phoneNumbers: options.phoneNumbers ?? "masked" },
    destination: { write: (line) => written.push(line) },
  });
  return {
    log,
    lines: () => written.map((line) => JSON.parse(line) as LogLine),
    text: () => written.join(""),
  };
}
