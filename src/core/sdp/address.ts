/** What may stand in a `c=` line or a candidate: IPv4 and IPv6 literals. Names are never resolved (RFC 8839 §5.1). */

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
const HEX_GROUP = /^[0-9a-f]{1,4}$/i;
/** The longest literal: eight groups, the last two written as IPv4. */
const MAX_LITERAL_LENGTH = 45;

/** 4 or 6, or 0 for what is neither. Without zone (`%eth0`), which means nothing to the other end. */
export function ipVersion(text: string): 0 | 4 | 6 {
  if (text.length > MAX_LITERAL_LENGTH) return 0;
  if (IPV4.test(text)) return 4;
  return isIPv6(text) ? 6 : 0;
}

/** RFC 4291 §2.2: groups of up to four digits, one `::` for any run of zeros, the last 32 bits perhaps as IPv4. */
function isIPv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2 || !text.includes(":")) return false;
  const groups = halves.flatMap((half) => (half === "" ? [] : half.split(":")));
  const last = groups.at(-1) ?? "";
  const endsInIPv4 = last.includes(".");
  if (endsInIPv4 && (!IPV4.test(last) || text.endsWith("::"))) return false;
  const plain = endsInIPv4 ? groups.slice(0, -1) : groups;
  const count = groups.length + (endsInIPv4 ? 1 : 0);
  if (halves.length === 2 ? count > 7 : count !== 8) return false;
  return plain.every((group) => HEX_GROUP.test(group));
}

/** `0.0.0.0` and `::`, which in a `c=` line mean "send me nothing" (RFC 3264 §8.4). */
export function isUnspecified(address: string): boolean {
  return /^[0.:]+$/.test(address);
}

/** Nobody whom one can talk to: a group or a broadcast. A description that names one would make us flood a network. */
export function isGroupAddress(address: string): boolean {
  return /^(?:22[4-9]|23\d|255)\./.test(address) || /^ff/i.test(address);
}
