import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Answer, API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";
import { FakeRouter } from "#test/support/http-router.ts";

let house: FakeHouse;
let http: RunningHttp;
let folder: string;

beforeEach(async () => {
  house = new FakeHouse();
  folder = await mkdtemp(join(tmpdir(), "ponte-pages-"));
  http = await startHttp(house, { router: new FakeRouter(house.clock).parts(), pages: { folder, sessionSecret: "s" } });
});

afterEach(async () => {
  await http.server.stop();
  await rm(folder, { recursive: true, force: true });
});

const page = { "content-type": "application/json", "x-ponte-page": "1" };

const signIn = (key = API_KEY, headers: Record<string, string> = page): Promise<Answer> =>
  http.send("/session", { method: "POST", headers, body: JSON.stringify({ key }) });

async function cookie(): Promise<string> {
  return (await signIn()).headers.get("set-cookie")?.split(";")[0] ?? "";
}

describe("files", () => {
  test("say that they are not built, and are there when they are", async () => {
    expect(await http.send("/", {})).toMatchObject({ status: 503, json: { error: { code: "pages_not_built" } } });
    await mkdir(join(folder, "assets"));
    await writeFile(join(folder, "index.html"), "<!doctype html>");
    await writeFile(join(folder, "assets", "index-abc.js"), "let a;".repeat(100));
    const index = await http.send("/", {});
    expect(index).toMatchObject({ status: 200, text: "<!doctype html>" });
    expect(Object.fromEntries(index.headers)).toMatchObject({
      "content-type": "text/html; charset=utf-8",
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
      "referrer-policy": "no-referrer",
    });
    const policy = index.headers.get("content-security-policy");
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toContain("unsafe");
    const script = await http.send("/assets/index-abc.js", {});
    expect(script.text).toBe("let a;".repeat(100));
    expect(Object.fromEntries(script.headers)).toMatchObject({
      "content-type": "text/javascript; charset=utf-8",
      "content-encoding": "gzip",
      "cache-control": "public, max-age=31536000, immutable",
    });
    const plain = await http.send("/assets/index-abc.js", { headers: { "accept-encoding": "identity" } });
    expect([plain.text, plain.headers.get("content-encoding")]).toEqual([script.text, null]);
    const etag = index.headers.get("etag") ?? "";
    expect((await http.send("/", { headers: { "if-none-match": etag } })).status).toBe(304);
  });

  test.each(["/assets/nothing.js", "/assets/..%2f..%2fpackage.json", "/assets/%2e%2e%2findex.html", "/index.html"])(
    "have nothing at %s",
    async (path) => {
      await writeFile(join(folder, "index.html"), "<!doctype html>");
      expect((await http.send(path, {})).status).toBe(404);
    },
  );
});

describe("signing in", () => {
  test("gives a cookie that hides the key from scripts and other sites", async () => {
    const answer = await signIn();
    expect(answer).toMatchObject({ status: 200, json: { name: "test" } });
    const set = answer.headers.get("set-cookie") ?? "";
    expect(set).toMatch(/^ponte_session=[\w-]{60,}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/);
    expect(Buffer.from(set.slice(14).split(";")[0] ?? "", "base64url").toString("latin1")).not.toContain(API_KEY);
    const headers = { cookie: set.split(";")[0] ?? "" };
    expect(await http.send("/session", { headers })).toMatchObject({ status: 200, json: { name: "test" } });
    expect((await http.send("/v1/rules", { headers })).status).toBe(200);
    expect((await http.send("/v1/calls", { headers })).status).toBe(200);
  });

  test("marks the cookie as secure behind a proxy that speaks https", async () => {
    const proxied = await startHttp(house, { pages: { folder }, trustedProxies: ["127.0.0.1"] });
    const answer = await proxied.send("/session", {
      method: "POST",
      headers: { ...page, "x-forwarded-proto": "https" },
      body: JSON.stringify({ key: API_KEY }),
    });
    await proxied.server.stop();
    expect(answer.headers.get("set-cookie")).toMatch(/; Secure$/);
  });

  test("refuses wrong keys, and after some of them everything", async () => {
    for (let i = 0; i < 20; i++) expect((await signIn(`wrong ${i}`)).status).toBe(401);
    expect((await signIn()).status).toBe(429);
  });

  test("ends with the day, with signing out and with another secret", async () => {
    const headers = { cookie: await cookie() };
    const out = await http.send("/session", { method: "DELETE", headers: { ...headers, "x-ponte-page": "1" } });
    expect([out.status, out.headers.get("set-cookie")?.startsWith("ponte_session=; Path=/; Max-Age=0")]).toEqual([
      204,
      true,
    ]);
    const [other, same] = await Promise.all(
      ["another", "s"].map((sessionSecret) => startHttp(house, { pages: { folder, sessionSecret } })),
    );
    const seen = [await other?.send("/v1/calls", { headers }), await same?.send("/v1/calls", { headers })];
    await Promise.all([other?.server.stop(), same?.server.stop()]);
    expect(seen.map((answer) => answer?.status)).toEqual([401, 200]);
    house.clock.advance(12 * 3_600_000);
    expect((await http.send("/v1/calls", { headers })).status).toBe(401);
    expect((await http.send("/session", { headers })).json).toEqual({ name: null });
  });

  test("ends at once when the key is revoked", async () => {
    const parts = house.parts();
    let revoked = false;
    const apiKeys = { verify: async (key: string) => (revoked ? undefined : parts.apiKeys.verify(key)) };
    const own = await startHttp(house, { pages: { folder, sessionSecret: "s" }, apiKeys });
    const headers = { cookie: await cookie() };
    const before = await own.send("/v1/calls", { headers });
    revoked = true;
    const after = await own.send("/v1/calls", { headers });
    await own.server.stop();
    expect([before.status, after.status]).toEqual([200, 401]);
  });

  test.each([
    ["a forged one", "ponte_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"],
    ["a short one", "ponte_session=AA"],
    ["none", "other=1"],
  ])("a request with %s is not let in", async (_what, value) => {
    expect((await http.send("/v1/rules", { headers: { cookie: value } })).status).toBe(401);
  });
});

describe("another site's page", () => {
  const rule = JSON.stringify({ name: "x", event_type: "a", actions: [{ type: "drop" }] });
  const json = { "content-type": "application/json" };

  test.each([
    ["without our header", {}],
    ["from another site", { "x-ponte-page": "1", "sec-fetch-site": "cross-site" }],
    ["from another host of ours", { "x-ponte-page": "1", "sec-fetch-site": "same-site" }],
  ])("cannot change anything with the cookie: %s", async (_what, headers) => {
    const answer = await http.send("/v1/rules", {
      method: "POST",
      headers: { ...json, ...headers, cookie: await cookie() },
      body: rule,
    });
    expect(answer).toMatchObject({ status: 403, json: { error: { code: "cross_site_request" } } });
  });

  test("cannot sign somebody in", async () => {
    expect((await signIn(API_KEY, json)).status).toBe(403);
  });

  test("our own can, and so can a program with the key", async () => {
    const own = { ...page, "sec-fetch-site": "same-origin", cookie: await cookie() };
    expect((await http.send("/v1/rules", { method: "POST", headers: own, body: rule })).status).toBe(201);
    const program = { ...json, "x-api-key": API_KEY };
    expect((await http.send("/v1/rules", { method: "POST", headers: program, body: rule })).status).toBe(201);
  });
});
