import { type ASTNode, Environment, type ParseResult } from "@marcbachmann/cel-js";
import type { Condition } from "#core/rule/rule.ts";
import type { Scope } from "./scope.ts";

/**
 * Conditions are expressions of CEL (the Common Expression Language), a language without loops, of which we take a part whose
 * cost is known beforehand: no `matches` (a regular expression may take for ever), no `bind` (values that double), no walk
 * through a list within a walk.
 */

/** As long as the table allows. */
export const MAX_CONDITION_LENGTH = 4_000;

/** What a person writes by hand has a few dozen nodes; the limits keep one evaluation far below a millisecond. */
const LIMITS = {
  maxAstNodes: 400,
  maxDepth: 24,
  maxListElements: 100,
  maxMapEntries: 20,
  maxCallArguments: 4,
} as const;

const WALKS = new Set(["all", "exists", "exists_one", "filter", "map"]);

const FUNCTIONS = new Set([
  ...WALKS,
  ...["has", "size", "contains", "startsWith", "endsWith", "lowerAscii", "upperAscii", "trim", "indexOf"],
  ...["int", "double", "string", "bool", "type", "timestamp", "duration"],
  ...["getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getHours", "getMinutes", "getSeconds"],
]);

const environment = new Environment({ homogeneousAggregateLiterals: false, limits: LIMITS })
  .registerVariable("event", "map")
  .registerVariable("payload", "map");

export type Compiled =
  | { readonly ok: true; readonly run: ParseResult }
  | { readonly ok: false; readonly error: string };

export type Judgement =
  | { readonly ok: true; readonly value: boolean }
  /** It cannot be said, such as a field that the payload does not have. */
  | { readonly ok: false; readonly error: string };

const MAX_REMEMBERED = 2_000;
const remembered = new Map<Condition, Compiled>();

/** Reads a condition; the same text is read once. */
export function compile(condition: Condition): Compiled {
  const known = remembered.get(condition);
  if (known !== undefined) return known;
  const compiled = parse(condition);
  if (remembered.size >= MAX_REMEMBERED) remembered.clear();
  remembered.set(condition, compiled);
  return compiled;
}

/** Whether a condition holds. Never throws. */
export function judge(condition: Condition, scope: Scope): Judgement {
  const compiled = compile(condition);
  if (!compiled.ok) return compiled;
  try {
    const value: unknown = compiled.run({ event: scope.event, payload: scope.payload });
    return typeof value === "boolean" ? { ok: true, value } : { ok: false, error: "it is neither true nor false" };
  } catch (error) {
    return { ok: false, error: firstLine(error) };
  }
}

function parse(condition: Condition): Compiled {
  if (condition.length > MAX_CONDITION_LENGTH)
    return { ok: false, error: `it is longer than ${MAX_CONDITION_LENGTH} characters` };
  try {
    const run = environment.parse(condition);
    const refused = refusal(run.ast, false);
    if (refused !== undefined) return { ok: false, error: refused };
    const checked = run.check();
    if (!checked.valid) return { ok: false, error: firstLine(checked.error) };
    if (checked.type !== "bool" && checked.type !== "dyn")
      return { ok: false, error: `it is of type ${checked.type}, not bool` };
    return { ok: true, run };
  } catch (error) {
    return { ok: false, error: firstLine(error) };
  }
}

/** The library shows the place in further lines. */
function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split("\n", 1)[0] ?? "";
}

/** Why this expression is not taken; its depth is limited by the parser. */
function refusal(node: ASTNode, walking: boolean): string | undefined {
  const name = node.op === "call" || node.op === "rcall" ? node.args[0] : undefined;
  if (name !== undefined && !FUNCTIONS.has(name)) return `the function ${name} is not available in conditions`;
  const walks = name !== undefined && WALKS.has(name);
  if (walks && walking) return `${name} cannot stand within another walk through a list`;
  for (const child of childrenOf(node.args)) {
    const refused = refusal(child, walking || walks);
    if (refused !== undefined) return refused;
  }
  return undefined;
}

function childrenOf(args: unknown): readonly ASTNode[] {
  if (Array.isArray(args)) return args.flatMap(childrenOf);
  return isNode(args) ? [args] : [];
}

function isNode(value: unknown): value is ASTNode {
  return typeof value === "object" && value !== null && "op" in value && "args" in value;
}
