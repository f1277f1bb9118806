import { type Contact, type Identity, isSame } from "#core/contact/identity.ts";
import { PonteError } from "#core/error.ts";
import { uuidV7 } from "#core/id.ts";
import type { ContactPort } from "#router/ports.ts";
import { persistently } from "./batches.ts";
import type { Sql } from "./client.ts";
import { codeOf } from "./failures.ts";
import { json } from "./json.ts";
import { isUuid } from "./page.ts";
import { given, telling } from "./reading.ts";

/** Rounds of looking and writing; each lost one means that somebody else wrote the same person in between. */
const MAX_ROUNDS = 10;

interface ContactRow {
  readonly id: string;
  readonly tenant_id: string;
  readonly name: string | null;
  readonly identities: readonly Identity[];
}

/** A person as somebody names them: WhatsApp itself (`heard`), whose form of an address is the right one, or whoever writes to them. */
interface Named {
  readonly identities: readonly [Identity, ...Identity[]];
  readonly name?: string;
  readonly heard: boolean;
}

/** People, one contact each. */
export class ContactStore implements ContactPort {
  readonly #sql: Sql;
  readonly #random: () => Uint8Array;

  /** @param random 16 random bytes. */
  constructor(sql: Sql, random: () => Uint8Array) {
    this.#sql = sql;
    this.#random = random;
  }

  resolve(tenantId: string, identities: readonly [Identity, ...Identity[]], name?: string): Promise<Contact> {
    return this.#settle(tenantId, { identities, ...given("name", name), heard: true });
  }

  reach(tenantId: string, identities: readonly [Identity, ...Identity[]]): Promise<Contact> {
    return this.#settle(tenantId, { identities, heard: false });
  }

