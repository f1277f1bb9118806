import Type from "typebox";
import { describe, expect, test } from "vitest";
import { fieldCheck, strictly, variantCheck, variants } from "#http/check.ts";

const schema = Type.Object(
  {
    name: Type.String({ minLength: 1 }),
    kind: Type.Optional(Type.Enum(["a", "b"])),
    lines: Type.Optional(Type.Array(Type.Object({ count: Type.Integer() }, { additionalProperties: false }))),
  },
  { additionalProperties: false },
);

describe("a check names the first wrong field", () => {
  const check = fieldCheck(schema);
  test.each([
    [{ name: "x" }, "", undefined],
    [{}, "", "Body field name is missing."],
    [{ name: 5 }, "", "Body field name must be string."],
    [{ name: "x", more: 1 }, "", "Body field more is not known."],
    [{ name: "x", kind: "c" }, "", "Body field kind must be equal to one of the allowed values: a, b."],
    [{ name: "x", lines: [{ count: 1 }, { count: "1" }] }, "", "Body field lines.1.count must be integer."],
    [{ name: "x", lines: [{}] }, "rules.2", "Body field rules.2.lines.0.count is missing."],
    [{ name: "x", lines: [{ count: 1, extra: 2 }] }, "", "Body field lines.0.extra is not known."],
    ["x", "", "Body must be object."],
    [null, "events.0", "Body field events.0 must be object."],
  ])("%j below %j", (value, path, expected) => {
    expect(check(value, path)?.message).toBe(expected);
  });
});

describe("a choice of variants names the field of the one that was meant", () => {
  const check = variantCheck({
    text: Type.Object({ type: Type.Literal("text"), text: Type.String() }, { additionalProperties: false }),
    place: Type.Object({ type: Type.Literal("place"), latitude: Type.Number() }, { additionalProperties: false }),
  });
  test.each([
    [{ type: "text", text: "x" }, undefined],
    [{ type: "text" }, "Body field content.text is missing."],
    [{ type: "place", latitude: "5" }, "Body field content.latitude must be number."],
    [{ type: "video" }, "Body field content.type must be equal to one of the allowed values: text, place."],
    [{ text: "x" }, "Body field content.type is missing."],
    [undefined, "Body field content must be object."],
  ])("%j", (value, expected) => {
    expect(check(value, "content")?.message).toBe(expected);
  });
});

describe("a scope's validator", () => {
  test("leaves a body as it is", () => {
    const check = strictly({ schema: Type.Object({ count: Type.Integer({ default: 3 }) }), httpPart: "body" });
    expect(check({ count: 1 })).toEqual({ value: { count: 1 } });
    expect(check({ count: "1" })).toMatchObject({ error: { status: 400, code: "invalid_request" } });
    expect(check({})).toMatchObject({ error: { message: "Body field count is missing." } });
  });

  test("leaves a choice of variants to the route", () => {
    const content = Type.Union([Type.Object({ a: Type.String() }), Type.Object({ b: Type.String() })], variants);
    const check = strictly({ schema: Type.Object({ content }), httpPart: "body" });
    expect(check({ content: { neither: 1 } })).toEqual({ value: { content: { neither: 1 } } });
    expect(check({})).toMatchObject({ error: { message: "Body field content is missing." } });
  });

  const query = Type.Object(
    {
      limit: Type.Integer({ minimum: 1, default: 50 }),
      unread: Type.Optional(Type.Boolean()),
      q: Type.Optional(Type.String()),
    },
    { additionalProperties: false },
  );
  test.each([
    [{}, { limit: 50 }],
    [
      { limit: "7", unread: "true", q: "5" },
      { limit: 7, unread: true, q: "5" },
    ],
    [
      { limit: "7", unread: "false" },
      { limit: 7, unread: false },
    ],
  ])("reads the texts of %j", (given, value) => {
    expect(strictly({ schema: query, httpPart: "querystring" })(given)).toEqual({ value });
  });

  test.each([
    [{ limit: "0" }, "Query parameter limit must be >= 1."],
    [{ limit: "1e3" }, "Query parameter limit must be integer."],
    [{ limit: "1", unread: "yes" }, "Query parameter unread must be boolean."],
    [{ limit: ["1", "2"] }, "Query parameter limit must be integer."],
    [{ colour: "red" }, "Query parameter colour is not known."],
  ])("refuses %j", (given, message) => {
    expect(strictly({ schema: query, httpPart: "querystring" })(given)).toMatchObject({ error: { message } });
  });
});
