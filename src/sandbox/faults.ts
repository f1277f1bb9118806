import type { Random } from "./random.ts";

/** What can go wrong on the way, whatever was asked for. */
export type TransportFault =
  /** Done at once, but the answer takes this long. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** Done, but the connection is closed instead of an answer. */
  | { readonly kind: "answer_lost" }
  /** Not done, and the connection is closed. */
  | { readonly kind: "request_lost" }
  /** Not done, and the connection stays open without an answer until the client gives up. */
  | { readonly kind: "silent" };

/** Faults on demand: `faults.next("accept", { kind: "error", error: 138004 })`. */
export class Faults<A extends string, F> {
  readonly #next = new Map<A | "any", F[]>();
  readonly #always = new Map<A | "any", F>();
  readonly #random: Random;
  #chance: { readonly ratio: number; readonly faults: readonly F[] } | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The next `times` requests of this action go wrong, after those that were asked for earlier. */
  next(action: A | "any", fault: F, times = 1): void {
    const queue = this.#next.get(action) ?? [];
    for (let i = 0; i < times; i += 1) queue.push(fault);
    this.#next.set(action, queue);
  }

  /** All requests of this action go wrong until `clear`. */
  always(action: A | "any", fault: F): void {
    this.#always.set(action, fault);
  }

  /** Each request goes wrong with this probability, in one of these ways, until `clear`. */
  sometimes(ratio: number, faults: readonly F[]): void {
    this.#chance = { ratio, faults };
  }

  clear(): void {
    this.#chance = undefined;
    this.#next.clear();
    this.#always.clear();
  }

  /** Takes the fault for one request. */
  take(action: A): F | undefined {
    return (
      this.#next.get(action)?.shift() ??
      this.#next.get("any")?.shift() ??
      this.#always.get(action) ??
      this.#always.get("any") ??
      this.#draw()
    );
  }

  #draw(): F | undefined {
    if (this.#chance === undefined || this.#random() >= this.#chance.ratio) return undefined;
    return this.#chance.faults[Math.floor(this.#random() * this.#chance.faults.length)];
  }
}
