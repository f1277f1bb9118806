import { PonteError } from "#core/error.ts";
import type { Command } from "./main.ts";
import { withStore } from "./store.ts";

const USAGE = "ponte tenant list, or ponte tenant create NAME";
const MAX_NAME_LENGTH = 200;

/** `ponte tenant`: who shares this daemon. Each tenant has channels, rules, an inbox and keys of its own. */
export const tenant: Command = async ([verb, ...words]) => {
  const name = words.join(" ").trim();
  if (verb === "list" && name === "") return await list();
  if (verb !== "create" || name === "") throw new PonteError("bad_option", USAGE);
  if (name.length > MAX_NAME_LENGTH)
    throw new PonteError("bad_option", `a tenant's name has at most ${MAX_NAME_LENGTH} characters`);
  return await create(name);
};

async function list(): Promise<number> {
  const tenants = await withStore((store) => store.tenants.list());
  for (const { id, name, createdAt } of tenants) console.log(`${id}  ${createdAt.toISOString()}  ${name}`);
  return 0;
}

async function create(name: string): Promise<number> {
  const { made, key } = await withStore(async (store) => {
    const made = await store.tenants.create(name);
    return { made, key: await store.apiKeys.create(name, made.id) };
  });
  console.log(`Tenant ${made.name}: ${made.id}\nAPI key, shown this once: ${key.secret}`);
  return 0;
}
