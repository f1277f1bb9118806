import { readFileSync } from "node:fs";
import type { TSchema } from "typebox";
import { Settings } from "typebox/system";
import Value from "typebox/value";
import { PonteError } from "#core/error.ts";
import { relations } from "./relations.ts";
import { type Config, schema } from "./schema.ts";
import { readYaml } from "./yaml.ts";

/** All problems are named at once; the library stops at eight otherwise. */
Settings.Set({ maxErrors: 1_000 });

/** A configuration file is a page or two; anything larger is a mistake. */
const MAX_FILE_BYTES = 1_000_000;

export interface ConfigProblem {
  /** `trunks[0].port` */
  readonly key: string;
  readonly text: string;
}

export type Loaded =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };

/** Reads and checks a YAML file. Throws PonteError `config_unreadable`; everything else is told in `problems`, at once. */
export function loadConfig(path: string, env: Readonly<Record<string, string | undefined>>): Loaded {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new PonteError("config_unreadable", `The configuration file ${path} cannot be read.`, { cause });
  }
  return parseConfig(text, env);
}

/** The same for a text. */
export function parseConfig(text: string, env: Readonly<Record<string, string | undefined>>): Loaded {
  if (text.length > MAX_FILE_BYTES) return failed("", `The file is larger than ${MAX_FILE_BYTES} bytes.`);
  const read = readYaml(text);
  if (!read.ok) return read;
  const raw = read.value ?? {};
  if (typeof raw !== "object" || raw === null || Array.isArray(raw)) {
    return failed("", "The file must be a map of sections, such as `calling:`.");
  }
  return checkConfig(raw, env);
}

/** Fills in defaults and the environment, and finds everything that is wrong. */
export function checkConfig(raw: object, env: Readonly<Record<string, string | undefined>>): Loaded {
  // A section whose keys are all commented out is null in YAML; it means the defaults.
  const present = Object.entries(raw).filter(([, value]) => value !== null);
  const filled = Value.Default(schema, structuredClone(Object.fromEntries(present)));
  const sources = overlay(schema, filled, env);
  const errors = Value.Errors(schema, filled).filter((error) => !["boolean", "const", "anyOf"].includes(error.keyword));
  const shapeless = errors.flatMap(shapelessKeys);
  const config = filled as Config;
  const broken = relations
    .filter(({ reads }) => !shapeless.some((key) => reads.some((read) => read === key || read.startsWith(`${key}.`))))
    .flatMap(({ problems }) => problems(config));
  const problems = [...errors.flatMap((error) => describe(error, filled)), ...broken].map(({ key, text }) => {
    const variable = sources.get(key.replace(/\[\d+\]$/, ""));
    return { key, text: variable === undefined ? text : `${text} It comes from ${variable}.` };
  });
  return problems.length > 0 ? { ok: false, problems } : { ok: true, config };
}

/** Problems as the lines that a person reads. */
export function explain(problems: readonly ConfigProblem[]): string {
  return problems.map((problem) => (problem.key === "" ? problem.text : `${problem.key}: ${problem.text}`)).join("\n");
}

function failed(key: string, text: string): Loaded {
  return { ok: false, problems: [{ key, text }] };
}

interface Annotated {
  readonly type?: string;
  readonly env?: string;
  readonly properties?: Readonly<Record<string, TSchema & Annotated>>;
}

/**
 * Puts environment variables where the schema names them, and returns which key has the value of which. An empty variable counts
 * as absent.
 */
function overlay(
  at: Annotated,
  value: unknown,
  env: Readonly<Record<string, string | undefined>>,
  prefix = "",
): ReadonlyMap<string, string> {
  const sources = new Map<string, string>();
  if (typeof value !== "object" || value === null || Array.isArray(value)) return sources;
  for (const [name, child] of Object.entries(at.properties ?? {})) {
    const given = child.env === undefined ? undefined : env[child.env];
    if (child.env !== undefined && given !== undefined && given !== "") {
      Reflect.set(value, name, fromText(child, given));
      sources.set(prefix + name, child.env);
    } else {
      for (const [key, source] of overlay(child, Reflect.get(value, name), env, `${prefix}${name}.`))
        sources.set(key, source);
    }
  }
  return sources;
}

