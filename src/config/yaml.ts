import { type Document, type ErrorCode, LineCounter, parseDocument, visit } from "yaml";
import type { ConfigProblem } from "./load.ts";

export type ReadYaml =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** An alias that stands for itself over and over ends here. */
const MAX_ALIASES = 100;

/**
 * What is wrong, in words of our own: the library's sentences quote the file, where a secret may stand. They say where it is,
 * and whoever may read the file finds it there.
 */
const says: Readonly<Record<ErrorCode, string>> = {
  ALIAS_PROPS: "an alias (*name) can have no tag and no anchor",
  BAD_ALIAS: "a value that begins with * or & must be quoted",
  BAD_COLLECTION_TYPE: "a tag does not fit its value",
  BAD_DIRECTIVE: "a line that begins with % is not understood",
  BAD_DQ_ESCAPE: "an escape after \\ is not known; in single quotes \\ stands for itself",
  BAD_INDENT: "the indentation does not fit, or a bracket is not closed",
  BAD_PROP_ORDER: "a tag or an anchor stands before its - or :",
  BAD_SCALAR_START: "a value that begins with this character must be quoted",
  BLOCK_AS_IMPLICIT_KEY: "a map or a list begins on the line of another one; a value that holds a colon must be quoted",
  BLOCK_IN_FLOW: "inside { } and [ ] an indented map or list cannot stand",
  DUPLICATE_KEY: "this key is here twice",
  IMPOSSIBLE: "this cannot be read",
  KEY_OVER_1024_CHARS: "a key is too long",
  MISSING_CHAR: "a quote, a bracket, a comma, or a colon and its space is missing",
  MULTILINE_IMPLICIT_KEY: "a key goes over several lines; perhaps its colon is missing",
  MULTIPLE_ANCHORS: "a value has two anchors",
  MULTIPLE_DOCS: "the file holds more than one document; --- may stand at its beginning only",
  MULTIPLE_TAGS: "a value has two tags",
  NON_STRING_KEY: "a key is no text",
  RESOURCE_EXHAUSTION: "this is nested too deeply",
  TAB_AS_INDENT: "tabs cannot indent; use spaces",
  TAG_RESOLVE_FAILED: "a tag is not known, or does not fit its value; a value that begins with ! must be quoted",
  UNEXPECTED_TOKEN: "something stands where it cannot; a value with special characters must be quoted",
};

/** The value of a text in YAML, or its problems by line and column. */
export function readYaml(text: string): ReadYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, { uniqueKeys: true, prettyErrors: false, lineCounter: lines });
  const problemAt = (offset: number, what: string): ConfigProblem => {
    const { line, col } = lines.linePos(offset);
    return { key: "", text: `Line ${line}, column ${col}: ${what}.` };
  };
  const problems = [
    ...document.errors.map(({ code, pos: [offset] }) => problemAt(offset, says[code] ?? says.IMPOSSIBLE)),
    ...lostAliases(document).map((offset) => problemAt(offset, says.BAD_ALIAS)),
  ];
  if (problems.length > 0) return { ok: false, problems };
  try {
    return { ok: true, value: document.toJS({ maxAliasCount: MAX_ALIASES }) };
  } catch {
    return { ok: false, problems: [{ key: "", text: "There are too many aliases (*name)." }] };
  }
}

/** Where aliases stand that lead nowhere; the library finds them when it is asked for values, and says no place. */
function lostAliases(document: Document.Parsed): number[] {
  const lost: number[] = [];
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document) === undefined) lost.push(alias.range?.[0] ?? 0);
    },
  });
  return lost;
}
