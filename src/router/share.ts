import type { Room } from "./ports.ts";

/** The lanes that each target, or each tenant, has under way in a pool, none more than `limit`. */
export class Share {
  readonly #limit: number;
  readonly #busy = new Map<string, number>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** What a claim that begins now may take. */
  room(): Room {
    return { each: this.#limit, left: new Map([...this.#busy].map(([key, count]) => [key, this.#limit - count])) };
  }

  enter(key: string): void {
    this.#busy.set(key, (this.#busy.get(key) ?? 0) + 1);
  }

  /** True: it was at its limit, so that there may be more of it to claim. */
  leave(key: string): boolean {
    const left = (this.#busy.get(key) ?? 1) - 1;
    if (left === 0) this.#busy.delete(key);
    else this.#busy.set(key, left);
    return left === this.#limit - 1;
  }

  /**
   * Whether a claim with this room, which took lanes of these keys, passed over some that there is room for now: one took all that
   * it was given, and some of it ended while the claim was under way.
   */
  passedOver(room: Room, taken: readonly string[]): boolean {
    const counts = Map.groupBy(taken, (key) => key);
    return [...counts].some(([key, { length }]) => {
      const given = room.left.get(key) ?? room.each;
      return length >= given && (this.#busy.get(key) ?? 0) < this.#limit;
    });
  }
}
