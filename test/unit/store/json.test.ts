import { expect, test } from "vitest";
import { canonicalJson, json } from "#store/json.ts";

test.each([
  [{ a: "plain" }, { a: "plain" }],
  [{ a: "nul \u0000 in it" }, { a: "nul  in it" }],
  [{ a: ["half \ud83d of one"] }, { a: ["half \ufffd of one"] }],
  [{ a: "whole \u{1f511}" }, { a: "whole \u{1f511}" }],
  // An escaped backslash before u0000 is no NUL.
  [{ a: "\\u0000" }, { a: "\\u0000" }],
])("%j is stored as %j", (value, stored) => {
  expect(JSON.parse(json(value))).toEqual(stored);
});

test("the order of keys makes no difference, that of a list does", () => {
  expect(canonicalJson({ b: [1, { d: null, c: "x" }], a: true })).toBe('{"a":true,"b":[1,{"c":"x","d":null}]}');
  expect(canonicalJson({ a: 1, b: 2 })).toBe(canonicalJson({ b: 2, a: 1 }));
  expect(canonicalJson([1, 2])).not.toBe(canonicalJson([2, 1]));
  expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
});
