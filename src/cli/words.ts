import { type ParseArgsConfig, parseArgs } from "node:util";
import { PonteError } from "#core/error.ts";

/** Reads the options of a command; what it does not know is told by name, as PonteError `bad_option`. */
export function optionsOf<const T extends NonNullable<ParseArgsConfig["options"]>>(
  words: readonly string[],
  options: T,
) {
  try {
    return parseArgs({ args: [...words], options, strict: true, allowPositionals: false }).values;
  } catch (cause) {
    throw new PonteError("bad_option", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** An option that is an instant: ISO 8601. */
export function instantOf(name: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const instant = Date.parse(text);
  if (!Number.isNaN(instant)) return instant;
  throw new PonteError("bad_option", `--${name} takes a time such as 2026-11-20T08:00:00Z, not ${text}.`);
}
