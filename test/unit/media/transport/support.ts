import { createHash } from "node:crypto";
import type { Clock } from "#engine/ports.ts";

/** Time that only moves when it is told to. Tasks run in order; those that a task adds run too when they are due. */
export class FakeClock implements Clock {
  #now = 1_000_000;
  #tasks: { at: number; task: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  get pending(): number {
    return this.#tasks.length;
  }

  after(afterMs: number, task: () => void): () => void {
    const entry = { at: this.#now + afterMs, task };
    this.#tasks.push(entry);
    return () => {
      this.#tasks = this.#tasks.filter((each) => each !== entry);
    };
  }

  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = this.#tasks.filter((each) => each.at <= end).sort((a, b) => a.at - b.at)[0];
      if (due === undefined) break;
      this.#tasks = this.#tasks.filter((each) => each !== due);
      this.#now = Math.max(this.#now, due.at);
      due.task();
    }
    this.#now = end;
  }
}

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