function fromText(at: Annotated, text: string): unknown {
  if (at.type === "array") return text.split(",").map((part) => part.trim());
  if (at.type === "integer" && /^-?\d+$/.test(text)) return Number(text);
  if (at.type === "boolean" && /^(true|false)$/.test(text)) return text === "true";
  return text;
}

interface Finding {
  readonly keyword: string;
  readonly instancePath: string;
  readonly params: object;
  readonly message: string;
}

/** Keys without the type that code may count on, as a relation names them. */
function shapelessKeys({ keyword, instancePath, params }: Finding): string[] {
  const at = instancePath.replace(/\/\d+/g, "").replace(/^\//, "").replaceAll("/", ".");
  if (keyword === "type") return [at];
  if (keyword !== "required") return [];
  const missing: unknown = Reflect.get(params, "requiredProperties");
  return Array.isArray(missing) ? missing.map((name) => `${at}.${String(name)}`) : [];
}

function describe(error: Finding, whole: unknown): ConfigProblem[] {
  const at = keyOf(error.instancePath);
  const params = new Map<string, unknown>(Object.entries(error.params));
  const child = (name: string): string => (at === "" ? name : `${at}.${name}`);
  const names = (param: string): string[] => {
    const value = params.get(param);
    return Array.isArray(value) ? value.map(String) : [];
  };
  if (error.keyword === "additionalProperties") {
    return names("additionalProperties").map((name) => {
      // In `{ access_token:x }` the whole is a key: what follows the colon may be a secret.
      const [word = ""] = /^[\w.-]*/.exec(name) ?? [];
      return word === name
        ? { key: child(name), text: unknownKey(name, error.instancePath) }
        : { key: child(`${word}…`), text: "is not a key of the configuration. Is a space missing behind a colon?" };
    });
  }
  if (error.keyword === "required") {
    return names("requiredProperties").map((name) => ({ key: child(name), text: "is missing." }));
  }
  const found = Value.Pointer.Get(whole as object, error.instancePath);
  const allowed = names("allowedValues");
  const rule = allowed.length > 0 ? `must be one of ${allowed.join(", ")}` : error.message;
  return [{ key: at, text: `${rule}, but is ${isSecret(at) ? "something else" : shown(found, params.get("type"))}.` }];
}

function keyOf(pointer: string): string {
  return pointer
    .replace(/^\//, "")
    .replace(/\/(\d+)/g, "[$1]")
    .replaceAll("/", ".");
}

/** What stands where a whole section should may hold a secret (`access_token:x` is text, for want of a space). */
function shown(value: unknown, wanted: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "a map";
  if (wanted === "object" || wanted === "array") return typeof value === "string" ? "text" : `a ${typeof value}`;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function isSecret(key: string): boolean {
  return /token|secret|password|api_key|url$/.test(key);
}

/** Names the nearest key that exists, which most often is the one that was meant. */
function unknownKey(name: string, pointer: string): string {
  const known = knownKeys(pointer);
  const nearest = known
    .map((key) => ({ key, distance: editDistance(name, key) }))
    .toSorted((x, y) => x.distance - y.distance)[0];
  const hint =
    nearest !== undefined && nearest.distance <= 3 ? ` Did you mean ${nearest.key}?` : ` Known: ${known.join(", ")}.`;
  return `is not a key of the configuration.${hint}`;
}

function knownKeys(pointer: string): string[] {
  let at: Annotated & { readonly items?: Annotated } = schema;
  for (const step of pointer.split("/").slice(1)) {
    at = (/^\d+$/.test(step) ? at.items : at.properties?.[step]) ?? {};
  }
  return Object.keys(at.properties ?? {});
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const change = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((next[j - 1] ?? 0) + 1, (row[j] ?? 0) + 1, change));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
