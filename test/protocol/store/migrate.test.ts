import { copyFileSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { MIGRATIONS, migrate, readMigrations } from "#store/migrate.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { quietLog } from "#test/support/quiet-log.ts";

const log = quietLog();
let database: TestDatabase;
let folder: string;

beforeAll(async () => {
  // Starts the server, so that no test has to pay for it.
  await (await withDatabase({ empty: true })).drop();
});
beforeEach(async () => {
  database = await withDatabase({ empty: true });
  folder = mkdtempSync(join(tmpdir(), "ponte-migrations-"));
  for (const name of readdirSync(MIGRATIONS)) copyFileSync(join(MIGRATIONS, name), join(folder, name));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.drop();
});
afterAll(() => undefined);

const next = () => readMigrations(folder).length + 1;
const add = (name: string, text: string) => {
  writeFileSync(join(folder, `${String(next()).padStart(4, "0")}_${name}.sql`), text);
};

test("brings an empty database up to date, once", async () => {
  const count = readMigrations(MIGRATIONS).length;
  expect(await migrate({ url: database.url, log })).toBe(count);
  expect(await migrate({ url: database.url, log })).toBe(0);
  const [row] = await database.sql`select count(*)::int as n from schema_migrations`;
  expect(row?.["n"]).toBe(count);
});

test("four nodes that start at once apply each migration once", async () => {
  add("slow", "create table slow (id int); select pg_sleep(0.2);");
  const applied = await Promise.all([1, 2, 3, 4].map(() => migrate({ url: database.url, log, folder })));
  expect(applied.toSorted((a, b) => a - b)).toEqual([0, 0, 0, next() - 1]);
});

test("nodes that wait do not stop an index from being built concurrently", async () => {
  add("table", "create table indexed (id int); insert into indexed select generate_series(1, 1000);");
  add("index", "-- no-transaction\ncreate index concurrently indexed_id on indexed (id);");
  await Promise.all([1, 2, 3].map(() => migrate({ url: database.url, log, folder })));
  const [row] = await database.sql`select indisvalid from pg_index where indexrelid = 'indexed_id'::regclass`;
  expect(row?.["indisvalid"]).toBe(true);
});

test("refuses a database that a newer ponte has migrated", async () => {
  add("of_the_future", "create table future (id int);");
  await migrate({ url: database.url, log, folder });
  await expect(migrate({ url: database.url, log })).rejects.toMatchObject({
    code: "schema_newer",
    message: expect.stringContaining("of_the_future"),
  });
});

test("refuses a migration that was edited after it was applied", async () => {
  add("edited", "create table edited (id int);");
  await migrate({ url: database.url, log, folder });
  writeFileSync(join(folder, `${String(next() - 1).padStart(4, "0")}_edited.sql`), "create table edited (id bigint);");
  await expect(migrate({ url: database.url, log, folder })).rejects.toMatchObject({ code: "schema_changed" });
});

test("takes no notice of line ends that git has changed", async () => {
  add("lines", "create table lines (\n  id int\n);\n");
  await migrate({ url: database.url, log, folder });
  writeFileSync(
    join(folder, `${String(next() - 1).padStart(4, "0")}_lines.sql`),
    "create table lines (\r\n  id int\r\n);\r\n",
  );
  expect(await migrate({ url: database.url, log, folder })).toBe(0);
});

test("leaves nothing of a migration that failed, and gives the lock back", async () => {
  await migrate({ url: database.url, log });
  add("broken", "create table half (id int); select 1 / 0;");
  await expect(migrate({ url: database.url, log, folder })).rejects.toMatchObject({
    code: "migration_failed",
    message: expect.stringContaining("division by zero"),
  });
  const [row] = await database.sql`select to_regclass('half') as half`;
  expect(row?.["half"]).toBeNull();
  expect(await migrate({ url: database.url, log })).toBe(0);
});

test("says that the database is away when it goes away in the middle", async () => {
  add("slow", "select pg_sleep(5); create table half (id int);");
  const migrating = migrate({ url: database.url, log, folder });
  const failure = expect(migrating).rejects.toMatchObject({ code: "store_unavailable", retryable: true });
  const cut = async () => {
    const [row] = await database.sql`
      select count(pg_terminate_backend(pid))::int as n from pg_stat_activity
      where datname = current_database() and query like '%pg_sleep%' and pid <> pg_backend_pid()`;
    return row?.["n"];
  };
  await expect.poll(cut).toBe(1);
  await failure;
  expect(await migrate({ url: database.url, log })).toBe(0);
});

test("refuses a gap in the numbers", () => {
  writeFileSync(join(folder, `${String(next() + 1).padStart(4, "0")}_gap.sql`), "select 1;");
  expect(() => readMigrations(folder)).toThrow(/is not migration number/);
});
