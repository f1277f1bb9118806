import { expect, test } from "vitest";
import { isPublicAddress } from "#router/webhooks/address.ts";
import { guardTarget } from "#router/webhooks/guard.ts";

test.each([
  "127.0.0.1",
  "127.255.1.1",
  "10.1.2.3",
  "172.16.0.1",
  "172.31.255.255",
  "192.168.1.1",
  "169.254.169.254",
  "100.64.0.1",
  "0.0.0.0",
  "224.0.0.1",
  "255.255.255.255",
  "198.18.0.1",
  "192.0.2.1",
  "168.63.129.16",
  "::",
  "::1",
  "fe80::1",
  "fe80::1%eth0",
  "fc00::1",
  "fd12:3456::1",
  "ff02::1",
  "2001:db8::1",
  "2001::1",
  "::7f00:1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::ffff:10.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b::10.0.0.1",
  "2002:7f00:1::",
  "localhost",
  "",
  "1.2.3",
  "fec0::1",
  "100::1",
])("%j is not public", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each([
  "8.8.8.8",
  "172.15.0.1",
  "172.32.0.1",
  "100.63.0.1",
  "100.128.0.1",
  "157.240.1.1",
  "2606:4700::1111",
  "2a03:2880::1",
  "::ffff:8.8.8.8",
  "64:ff9b::808:808",
  "2002:808:808::1",
])("%s is public", (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

const names: Readonly<Record<string, readonly string[]>> = {
  "hooks.example.com": ["93.184.216.34", "2606:2800::1"],
  "sly.example.com": ["93.184.216.34", "127.0.0.1"],
  "inside.example.com": ["10.0.0.5"],
  "empty.example.com": [],
};
const resolve = async (name: string) => {
  const found = names[name];
  if (found === undefined) throw new Error("ENOTFOUND");
  return found;
};

test.each([
  ["https://hooks.example.com/x?y=1", false, "ok"],
  ["https://hooks.example.com:8443/", false, "ok"],
  ["http://hooks.example.com/", false, "bad_url"],
  ["http://hooks.example.com/", true, "ok"],
  ["https://user:pass@hooks.example.com/", true, "bad_url"],
  ["ftp://hooks.example.com/", true, "bad_url"],
  ["file:///etc/passwd", true, "bad_url"],
  ["hooks.example.com", false, "bad_url"],
  ["https://sly.example.com/", false, "refused_address"],
  ["https://inside.example.com/", false, "refused_address"],
  ["https://inside.example.com/", true, "ok"],
  ["https://127.0.0.1/", false, "refused_address"],
  ["https://2130706433/", false, "refused_address"],
  ["https://0x7f.1/", false, "refused_address"],
  ["https://0177.0.0.1/", false, "refused_address"],
  ["https://[::1]/", false, "refused_address"],
  ["https://[::ffff:169.254.169.254]/", false, "refused_address"],
  ["http://127.0.0.1:8080/", true, "ok"],
  ["https://nobody.example.com/", false, "unknown_host"],
  ["https://empty.example.com/", false, "unknown_host"],
  [`https://hooks.example.com/${"x".repeat(3_000)}`, false, "bad_url"],
])("%s (private allowed: %s): %s", async (url, allowPrivate, expected) => {
  const verdict = await guardTarget(url, { allowPrivate, resolve });
  expect(verdict.ok ? "ok" : verdict.code).toBe(expected);
});

test("the addresses that were checked come with the verdict", async () => {
  const verdict = await guardTarget("https://hooks.example.com/", { allowPrivate: false, resolve });
  expect(verdict).toMatchObject({ ok: true, addresses: ["93.184.216.34", "2606:2800::1"] });
});
