import { isIPv4, isIPv6, SocketAddress } from "node:net";

export type AddressFamily = "ipv4" | "ipv6";

/** undefined for anything that is not an address literal, such as a name. */
export function familyOf(address: string): AddressFamily | undefined {
  if (isIPv4(address)) return "ipv4";
  return isIPv6(address) ? "ipv6" : undefined;
}

/** The one spelling that the operating system reports for a packet's source, so that addresses compare as strings. */
export function canonicalAddress(address: string): string {
  return isIPv6(address) ? new SocketAddress({ address, family: "ipv6" }).address : address;
}

/** 4 or 16 bytes in network order. The address must be a literal. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const percent = address.indexOf("%");
  const plain = percent < 0 ? address : address.slice(0, percent);
  const [head = "", tail] = plain.split("::");
  const before = wordsOf(head);
  const after = wordsOf(tail ?? "");
  const zeros = new Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0);
  const bytes = Buffer.alloc(16);
  for (const [index, word] of [...before, ...zeros, ...after].slice(0, 8).entries())
    bytes.writeUInt16BE(word, index * 2);
  return bytes;
}

function wordsOf(part: string): number[] {
  const words: number[] = [];
  for (const group of part.split(":").filter((text) => text !== "")) {
    if (isIPv4(group)) {
      const four = Buffer.from(group.split(".").map(Number));
      words.push(four.readUInt16BE(0), four.readUInt16BE(2));
    } else words.push(Number.parseInt(group, 16));
  }
  return words;
}

/** The reverse of `addressBytes`, in canonical spelling. */
export function addressText(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join(".");
  const words: string[] = [];
  for (let i = 0; i < 16; i += 2) words.push(bytes.readUInt16BE(i).toString(16));
  return canonicalAddress(words.join(":"));
}