  async #settle(tenantId: string, person: Named): Promise<Contact> {
    const { identities, name } = person;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const [oldest, ...others] = await this.#holders(tenantId, identities);
      if (oldest === undefined) {
        const made = await this.#make(tenantId, identities, name);
        if (made !== undefined) return made;
      } else if (others.length > 0) {
        await this.#merge(
          oldest.id,
          others.map((other) => other.id),
        );
      } else if (knows(oldest, person)) {
        return contactOf(oldest);
      } else await this.#extend(oldest.id, tenantId, person);
    }
    throw new PonteError("store_failed", "a contact is being changed from too many sides", { retryable: true });
  }

  async get(tenantId: string, id: string): Promise<Contact | undefined> {
    if (!isUuid(id)) return undefined;
    const [row] = await this.#read(this.#sql`c.tenant_id = ${tenantId} and c.id = ${id}`);
    return row === undefined ? undefined : contactOf(row);
  }

  /** The contacts that have any of these identities, the oldest first. */
  #holders(tenantId: string, identities: readonly Identity[]): Promise<readonly ContactRow[]> {
    const sql = this.#sql;
    return this.#read(sql`c.id in (
      select i.contact_id from contact_identities i
      join unnest(${identities.map((one) => one.kind)}::text[], ${identities.map((one) => one.value)}::text[]) as g (kind, value)
        on i.kind = g.kind and i.value = g.value
      where i.tenant_id = ${tenantId})`);
  }

  /** Undefined: somebody else has just made it. */
  async #make(tenantId: string, identities: readonly Identity[], name?: string): Promise<Contact | undefined> {
    const sql = this.#sql;
    const id = uuidV7(Date.now(), this.#random());
    const known = distinct(identities);
    try {
      await sql`
        with made as (
          insert into contacts (id, tenant_id, name) values (${id}, ${tenantId}, ${name ?? null}) returning id
        )
        insert into contact_identities (tenant_id, kind, value, address, contact_id)
        select ${tenantId}, g.kind, g.value, g.address, made.id
        from made, jsonb_to_recordset(${json(known)}::text::jsonb) as g (kind text, value text, address text)
        order by g.kind, g.value`;
    } catch (error) {
      if (codeOf(error) === "23505" || codeOf(error) === "40P01") return undefined;
      await telling(Promise.reject(error));
    }
    return { id, tenantId, ...given("name", name), identities: known };
  }

  /** Gives a contact the identities that it lacks, the forms that were seen last, and its newest name. */
  async #extend(id: string, tenantId: string, { identities, name, heard }: Named): Promise<void> {
    const sql = this.#sql;
    await telling(
      persistently(
        () => sql`
          with named as (
            update contacts set name = coalesce(${name ?? null}, name), updated_at = now() where id = ${id} returning id
          )
          insert into contact_identities as i (tenant_id, kind, value, address, contact_id)
          select ${tenantId}, g.kind, g.value, g.address, named.id
          from named, jsonb_to_recordset(${json(distinct(identities))}::text::jsonb) as g (kind text, value text, address text)
          order by g.kind, g.value
          on conflict (tenant_id, kind, value) do update set
            address = case when ${heard} then excluded.address else i.address end, seen_at = now()`,
      ),
    );
  }

  /**
   * Two contacts were one person. Where both have a conversation on a channel, that of the older one takes in the messages of the
   * other.
   */
  async #merge(into: string, others: readonly string[]): Promise<void> {
    const sql = this.#sql;
    const gone = [...others];
    await telling(
      persistently(
        () => sql`
          with theirs as materialized (
            select c.id, c.channel, c.unread, c.last_at, c.last_direction, c.last_preview, c.last_inbound_at,
              first_value(c.id) over (partition by c.channel order by (c.contact_id = ${into}) desc, c.created_at, c.id) as kept
            from conversations c where c.contact_id = any(${[into, ...gone]}::uuid[])
            order by c.id
          ), totals as materialized (
            select kept, sum(unread)::int as unread, max(last_inbound_at) as last_inbound_at, max(last_at) as last_at,
              (array_agg(last_direction order by last_at desc))[1] as last_direction,
              (array_agg(last_preview order by last_at desc))[1] as last_preview
            from theirs group by kept
          ), moved as (
            update messages m set conversation_id = t.kept from theirs t
            where m.conversation_id = t.id and t.kept <> t.id
          ), summed as (
            update conversations c set contact_id = ${into}, unread = t.unread, last_inbound_at = t.last_inbound_at,
              last_at = t.last_at, last_direction = t.last_direction, last_preview = t.last_preview
            from totals t where c.id = t.kept
          ), doubled as (
            delete from conversations c using theirs t where c.id = t.id and t.kept <> t.id
          ), named as (
            update contact_identities set contact_id = ${into} where contact_id = any(${gone}::uuid[])
          ), told as (
            update contacts c set updated_at = now(), name = coalesce(c.name, (
              select name from contacts o where o.id = any(${gone}::uuid[]) and o.name is not null limit 1))
            where c.id = ${into}
          )
          delete from contacts where id = any(${gone}::uuid[])`,
      ),
    );
  }

  async #read(where: ReturnType<Sql>): Promise<readonly ContactRow[]> {
    return await telling(
      this.#sql<ContactRow[]>`
        select c.id, c.tenant_id, c.name, ${identitiesOf(this.#sql)} as identities
        from contacts c where ${where} order by c.created_at, c.id`,
    );
  }
}

/** The identities of the contact `c`, as JSON. */
export function identitiesOf(sql: Sql) {
  return sql`(
    select coalesce(jsonb_agg(jsonb_build_object('kind', i.kind, 'value', i.value, 'address', i.address)
      order by i.seen_at, i.kind), '[]')
    from contact_identities i where i.contact_id = c.id)`;
}

export function contactOf(row: ContactRow): Contact {
  return { id: row.id, tenantId: row.tenant_id, ...given("name", row.name), identities: row.identities };
}

/** Nothing would change. */
function knows(row: ContactRow, { identities, name, heard }: Named): boolean {
  const has = (one: Identity) =>
    row.identities.some((own) => isSame(own, one) && (!heard || own.address === one.address));
  return (name === undefined || name === row.name) && distinct(identities).every(has);
}

/** One of each kind and value, the last one given. */
function distinct(identities: readonly Identity[]): readonly Identity[] {
  return [...new Map(identities.map((one) => [`${one.kind} ${one.value}`, one])).values()];
}
