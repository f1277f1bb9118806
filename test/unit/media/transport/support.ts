import { createHash } from "node:crypto";

/** Repeatable bytes: SHA-256 in counter mode over a seed. */
export function seededRandom(seed: string): (bytes: number) => Buffer {
  let counter = 0;
  return (bytes) => {
    const blocks: Buffer[] = [];
    for (let have = 0; have < bytes; have += 32) {
      blocks.push(createHash("sha256").update(`${seed} ${counter}`).digest());
      counter += 1;
    }
    return Buffer.concat(blocks).subarray(0, bytes);
  };
}

/** A copy of `packet` with some bytes changed, cut off, repeated or added. */
export function mutate(packet: Buffer, random: (bytes: number) => Buffer): Buffer {
  const pick = (limit: number): number => random(4).readUInt32BE(0) % Math.max(1, limit);
  let copy = Buffer.from(packet);
  for (let turns = 1 + pick(4); turns > 0; turns -= 1) {
    const at = pick(copy.length);
    switch (pick(5)) {
      case 0:
        copy = copy.subarray(0, at);
        break;
      case 1:
        copy = Buffer.concat([copy.subarray(0, at), random(1 + pick(24)), copy.subarray(at)]);
        break;
      case 2:
        copy = Buffer.concat([copy, copy.subarray(at)]).subarray(0, 2_000);
        break;
      default:
        if (copy.length > 0) copy[at] = pick(256);
    }
  }
  return copy;
}

export function hex(text: string): Buffer {
  return Buffer.from(text.replace(/\s+/g, ""), "hex");
}
