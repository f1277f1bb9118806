import { describe, expect, test } from "vitest";
import { identityHeaders, type TrunkOptions, trunkUri } from "#sip/trunk.ts";

const trunk: TrunkOptions = {
  name: "pbx",
  host: "192.0.2.7",
  port: 5070,
  transport: "udp",
  callerIdentity: "both",
  optionsIntervalMs: 0,
};

test.each([
  [{}, "600", "sip:600@192.0.2.7:5070"],
  [{ transport: "tcp" as const }, "600", "sip:600@192.0.2.7:5070;transport=tcp"],
  [{ host: "2001:db8::1" }, "*9#", "sip:*9%23@[2001:db8::1]:5070"],
  [{}, undefined, "sip:192.0.2.7:5070"],
])("%j and %j are reached at %s", (change, user, expected) => {
  expect(trunkUri({ ...trunk, ...change }, user)).toBe(expected);
});

describe("the caller is shown", () => {
  const caller = { callerNumber: "5511988887777", callerName: 'Ana "Bê"' };
  const who = '"Ana \\"Bê\\"" <sip:5511988887777@192.0.2.7>';

  test.each([
    ["from", { From: who }],
    ["p-asserted-identity", { From: '"Ana \\"Bê\\"" <sip:ponte@192.0.2.7>', "P-Asserted-Identity": who }],
    ["both", { From: who, "P-Asserted-Identity": who }],
    ["none", { From: "<sip:ponte@192.0.2.7>" }],
  ] as const)("by %s", (callerIdentity, expected) => {
    expect(identityHeaders({ ...trunk, callerIdentity }, caller)).toEqual(expected);
  });

  test("as anonymous without a number, and never asserted", () => {
    expect(identityHeaders(trunk, { callerName: "Ana" })).toEqual({ From: '"Ana" <sip:anonymous@192.0.2.7>' });
    expect(identityHeaders(trunk, {})).toEqual({ From: "<sip:anonymous@192.0.2.7>" });
  });

  test("under the trunk's own domain and user name", () => {
    const own = { ...trunk, fromDomain: "pbx.example", username: "ponte 1", callerIdentity: "none" as const };
    expect(identityHeaders(own, caller)).toEqual({ From: "<sip:ponte%201@pbx.example>" });
  });

  test("never at localhost, which the engine would replace", () => {
    expect(identityHeaders({ ...trunk, host: "localhost" }, { callerNumber: "1" })["From"]).toBe("<sip:1@127.0.0.1>");
  });
});
