import Type, { type TSchema } from "typebox";
import Schema from "typebox/schema";
import { ApiError } from "./errors.ts";

/** What fastify hands to a compiler of validators. */
interface RouteSchema {
  readonly schema: TSchema;
  readonly httpPart?: string | undefined;
}

type Verdict = { readonly value: unknown } | { readonly error: ApiError };

const places: Readonly<Record<string, string>> = {
  querystring: "Query parameter",
  params: "Path parameter",
  headers: "Header",
  body: "Body field",
};

/** The 400 that names a field, as all of them look. */
export function invalidField(place: string, field: string, what: string): ApiError {
  const named = field === "" ? place.replace(" field", "") : `${place} ${field}`;
  return new ApiError(400, "invalid_request", `${named} ${what}.`, { hint: "See /openapi.json." });
}

/**
 * Holds values against a schema as they are: unlike fastify's own validator it turns no number into a string, because what is
 * stored has to be what was sent.
 *
 * @returns what names the first wrong field, below `path`; undefined when all is well.
 */
export function fieldCheck(
  schema: TSchema,
  place = "Body field",
): (value: unknown, path?: string) => ApiError | undefined {
  const compiled = Schema.Compile(schema);
  return (value, path = "") => {
    if (compiled.Check(value)) return undefined;
    const errors = compiled.Errors(value)[1];
    // The keyword `boolean` only says that a property is one too many, which `additionalProperties` says with its name.
    const first = errors.find(({ keyword }) => keyword !== "boolean") ?? errors[0];
    const params: Readonly<Record<string, unknown>> = { ...first?.params };
    const named = [params["requiredProperties"], params["additionalProperties"]].find(Array.isArray)?.[0];
    const inside = (first?.instancePath ?? "").slice(1).replaceAll("/", ".");
    const field = [path, inside, typeof named === "string" ? named : ""].filter((part) => part !== "").join(".");
    const allowed = Array.isArray(params["allowedValues"]) ? `: ${params["allowedValues"].join(", ")}` : "";
    if (first?.keyword === "required") return invalidField(place, field, "is missing");
    if (first?.keyword === "additionalProperties") return invalidField(place, field, "is not known");
    return invalidField(place, field, `${first?.message ?? "is wrong"}${allowed}`);
  };
}

/** One of several shapes that are told apart by `type`: a check that names the field of the shape that was meant. */
export function variantCheck(shapes: Readonly<Record<string, TSchema>>) {
  const names = Object.keys(shapes);
  const outer = fieldCheck(Type.Object({ type: Type.Enum(names) }, { additionalProperties: true }));
  const inner = new Map(Object.entries(shapes).map(([name, schema]) => [name, fieldCheck(schema)]));
  return (value: unknown, path: string): ApiError | undefined =>
    outer(value, path) ?? inner.get((value as { readonly type: string }).type)?.(value, path);
}

/** Fastify's compiler of validators for a scope of routes: strict bodies, and texts of the address as what the schema wants. */
export function strictly({ schema, httpPart = "body" }: RouteSchema): (value: unknown) => Verdict {
  const check = fieldCheck(httpPart === "body" ? withoutVariants(schema) : schema, places[httpPart]);
  return (given) => {
    const value = httpPart === "body" ? given : fromTexts(schema, given);
    const error = check(value);
    return error === undefined ? { value } : { error };
  };
}

/** Marks a property whose value is one of several variants: the route checks it, because here no field of it could be named. */
export const variants = { "x-variants": true };

function withoutVariants(schema: TSchema): TSchema {
  const { properties } = schema as { readonly properties?: Readonly<Record<string, object>> };
  if (properties === undefined) return schema;
  const plain = Object.entries(properties).map(([name, property]) => [name, "x-variants" in property ? {} : property]);
  return { ...schema, properties: Object.fromEntries(plain) };
}

/** Numbers and booleans out of the texts of a query, and defaults for what is missing. */
function fromTexts(schema: TSchema, given: unknown): unknown {
  const { properties = {} } = schema as { readonly properties?: Readonly<Record<string, unknown>> };
  const value: Record<string, unknown> = { ...(given as object) };
  for (const [name, property] of Object.entries(properties)) {
    const { type, default: fallback } = property as { readonly type?: string; readonly default?: unknown };
    const text = value[name];
    if (text === undefined && fallback !== undefined) value[name] = fallback;
    if (type === "integer" && typeof text === "string" && /^-?\d{1,15}$/.test(text)) value[name] = Number(text);
    if (type === "boolean" && (text === "true" || text === "false")) value[name] = text === "true";
  }
  return value;
}
