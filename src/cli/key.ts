import { parseArgs } from "node:util";
import { PonteError } from "#core/error.ts";
import { type KeyEntry, RESERVED_KEY_NAMES } from "#store/api-keys.ts";
import type { Store } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import type { Command } from "./main.ts";
import { withStore } from "./store.ts";

const USAGE = "ponte key list | create NAME | revoke ID, and --tenant ID with the first two";

/** A name for people, which has to fit into a line of a table. */
const KEY_NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._@-]{0,63}$/u;

/**
 * `ponte key list|create NAME|revoke ID [--tenant ID]`: the API's keys, also beside a running daemon, which looks each key up
 * when it is used, so that a revoked one is refused from then on. A secret is shown once, when it is made.
 */
export const key: Command = async (words) => {
  const [what, argument, tenantId] = readWords(words);
  return withStore(async (store) => {
    switch (what) {
      case "list":
        return list(await store.apiKeys.list(tenantId));
      case "create":
        return create(store, argument, tenantId);
      case "revoke":
        return revoke(store, argument);
    }
  });
};

type What = "list" | "create" | "revoke";

function readWords(words: readonly string[]): readonly [What, string, string] {
  const { values, positionals } = parsed(words);
  const [what, argument = "", ...more] = positionals;
  const complete = what === "list" ? argument === "" : (what === "create" || what === "revoke") && argument !== "";
  if (!complete || more.length > 0) throw new PonteError("bad_option", USAGE);
  if (what === "create") checkName(argument);
  return [what as What, argument, values.tenant];
}

function parsed(words: readonly string[]) {
  try {
    const tenant = { type: "string", default: DEFAULT_TENANT } as const;
    return parseArgs({ args: [...words], allowPositionals: true, options: { tenant } });
  } catch (cause) {
    throw new PonteError("bad_option", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

function checkName(name: string): void {
  if (RESERVED_KEY_NAMES.includes(name))
    throw new PonteError("bad_option", `${name} is a name that ponte gives itself; take another.`);
  if (!KEY_NAME.test(name))
    throw new PonteError(
      "bad_option",
      "A key's name is 1 to 64 letters, digits, spaces and . _ @ -, such as dashboard.",
    );
}

function list(keys: readonly KeyEntry[]): number {
  const rows = keys.map(({ id, name, prefix, createdAt }) => [id, name, prefix || "–", createdAt.toISOString()]);
  console.log(tableOf([["id", "name", "prefix", "created"], ...rows]));
  return 0;
}

function tableOf(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

async function create({ apiKeys, tenants }: Store, name: string, tenantId: string): Promise<number> {
  if (!(await tenants.exists(tenantId))) throw new PonteError("no_such_tenant", `There is no tenant ${tenantId}.`);
  const { id, secret } = await apiKeys.create(name, tenantId);
  console.log(`API key ${id}, shown this once: ${secret}`);
  return 0;
}

async function revoke({ apiKeys }: Store, id: string): Promise<number> {
  if (!(await apiKeys.revoke(id))) throw new PonteError("no_such_key", `There is no valid key ${id}.`);
  console.log(`Key ${id} is revoked.`);
  return 0;
}
