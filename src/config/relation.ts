import type { ConfigProblem } from "./load.ts";
import type { Config } from "./schema.ts";

/** A key of the schema; one of a list's items is written without an index: `trunks.host`. */
export type Key = {
  [S in keyof Config]: Config[S] extends readonly (infer Item)[]
    ? S | `${S}.${keyof Item & string}`
    : `${S}.${keyof Config[S] & string}`;
}[keyof Config];

/** Something that a schema cannot say, most often what one key demands of another. */
export interface Relation {
  /** Everything that `problems` looks at: it is asked only where all of these have their type. */
  readonly reads: readonly Key[];
  readonly problems: (config: Config) => readonly ConfigProblem[];
}

export function unless(right: boolean, key: string, text: string): ConfigProblem[] {
  return right ? [] : [{ key, text }];
}
