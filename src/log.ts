import pino from "pino";
import type { NumberPrivacy, Privacy } from "#core/privacy.ts";
import { redactText } from "#core/privacy.ts";
import { redactFields } from "#core/privacy-fields.ts";
import type { Log } from "#engine/ports.ts";
import { prettyLine } from "./log-pretty.ts";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

/** Takes whole lines, each with its line break. */
export interface LogDestination {
  write(line: string): unknown;
}

export interface LogOptions {
  /** Least severe level that is written. */
  readonly level: LogLevel;
  /** One line for people instead of JSON; `colours` for terminals. */
  readonly pretty?: false | { readonly colours: boolean };
  readonly redact: { readonly phoneNumbers: NumberPrivacy };
  /** Standard output when there is none. */
  readonly destination?: LogDestination;
}

/**
 * The log of the daemon. Every field and every text passes the redaction on its way, whoever wrote it: nobody has to
 * remember to hide something.
 */
export function createLog(options: LogOptions): Log {
  const out = options.destination ?? pino.destination({ dest: 1, sync: true });
  const { pretty } = options;
  const destination = pretty ? { write: (line: string) => out.write(prettyLine(line, pretty.colours)) } : out;
  const writer = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      // Errors are plain data by the time they come here; pino's own serializer would melt their causes into one text.
      serializers: { err: (error: unknown) => error },
    },
    destination as pino.DestinationStream,
  );
  return new RedactingLog(writer, options.redact.phoneNumbers);
}

type Writer = pino.Logger;

class RedactingLog implements Log {
  readonly #writer: Writer;
  readonly #phoneNumbers: NumberPrivacy;
  /** Digits that a caller typed may be read where somebody looks for a fault, and nowhere else. */
  readonly #verbose: Privacy;
  readonly #normal: Privacy;

  constructor(writer: Writer, phoneNumbers: NumberPrivacy) {
    this.#writer = writer;
    this.#phoneNumbers = phoneNumbers;
    this.#verbose = { phoneNumbers, digits: "shown" };
    this.#normal = { phoneNumbers, digits: "hidden" };
  }

  trace(facts: object, message: string): void {
    this.#write("trace", facts, message, this.#verbose);
  }

  debug(facts: object, message: string): void {
    this.#write("debug", facts, message, this.#verbose);
  }

  info(facts: object, message: string): void {
    this.#write("info", facts, message, this.#normal);
  }

  warn(facts: object, message: string): void {
    this.#write("warn", facts, message, this.#normal);
  }

  error(facts: object, message: string): void {
    this.#write("error", facts, message, this.#normal);
  }

  /** What is bound stands in lines of every level, so digits are hidden in it. */
  child(facts: object): Log {
    return new RedactingLog(this.#writer.child(redactFields(facts, this.#normal)), this.#phoneNumbers);
  }

  #write(level: LogLevel, facts: object, message: string, privacy: Privacy): void {
    if (!this.#writer.isLevelEnabled(level)) return;
    this.#writer[level](redactFields(facts, privacy), redactText(message, privacy));
  }
}
