import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createConnection } from "node:net";
import { inject } from "vitest";
import { connect, type Sql } from "#store/client.ts";
import { databaseUrl, type TestServer } from "#test/support/database-server.ts";

/** A database of a test file's own, on a real server. */
export interface TestDatabase {
  readonly url: string;
  readonly sql: Sql;
  /** Ends `sql` and removes the database, whoever is still connected to it. */
  drop(): Promise<void>;
}

async function server(): Promise<TestServer> {
  const socket = createConnection(inject("databaseAsk"));
  const parts: Buffer[] = [];
  socket.on("data", (part: Buffer) => parts.push(part));
  await once(socket, "close");
  const told = JSON.parse(Buffer.concat(parts).toString()) as TestServer & { readonly error?: string };
  if (told.error !== undefined) throw new Error(`the test database does not start: ${told.error}`);
  return told;
}

/**
 * Makes a database, migrated unless `empty`; about 50 ms. Call it in `beforeAll` and `drop` it in `afterAll`. The server is
 * Postgres of our own without fsync, or that of `PONTE_TEST_DATABASE_URL`.
 */
export async function withDatabase(options: { readonly empty?: boolean } = {}): Promise<TestDatabase> {
  const { url, template } = await server();
  const name = `test_${randomBytes(6).toString("hex")}`;
  const from = options.empty === true ? "template1" : template;
  await administer(url, (admin) => admin`create database ${admin(name)} template ${admin(from)}`);
  const sql = connect({ url: databaseUrl(url, name), connections: 5 });
  return {
    url: databaseUrl(url, name),
    sql,
    drop: async () => {
      await sql.end({ timeout: 1 });
      await administer(url, (admin) => admin`drop database ${admin(name)} with (force)`);
    },
  };
}

async function administer(url: string, work: (admin: Sql) => Promise<unknown>): Promise<void> {
  const admin = connect({ url, connections: 1 });
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}
