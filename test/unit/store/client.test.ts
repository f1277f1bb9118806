import { afterEach, expect, test } from "vitest";
import { connect, type Sql } from "#store/client.ts";
import { mayPass, storeFailure } from "#store/failures.ts";

const open: Sql[] = [];
afterEach(async () => {
  for (const sql of open.splice(0)) await sql.end({ timeout: 0 });
});

function optionsOf(url: string) {
  const sql = connect({ url });
  open.push(sql);
  return sql.options as unknown as Record<string, unknown> & { readonly connection: Record<string, unknown> };
}

test("a URL with a socket directory reaches the socket, and nothing of it is sent as a setting", () => {
  const options = optionsOf("postgresql:///ponte?host=%2Ftmp%2Fdata%2Fsocket&port=5432&user=ponte");
  expect(options).toMatchObject({ path: "/tmp/data/socket/.s.PGSQL.5432", user: "ponte", database: "ponte" });
  expect(Object.keys(options.connection)).not.toEqual(expect.arrayContaining(["host"]));
});

test("an ordinary URL is left as it is", () => {
  const options = optionsOf("postgres://me:secret@db.example:6432/calls?sslmode=require");
  expect(options).toMatchObject({ host: ["db.example"], port: [6432], user: "me", database: "calls", ssl: "require" });
});

test.each([
  ["ECONNREFUSED", true],
  ["CONNECTION_CLOSED", true],
  ["57P03", true], // The database system is starting up.
  ["40P01", true], // Deadlock detected.
  ["53300", true], // Too many connections.
  ["23505", false], // Unique violation.
  ["42P01", false], // Undefined table.
  ["22P02", false], // Invalid text representation.
])("%s: trying again later helps: %s", (code, passing) => {
  const error = Object.assign(new Error("x"), { code });
  expect(mayPass(error)).toBe(passing);
  expect(storeFailure(error)).toMatchObject({
    code: passing ? "store_unavailable" : "store_failed",
    retryable: passing,
    cause: error,
  });
});
