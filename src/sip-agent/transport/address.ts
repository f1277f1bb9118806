import { BlockList, isIP, isIPv6 } from "node:net";
import { networkInterfaces } from "node:os";
import { normalizeAddress } from "#sip-agent/message/uri.ts";

export type Protocol = "udp" | "tcp";

/** `host` is an IP literal without brackets. */
export type Address = { readonly host: string; readonly port: number };

export function sameAddress(a: Address, b: Address): boolean {
  return a.port === b.port && a.host === b.host;
}

export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}

export function isLoopback(host: string): boolean {
  return host === "::1" || host.startsWith("127.");
}

/**
 * Builds the test for "may this address send us requests?" from addresses (`10.0.0.9`, `2001:db8::1`) and networks
 * (`10.0.0.0/8`). Throws on anything else, at start, because a typing error here would lock out the PBX.
 */
export function peerList(peers: readonly string[]): (host: string) => boolean {
  const list = new BlockList();
  for (const peer of peers) {
    const [host = "", prefix, ...rest] = peer.split("/");
    const family = isIP(host) === 6 ? "ipv6" : "ipv4";
    const bits = prefix === undefined ? undefined : Number(prefix);
    const valid = bits === undefined || (/^\d{1,3}$/.test(prefix ?? "") && bits <= (family === "ipv6" ? 128 : 32));
    if (isIP(host) === 0 || rest.length > 0 || !valid) throw new Error(`not an address or network: ${peer}`);
    if (bits === undefined) list.addAddress(host, family);
    else list.addSubnet(host, bits, family);
  }
  return (host) => isIP(host) !== 0 && list.check(host, isIPv6(host) ? "ipv6" : "ipv4");
}

/**
 * What stands in Via and Contact when a socket is bound to all interfaces: the machine's address in the network of `remote`,
 * else its first one of that family.
 */
export function machineAddress(family: 4 | 6, remote?: string): string {
  const wanted = family === 6 ? "IPv6" : "IPv4";
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((entry) => entry.family === wanted && !entry.internal && !entry.address.startsWith("fe80:"));
  const near = addresses.find((entry) => remote !== undefined && entry.cidr !== null && peerList([entry.cidr])(remote));
  return normalizeAddress((near ?? addresses[0])?.address ?? (family === 6 ? "::1" : "127.0.0.1"));
}
