import Schema from "typebox/schema";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { App } from "#http/app.ts";
import { buildApp } from "#http/build-app.ts";
import { EventStreams } from "#http/events.ts";
import { FakeHouse } from "#test/support/http.ts";
import { FakeRouter } from "#test/support/http-router.ts";

/** The parts of an OpenAPI 3.1 document that are looked at here (OpenAPI 3.1.0 §4.8). */
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly security?: readonly Record<string, readonly string[]>[];
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly schema: object;
  }[];
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly description: string; readonly content?: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema?: object }>>;
interface Page {
  readonly openapi: string;
  readonly info: { readonly title: string; readonly version: string };
  readonly tags: readonly { readonly name: string }[];
  readonly security: readonly Record<string, readonly string[]>[];
  readonly components: { readonly securitySchemes: Readonly<Record<string, { readonly type: string }>> };
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

let app: App;
let page: Page;
let operations: readonly { readonly path: string; readonly method: string; readonly operation: Operation }[];

beforeAll(async () => {
  const house = new FakeHouse();
  const router = new FakeRouter(house.clock).parts();
  const parts = { ...house.parts(), router, pages: { folder: "not built" } };
  app = await buildApp(parts, new EventStreams(parts), () => false);
  const answer = await app.inject("/openapi.json");
  expect(answer.statusCode).toBe(200);
  page = answer.json<Page>();
  operations = Object.entries(page.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );
});

afterAll(() => app.close());

/** Every route that the server has, from its router's own picture of itself. */
function routes(): string[] {
  const stack: string[] = [];
  const found: string[] = [];
  for (const line of app.printRoutes({ commonPrefix: false }).split("\n")) {
    const match = /^([│ ]*)[├└]── (\S*)(?: \(([A-Z, ]+)\))?$/.exec(line);
    if (match === null) continue;
    const depth = (match[1] ?? "").length / 4;
    stack.splice(depth);
    stack.push(match[2] ?? "");
    const path = stack.join("").replace(/:(\w+)/g, "{$1}");
    for (const method of match[3]?.split(", ") ?? []) found.push(`${method} ${path}`);
  }
  return found.toSorted();
}

test("every route of the server is documented, and nothing else is", () => {
  const documented = operations.map(({ path, method }) => `${method.toUpperCase()} ${path}`).toSorted();
  expect(documented).toEqual(routes());
  expect(documented).toEqual(
    expect.arrayContaining([
      "GET /live",
      "GET /v1/calls",
      "POST /webhooks/meta",
      "POST /api/events",
      "POST /api/whatsapp/webhook",
      "POST /api/whatsapp/webhook/{channel}",
      "GET /v1/event-log/{id}",
      "POST /v1/rules/dry-run",
      "POST /v1/endpoints/{id}/rotate",
      "GET /",
    ]),
  );
  expect(documented.length).toBeGreaterThan(50);
});

test("a server of calls alone has no more than it had", async () => {
  const parts = new FakeHouse().parts();
  const bare = await buildApp(parts, new EventStreams(parts), () => false);
  const { paths } = (await bare.inject("/openapi.json")).json<Page>();
  await bare.close();
  expect(Object.keys(paths).toSorted()).toEqual([
    "/live",
    "/openapi.json",
    "/ready",
    "/v1/calls",
    "/v1/calls/{id}",
    "/v1/calls/{id}/terminate",
    "/v1/events",
    "/webhooks/meta",
  ]);
});

describe("the document is OpenAPI 3.1", () => {
  test("with version, title and security schemes", () => {
    expect(page.openapi).toMatch(/^3\.1\.\d+$/);
    expect(page.info).toMatchObject({ title: "ponte", version: "1.2.3" });
    for (const scheme of Object.values(page.components.securitySchemes))
      expect(["http", "apiKey"]).toContain(scheme.type);
  });

  test("each operation has a name of its own, a summary and a known tag", () => {
    const names = operations.map(({ operation }) => operation.operationId);
    expect(new Set(names).size).toBe(names.length);
    const tags = page.tags.map(({ name }) => name);
    for (const { operation } of operations) {
      expect(operation.summary).not.toBe("");
      expect(tags).toEqual(expect.arrayContaining([...operation.tags]));
    }
  });

  test("paths and their parameters agree", () => {
    for (const { path, operation } of operations) {
      const wanted = [...path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      const given = (operation.parameters ?? []).filter((parameter) => parameter.in === "path");
      expect(given.map(({ name }) => name)).toEqual(wanted);
      expect(given.every(({ required }) => required === true)).toBe(true);
    }
  });

  test("everything under /v1 needs a key and says so, all else does not", () => {
    const withKey: readonly string[] = ["sendEvents"];
    for (const { path, operation } of operations) {
      const security = operation.security ?? page.security;
      if (withKey.includes(operation.operationId)) expect(security).toHaveLength(3);
      else if (!path.startsWith("/v1/")) expect(security).toEqual([]);
      else {
        expect(security.flatMap((alternative) => Object.keys(alternative))).toEqual(["bearer", "header"]);
        expect(Object.keys(operation.responses)).toEqual(expect.arrayContaining(["401", "429"]));
      }
    }
  });

  test("every response says what it means, every refusal has the one shape", () => {
    for (const { operation } of operations)
      for (const [status, response] of Object.entries(operation.responses)) {
        expect(response.description.length).toBeGreaterThan(3);
        if (Number(status) >= 400 && operation.operationId !== "ready")
          expect(response.content?.["application/json"]?.schema).toMatchObject({ required: ["error"] });
      }
  });

  test("every schema is one that compiles, without a reference that leads nowhere", () => {
    const schemas = operations.flatMap(({ operation }) => [
      ...(operation.parameters ?? []).map(({ schema }) => schema),
      ...[operation.requestBody, ...Object.values(operation.responses)].flatMap((one) =>
        Object.values(one?.content ?? {}).map(({ schema }) => schema ?? {}),
      ),
    ]);
    expect(schemas.length).toBeGreaterThan(40);
    for (const schema of schemas) {
      expect(JSON.stringify(schema)).not.toContain('"$ref"');
      expect(() => Schema.Compile(schema)).not.toThrow();
    }
  });
});
