import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { callSchema } from "#http/call-schema.ts";

/** Bookkeeping of tenants and ownership, which is nobody's business outside. */
const notShown = ["tenant_id", "node_id", "epoch"];

test("documents every column of a call's record, and nothing that is no column", () => {
  const migration = new URL("../../../src/store/migrations/0001_calls.sql", import.meta.url);
  const table = /create table whatsapp_calls \(([\s\S]*?)\n\);/.exec(readFileSync(migration, "utf8"))?.[1] ?? "";
  const columns = [...table.matchAll(/^ {2}([a-z0-9_]+) +(?:uuid|text|boolean|integer|timestamptz|jsonb)\b/gm)].map(
    (match) => match[1] ?? "",
  );
  expect(columns.length).toBeGreaterThan(30);
  expect(Object.keys(callSchema.properties).toSorted()).toEqual(
    columns.filter((column) => !notShown.includes(column)).toSorted(),
  );
});
