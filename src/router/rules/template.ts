import type { Json, JsonObject } from "#core/json.ts";
import type { Scope } from "./scope.ts";

/** A text with variables: `{{payload.customer.name}}`. Nothing can be computed in it. */

const VARIABLE = /\{\{([^{}]*)\}\}/g;
const PATH = /^(event|payload)(\.[A-Za-z0-9_-]+)+$/;

/** What a filled text may come to: a message has at most 4096 characters, so that more than this is a mistake. */
const MAX_FILLED_LENGTH = 65_536;

export type Filled<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: string };

/** Replaces the variables in every string of a document. A value that is missing, or is no text or number, fails it. */
export function fill<T extends Json>(document: T, scope: Scope): Filled<T> {
  const problems: string[] = [];
  const value = filled(document, scope, problems);
  const [problem] = problems;
  // The shape stays; only texts have changed.
  return problem === undefined ? { ok: true, value: value as T } : { ok: false, problem };
}

/** What is wrong with the variables of a document, whatever the event; empty when nothing is. */
export function templateProblems(document: Json): readonly string[] {
  if (typeof document === "string") {
    return [...document.matchAll(VARIABLE)]
      .map((match) => match[1]?.trim() ?? "")
      .filter((path) => !PATH.test(path))
      .map((path) => `{{${path}}} does not name a field of event or payload`);
  }
  if (typeof document !== "object" || document === null) return [];
  return Object.values(document).flatMap(templateProblems);
}

function filled(document: Json, scope: Scope, problems: string[]): Json {
  if (typeof document === "string") return filledText(document, scope, problems);
  if (typeof document !== "object" || document === null) return document;
  if (isList(document)) return document.map((item) => filled(item, scope, problems));
  return Object.fromEntries(Object.entries(document).map(([key, value]) => [key, filled(value, scope, problems)]));
}

function filledText(text: string, scope: Scope, problems: string[]): string {
  const result = text.replace(VARIABLE, (_whole, inner: string) => {
    const path = inner.trim();
    const value = PATH.test(path) ? valueAt(path, scope) : undefined;
    if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") return String(value);
    problems.push(
      value === undefined || value === null ? `${path} is missing` : `${path} is neither a text nor a number`,
    );
    return "";
  });
  if (result.length > MAX_FILLED_LENGTH) problems.push(`the text is longer than ${MAX_FILLED_LENGTH} characters`);
  return result;
}

/** Own fields only, so that nobody reaches what all objects have. */
function valueAt(path: string, scope: Scope): Json | undefined {
  let value: Json | undefined = { event: scope.event, payload: scope.payload };
  for (const name of path.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name)) return undefined;
    value = isList(value) ? value[Number(name)] : (value as JsonObject)[name];
  }
  return value;
}

function isList(value: Json): value is readonly Json[] {
  return Array.isArray(value);
}
