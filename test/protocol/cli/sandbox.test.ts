import { once } from "node:events";
import { createServer } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runPonte } from "#test/support/daemon-process.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";

let database: TestDatabase;
const taken = createServer();
let port = "";

beforeAll(async () => {
  database = await withDatabase();
  taken.listen(0, "127.0.0.1");
  await once(taken, "listening");
  port = String((taken.address() as { readonly port: number }).port);
});

afterAll(async () => {
  taken.close();
  await database?.drop();
});

test.concurrent.each([
  ["PONTE_SANDBOX_PORT", "PONTE_HTTP_PORT"],
  ["PONTE_HTTP_PORT", "PONTE_SANDBOX_PORT"],
])("a sandbox whose port is taken ends, and names %s", async (wanted, other) => {
  const env = { DATABASE_URL: database.url, [wanted]: port, [other]: "0" };
  const { code, stderr } = await runPonte(["sandbox"], "", env);
  expect(code, stderr).toBe(1);
  expect(stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port}.*listens there.*set ${wanted}.*\\(port_taken\\)`));
  expect(stderr, "a sentence, no stack").not.toMatch(/^\s+at /m);
});

test.concurrent("the API key of a first start is shown although the start then fails", async () => {
  const fresh = await withDatabase();
  try {
    const env = { DATABASE_URL: fresh.url, PONTE_SANDBOX_PORT: port, PONTE_HTTP_PORT: "0" };
    const { code, stdout } = await runPonte(["sandbox"], "", env);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^API key, shown this once: \S{20,}$/m);
  } finally {
    await fresh.drop();
  }
});

test.concurrent("a sandbox does not start on a variable that is wrong, and names it", async () => {
  const { code, stderr } = await runPonte(["sandbox"], "", { PONTE_SANDBOX_PORT: "web" });
  expect(code).toBe(1);
  expect(stderr).toContain('sandbox.port: must be integer, but is "web". It comes from PONTE_SANDBOX_PORT.');
});
