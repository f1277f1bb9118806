import { BlockList, isIP } from "node:net";

/**
 * Addresses that are not of the public internet: IANA's special-purpose registries (RFC 6890 and its updates), multicast, and
 * the cloud providers' metadata services, which are link-local or private. A webhook that may reach them reads what is meant for
 * the machine itself.
 */
const special: readonly (readonly [network: string, prefix: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
  // 168.63.129.16 is Azure's platform address: public by number, the machine's own by effect.
  ["168.63.129.16", 32],
];

const blocked4 = new BlockList();
for (const [network, prefix] of special) blocked4.addSubnet(network, prefix, "ipv4");

/** Of IPv6 only 2000::/3 is handed out at all; within it these are not public. */
const public6 = new BlockList();
public6.addSubnet("2000::", 3, "ipv6");
const blocked6 = new BlockList();
for (const [network, prefix] of [
  ["2001::", 23],
  ["2001:db8::", 32],
  ["3fff::", 20],
] as const)
  blocked6.addSubnet(network, prefix, "ipv6");

/** False for whatever is no IP address. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !blocked4.check(address, "ipv4");
    case 6: {
      const inner = embeddedIpv4(address);
      if (inner !== undefined) return isPublicAddress(inner);
      return public6.check(address, "ipv6") && !blocked6.check(address, "ipv6");
    }
    default:
      return false;
  }
}

/** The IPv4 address in a mapped (RFC 4291 §2.5.5.2), NAT64 (RFC 6052) or 6to4 (RFC 3056) one: packets may end there. */
function embeddedIpv4(address: string): string | undefined {
  const groups = expand(address);
  const at = (index: number) => groups[index] ?? 0;
  const dotted = (high: number, low: number) => `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`;
  const zeroUpTo = (count: number) => groups.slice(0, count).every((group) => group === 0);
  if (zeroUpTo(5) && at(5) === 0xffff) return dotted(at(6), at(7));
  if (at(0) === 0x64 && at(1) === 0xff9b && groups.slice(2, 6).every((group) => group === 0))
    return dotted(at(6), at(7));
  return at(0) === 0x2002 ? dotted(at(1), at(2)) : undefined;
}

/** An IPv6 address as its eight groups; a zone (`%eth0`) is left out. */
function expand(address: string): readonly number[] {
  const plain = address.replace(/%.*$/, "").replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_all, a, b, c, d) => {
    const hex = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16);
    return `${hex(a, b)}:${hex(c, d)}`;
  });
  const [head = "", tail] = plain.split("::");
  const groupsOf = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  if (tail === undefined) return groupsOf(head);
  const [first, last] = [groupsOf(head), groupsOf(tail)];
  return [...first, ...Array<number>(Math.max(0, 8 - first.length - last.length)).fill(0), ...last];
}
