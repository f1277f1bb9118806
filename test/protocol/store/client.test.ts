import { afterAll, beforeAll, expect, test } from "vitest";
import { connect, type Sql } from "#store/client.ts";
import { mayPass } from "#store/failures.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

/** Longer than a reconnect, shorter than patience. */
const HANGS_MS = 4_000;

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
});
afterAll(() => database.drop());

/** Ends every other connection to this database, as a restart of the server does. */
const cut = () => database.sql`
  select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;

async function outcome(statement: Promise<readonly { readonly n: number }[]>): Promise<number | "passing" | "hangs"> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<"hangs">((resolve) => {
    timer = setTimeout(resolve, HANGS_MS, "hangs");
  });
  const answer = statement.then(
    ([row]) => row?.n ?? -1,
    (error: unknown) => {
      if (!mayPass(error)) throw error;
      return "passing" as const;
    },
  );
  const first = await Promise.race([answer, late]);
  clearTimeout(timer);
  return first;
}

const ask = (sql: Sql, n: number) => outcome(sql<{ readonly n: number }[]>`select ${n}::int as n`);

test.each([1, 3])(
  "statements sent while connections break (%i of them) fail or are answered rightly, and the next ones work",
  async (connections) => {
    const sql = connect({ url: database.url, connections });
    for (let round = 0; round < 5; round++) {
      await Promise.all([1, 2, 3].map((n) => ask(sql, n)));
      await cut();
      const outcomes: (number | "passing" | "hangs")[] = [];
      for (let n = 0; n < 4; n++) outcomes.push(await ask(sql, n));
      for (const [n, one] of outcomes.entries()) expect([n, "passing"]).toContain(one);
      expect(outcomes.at(-1)).toBe(3);
    }
    const before = performance.now();
    await sql.end({ timeout: 5 });
    expect(performance.now() - before).toBeLessThan(HANGS_MS);
  },
);

test("what would end the process when its connection is lost cannot be used", async () => {
  const sql = connect({ url: database.url, connections: 1 });
  expect(() => sql.begin((tx) => tx`select 1`)).toThrow(/one statement/);
  expect(() => sql.reserve()).toThrow(/one statement/);
  await sql.end();
});

test("nothing is lost on a connection that is recycled in peace", async () => {
  const sql = connect({ url: database.url, connections: 1 });
  const [first] = await sql`select pg_backend_pid() as pid`;
  const answers = Promise.all([1, 2, 3].map((n) => ask(sql, n)));
  await sql.end({ timeout: 5 });
  expect(await answers).toEqual([1, 2, 3]);
  const [left] = await database.sql`select count(*)::int as n from pg_stat_activity where pid = ${first?.["pid"]}`;
  expect(left?.["n"]).toBe(0);
});
