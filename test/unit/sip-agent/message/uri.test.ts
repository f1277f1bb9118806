import { expect, test } from "vitest";
import { formatHostPort, normalizeAddress, parseUri } from "#sip-agent/message/uri.ts";

test.each([
  ["sip:alice@example.com", { scheme: "sip", user: "alice", host: "example.com", port: undefined }],
  ["SIP:10.0.0.1:5070;transport=TCP;lr", { scheme: "sip", user: undefined, host: "10.0.0.1", port: 5070 }],
  ["sips:bob:secret@[2001:db8::1]:5061?Subject=x", { scheme: "sips", user: "bob", host: "2001:db8::1", port: 5061 }],
  ["sip:user;par=u%40x@example.com", { user: "user;par=u%40x", host: "example.com" }],
  ["sip:+49-170@h_1", { user: "+49-170", host: "h_1" }],
])("%s", (text, uri) => {
  expect(parseUri(text)).toMatchObject(uri);
});

test.each(["tel:+4917", "sip:", "sip:@", "sip:a@h:0", "sip:a@h:99999", "sip:a@h o", "sip:a@[::1", "sip:ho$t", "", "x"])(
  "%j is none",
  (text) => {
    expect(parseUri(text)).toBeUndefined();
  },
);

test("parameters have lower-case names and empty values", () => {
  expect([...(parseUri("sip:h;LR;transport=tcp")?.params ?? [])]).toEqual([
    ["lr", ""],
    ["transport", "tcp"],
  ]);
});

test.each([
  ["::ffff:10.0.0.1", "10.0.0.1"],
  ["FE80::1%eth0", "fe80::1"],
  ["10.0.0.1", "10.0.0.1"],
])("the address %s is kept as %s", (given, kept) => {
  expect(normalizeAddress(given)).toBe(kept);
});

test("IPv6 hosts are put in brackets", () => {
  expect(formatHostPort("::1", 5060)).toBe("[::1]:5060");
  expect(formatHostPort("10.0.0.1", 5060)).toBe("10.0.0.1:5060");
});
