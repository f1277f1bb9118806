import { isIP } from "node:net";
import { expect, test } from "vitest";
import { ipVersion, isGroupAddress, isUnspecified } from "#core/sdp/address.ts";

const literals = [
  "203.0.113.7 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3 1.2.3.4.5 1.2.3.4. 01.2.3.4 1..3.4 .1.2.3",
  ":: ::1 1:: fe80::1 2001:db8::7 2a03:2880:f36b:131:face:b00c:0:699c ::ffff:1.2.3.4 64:ff9b::1.2.3.4",
  "1:2:3:4:5:6:7:8 1:2:3:4:5:6:7 1:2:3:4:5:6:7:8:9 1:2:3:4:5:6:7:: ::2:3:4:5:6:7:8 1::2::3 12345::1 g::1",
  "1:2:3:4:5:6:1.2.3.4 1:2:3:4:5:6:7:1.2.3.4 1.2.3.4:: ::1.2.3.256 : ::: 1: :1 1.2.3.4:1:: abc.local x",
]
  .join(" ")
  .split(" ");

test.each(literals)("%s is judged as node:net judges it", (literal) => {
  expect(ipVersion(literal)).toBe(isIP(literal));
});

test("a zone means nothing to another host", () => {
  expect(ipVersion("fe80::1%eth0")).toBe(0);
});

test("tells nobody and groups from hosts", () => {
  expect(["0.0.0.0", "::", "0:0::0", "10.0.0.0", "::1"].map(isUnspecified)).toEqual([true, true, true, false, false]);
  expect(["224.0.0.1", "239.1.2.3", "255.255.255.255", "ff02::1", "223.1.1.1", "fe80::1"].map(isGroupAddress)).toEqual([
    true,
    true,
    true,
    true,
    false,
    false,
  ]);
});
