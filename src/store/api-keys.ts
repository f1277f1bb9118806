import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { uuidV7 } from "#core/id.ts";
import type { ApiKeysPort } from "#engine/ports.ts";
import type { Sql } from "./client.ts";
import { storeFailure } from "./failures.ts";
import { isUuid } from "./page.ts";
import { telling } from "./reading.ts";
import { DEFAULT_TENANT } from "./tenant.ts";

/** Longer ones are not ours, and not worth a hash. */
const MAX_KEY_LENGTH = 256;

/** Characters of a key that are kept, so that people can tell keys apart. */
const PREFIX_LENGTH = 12;

/** Name of the key that is made at the first start; an index allows one. */
const FIRST = "first";

/** Name of the key that the configuration gives, most often from the environment. */
const FROM_ENVIRONMENT = "environment";

/** Names that mean something here; nobody else's key has one. */
export const RESERVED_KEY_NAMES: readonly string[] = [FIRST, FROM_ENVIRONMENT];

/** A key as it is made; the secret is shown this once and never stored. */
export interface NewKey {
  readonly id: string;
  readonly secret: string;
}

/** A valid key as people may see it. */
export interface KeyEntry {
  readonly id: string;
  readonly name: string;
  /** First characters of the secret; empty for one that is too short to show any. */
  readonly prefix: string;
  readonly createdAt: Date;
}

interface KeyRow {
  readonly id: string;
  readonly name: string;
  readonly tenant_id: string;
  readonly hash: Buffer;
}

/** Keys of the API. Only their hashes are stored; they have 256 bits of chance, so that a fast hash is enough. */
export class ApiKeys implements ApiKeysPort {
  readonly #sql: Sql;

  constructor(sql: Sql) {
    this.#sql = sql;
  }

  async create(name: string, tenantId: string = DEFAULT_TENANT): Promise<NewKey> {
    const key = newKey();
    await this.#sql`
      insert into api_keys (id, tenant_id, name, prefix, hash)
      values (${key.id}, ${tenantId}, ${name}, ${prefixOf(key.secret)}, ${hashOf(key.secret)})`;
    return key;
  }

  /** Makes a key when there is none yet, and tells it; undefined when there is one already, or another node was faster. */
  async ensureFirst(): Promise<NewKey | undefined> {
    const key = newKey();
    const made = await this.#sql`
      insert into api_keys (id, tenant_id, name, prefix, hash)
      select ${key.id}, ${DEFAULT_TENANT}, ${FIRST}, ${prefixOf(key.secret)}, ${hashOf(key.secret)}
      where not exists (select from api_keys where revoked_at is null)
      on conflict do nothing`;
    return made.count === 1 ? key : undefined;
  }

  /**
   * The key that the configuration gives is valid, and those that it gave before are not. From now on it is the
   * configuration's, also where it was made or revoked here before.
   */
  async ensureGiven(secret: string): Promise<void> {
    const hash = hashOf(secret);
    await this.#sql`
      with before as (
        update api_keys set revoked_at = now()
        where name = ${FROM_ENVIRONMENT} and revoked_at is null and hash <> ${hash}
      )
      insert into api_keys (id, tenant_id, name, prefix, hash)
      values (${newId()}, ${DEFAULT_TENANT}, ${FROM_ENVIRONMENT}, ${prefixOf(secret)}, ${hash})
      on conflict (hash) do update set name = ${FROM_ENVIRONMENT}, revoked_at = null`;
  }

  /** The configuration gives no key any more: what it gave is not valid any longer. */
  async withdrawGiven(): Promise<void> {
    await this.#sql`
      update api_keys set revoked_at = now() where name = ${FROM_ENVIRONMENT} and revoked_at is null`;
  }

  /** A tenant's valid keys, the oldest first. */
  async list(tenantId: string = DEFAULT_TENANT): Promise<readonly KeyEntry[]> {
    if (!isUuid(tenantId)) return [];
    return await telling(this.#sql<KeyEntry[]>`
      select id, name, prefix, created_at as "createdAt" from api_keys
      where tenant_id = ${tenantId} and revoked_at is null order by created_at, id`);
  }

  async verify(key: string): ReturnType<ApiKeysPort["verify"]> {
    if (key.length === 0 || key.length > MAX_KEY_LENGTH) return undefined;
    const hash = hashOf(key);
    try {
      const [row] = await this.#sql<KeyRow[]>`
        select id, name, tenant_id, hash from api_keys where hash = ${hash} and revoked_at is null`;
      if (row === undefined || !timingSafeEqual(row.hash, hash)) return undefined;
      return { id: row.id, name: row.name, tenantId: row.tenant_id };
    } catch (error) {
      throw storeFailure(error);
    }
  }

  /** False when there is no such key, or it was revoked already. */
  async revoke(id: string): Promise<boolean> {
    if (!isUuid(id)) return false;
    const gone = await this.#sql`update api_keys set revoked_at = now() where id = ${id} and revoked_at is null`;
    return gone.count === 1;
  }
}

/** A key from the environment may be short; then all of it would be shown. */
function prefixOf(secret: string): string {
  return secret.length > 2 * PREFIX_LENGTH ? secret.slice(0, PREFIX_LENGTH) : "";
}

function newId(): string {
  return uuidV7(Date.now(), randomBytes(16));
}

function newKey(): NewKey {
  return { id: newId(), secret: `ponte_${randomBytes(32).toString("base64url")}` };
}

function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
