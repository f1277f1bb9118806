import type { TSchema } from "typebox";
import { schema } from "./schema.ts";

/** The schema for people: the table of the README and the example file. Both are compared with the schema by a test. */

interface Shape {
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly description?: string;
  readonly unit?: string;
  readonly env?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, TSchema & Shape>>;
  readonly items?: TSchema & Shape;
}

interface Row {
  readonly key: string;
  readonly type: string;
  readonly fallback: string;
  readonly says: string;
}

function typeOf(shape: Shape): string {
  if (shape.enum !== undefined) return shape.enum.join(" \\| ");
  if (shape.type === "array")
    return `list of ${shape.items?.enum === undefined ? (shape.items?.type ?? "values") : typeOf(shape.items)}`;
  return [shape.type ?? "value", ...(shape.unit === undefined ? [] : [`(${shape.unit})`])].join(" ");
}

function rowsOf(shape: Shape, prefix: string): Row[] {
  return Object.entries(shape.properties ?? {}).flatMap(([name, child]): Row[] => {
    const key = prefix === "" ? name : `${prefix}.${name}`;
    if (child.properties !== undefined) return rowsOf(child, key);
    if (child.items !== undefined && "properties" in child.items) return rowsOf(child.items, `${key}[]`);
    const says = [child.description ?? "", ...(child.env === undefined ? [] : [`Environment: \`${child.env}\`.`])].join(
      " ",
    );
    const fallback = child.default === undefined ? "" : `\`${JSON.stringify(child.default)}\``;
    return [{ key: `\`${key}\``, type: typeOf(child), fallback, says }];
  });
}

/** A Markdown table with a row for each key. */
export function configurationTable(): string {
  const rows = rowsOf(schema, "").map((row) => `| ${row.key} | ${row.type} | ${row.fallback} | ${row.says} |`);
  return ["| key | type | default | what it is |", "|---|---|---|---|", ...rows].join("\n");
}

/** One key of the example: commented out where it has a default, so that the file shows and changes nothing. */
function exampleOf(name: string, shape: Shape, indent: string): string[] {
  const says = `${indent}# ${shape.description ?? ""}${shape.unit === undefined ? "" : ` [${shape.unit}]`}${
    shape.env === undefined ? "" : ` (${shape.env})`
  }`;
  const value = shape.default === undefined ? "" : ` ${JSON.stringify(shape.default)}`;
  return [says, `${indent}#${name}:${value}`];
}

function exampleSection(name: string, shape: Shape): string[] {
  const head = [`# ${shape.description ?? ""}`];
  if (shape.items?.properties !== undefined) {
    const lines = Object.entries(shape.items.properties).flatMap(([key, child]) => exampleOf(key, child, "  #  "));
    return [...head, `#${name}:`, "  #-", ...lines, ""];
  }
  const lines = Object.entries(shape.properties ?? {}).flatMap(([key, child]) => exampleOf(key, child, "  "));
  return [...head, `${name}:`, ...lines, ""];
}

/** The text of `config/ponte.example.yaml`. */
export function exampleFile(): string {
  const sections = Object.entries(schema.properties).flatMap(([name, shape]) => exampleSection(name, shape as Shape));
  return [
    "# Every key of ponte's configuration with its default. Copy it to config/ponte.yaml and take the `#` away where you",
    "# want something else. `ponte check` tells whether it is right. Secrets are better given by the environment.",
    "",
    ...sections,
  ].join("\n");
}
