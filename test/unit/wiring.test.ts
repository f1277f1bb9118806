import { isIP } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { checkConfig, explain } from "#config/load.ts";
import { mediaOptions } from "#src/wiring.ts";

/** What a PBX is told to send RTP to. */
function rtpAddress(media: object, hosts: readonly string[]): string {
  const trunks = hosts.map((host, index) => ({ name: `trunk-${index}`, host }));
  const checked = checkConfig({ media, trunks, sip: { bind_address: "0.0.0.0" } }, {});
  if (!checked.ok) throw new Error(explain(checked.problems));
  return mediaOptions(checked.config).sipAddress();
}

const own = Object.values(networkInterfaces())
  .flatMap((list) => list ?? [])
  .filter(({ internal, address }) => !internal && !address.startsWith("fe80:"))
  .map(({ address }) => address);

test.each([
  ["0.0.0.0", 4, "127.0.0.1"],
  ["::", 6, "::1"],
] as const)("a PBX is told an address of this machine where %s is bound", (bound, family, loopback) => {
  const told = rtpAddress({ sip_bind_address: bound }, ["192.0.2.10", "2001:db8::10"]);
  const outward = own.filter((address) => isIP(address) === family);
  expect(outward.length === 0 ? [loopback] : outward).toContain(told);
});

test("a PBX on this machine is told the loopback address where 0.0.0.0 is bound", () => {
  expect(rtpAddress({ sip_bind_address: "0.0.0.0" }, ["127.0.0.1"])).toBe("127.0.0.1");
});

test("a PBX is told media.sip_address, else the address that is bound", () => {
  expect(rtpAddress({ sip_bind_address: "0.0.0.0", sip_address: "192.0.2.1" }, ["192.0.2.10"])).toBe("192.0.2.1");
  expect(rtpAddress({ sip_bind_address: "192.0.2.1" }, ["192.0.2.10"])).toBe("192.0.2.1");
});
