import { expect, test } from "vitest";
import { routed } from "#sip-agent/dialog/route-set.ts";

const target = "sip:bob@10.0.0.2:5062";

test.each([
  ["no route", [], { requestUri: target, routes: [], nextHop: target }],
  [
    "loose routing, two hops",
    ["<sip:p1;lr>", "<sip:p2;lr>"],
    { requestUri: target, routes: ["<sip:p1;lr>", "<sip:p2;lr>"], nextHop: "sip:p1;lr" },
  ],
  [
    "a strict router behind a loose one changes nothing for us",
    ["<sip:p1;lr>", "<sip:p2>"],
    { requestUri: target, routes: ["<sip:p1;lr>", "<sip:p2>"], nextHop: "sip:p1;lr" },
  ],
  [
    "strict routing: the target goes to the end",
    ["<sip:p1>", "<sip:p2;lr>"],
    { requestUri: "sip:p1", routes: ["<sip:p2;lr>", `<${target}>`], nextHop: "sip:p1" },
  ],
  [
    "what a Request-URI must not hold is cut off",
    ["<sip:p1;method=INVITE?a=b>"],
    { requestUri: "sip:p1", routes: [`<${target}>`], nextHop: "sip:p1;method=INVITE?a=b" },
  ],
])("%s (RFC 3261 §12.2.1.1)", (_, routes, expected) => {
  expect(routed(target, routes)).toEqual(expected);
});
