import { describe, expect, test } from "vitest";
import {
  cleanHeaders,
  displayName,
  headerValue,
  MAX_HEADER_VALUE_BYTES,
  parseReasons,
  q850Reason,
  uriUser,
  whyEnded,
} from "#sip/header.ts";

describe("a header value", () => {
  test.each([
    ["a\r\nVia: evil", "a Via: evil"],
    ["a\u0000b\nc", "a b c"],
    ["\u2028x\u0085", "x"],
    ["  ação ☎ 🙂 ", "ação ☎ 🙂"],
    ["broken \ud800 surrogate", "broken \ufffd surrogate"],
  ])("%j becomes %j", (text, expected) => {
    expect(headerValue(text)).toBe(expected);
  });

  test("is cut to its limit at a whole character", () => {
    const value = headerValue("🙂".repeat(1_000));
    expect(Buffer.byteLength(value)).toBe(MAX_HEADER_VALUE_BYTES);
    expect(value.isWellFormed()).toBe(true);
  });

  test("needs a possible name and something to say", () => {
    expect(cleanHeaders({ "X-A": "1", "X B": "2", "X-C\r\nVia": "3", "X-D": " \r\n " })).toEqual({
      clean: { "X-A": "1" },
      bad: ["X B", "X-C?Via"],
    });
  });
});

describe("a display name", () => {
  test.each([
    ["Zoë 🙂", '"Zoë 🙂"'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['x" <sip:evil@example.com>\r\nX: y', '"x\\" <sip:evil@example.com> X: y"'],
    ["me@localhost", '"me@ localhost"'],
    [" \u0007 ", ""],
  ])("%j becomes %j", (name, expected) => {
    expect(displayName(name)).toBe(expected);
  });

  test("is not longer than telephones show", () => {
    expect([...displayName("🙂".repeat(500))]).toHaveLength(64 + 2);
  });
});

test.each([
  ["4917012345", "4917012345"],
  ["+49", "+49"],
  ["*21#", "*21%23"],
  ["a@b;c?d:e", "a%40b%3Bc%3Fd%3Ae"],
  ["x\r\ny", "x%0D%0Ay"],
  ["ä", "%C3%A4"],
])("the user %j is written as %j", (user, expected) => {
  expect(uriUser(user)).toBe(expected);
});

describe("Reason (RFC 3326)", () => {
  test.each([
    ["Q.850;cause=17", { q850: 17 }],
    ['Q.850 ;cause=16 ;text="Normal, call; clearing"', { q850: 16, reason: "Normal, call; clearing" }],
    ['SIP;cause=200;text="ACK timeout"', { reason: "ACK timeout" }],
    ['SIP;cause=503, q.850;cause=34;text="a \\"b\\""', { q850: 34, reason: 'a "b"' }],
    ["Q.850;cause=0", {}],
    ["Q.850;cause=999", {}],
    ["Q.850;cause=abc", {}],
    [";;;,,,", {}],
    ['Q.850;text="open', { reason: "open" }],
    [undefined, {}],
  ])("%j says %j", (value, expected) => {
    expect(whyEnded(value)).toEqual(expected);
  });

  test("is written so that it can be read", () => {
    expect(parseReasons(q850Reason(16, 'all "well"'))).toEqual([{ protocol: "Q.850", cause: 16, text: 'all "well"' }]);
  });
});
