import type { Random } from "#sandbox/random.ts";
import { type GraphError, type GraphErrorCode, graphErrors } from "./errors.ts";
import type { Action } from "./rule.ts";

/** What shall go wrong with a request (G34). */
export type Fault =
  /** Refused with this error; nothing happens to the call. */
  | { readonly kind: "error"; readonly error: GraphErrorCode | GraphError; readonly details?: string }
  /** Done at once, but the answer takes this long. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** Done, but the connection is closed instead of an answer. */
  | { readonly kind: "answer_lost" }
  /** Not done, and the connection is closed. */
  | { readonly kind: "request_lost" }
  /** Not done, and the connection stays open without an answer until the client gives up. */
  | { readonly kind: "silent" };

/** Faults on demand: `faults.next("accept", { kind: "error", error: 138004 })`. */
export class Faults {
  readonly #next = new Map<Action | "any", Fault[]>();
  readonly #always = new Map<Action | "any", Fault>();
  readonly #random: Random;
  #chance: { readonly ratio: number; readonly faults: readonly Fault[] } | undefined;

  constructor(random: Random) {
    this.#random = random;
  }

  /** The next `times` requests of this action go wrong, after those that were asked for earlier. */
  next(action: Action | "any", fault: Fault, times = 1): void {
    const queue = this.#next.get(action) ?? [];
    for (let i = 0; i < times; i += 1) queue.push(fault);
    this.#next.set(action, queue);
  }

  /** All requests of this action go wrong until `clear`. */
  always(action: Action | "any", fault: Fault): void {
    this.#always.set(action, fault);
  }

  /** Each request goes wrong with this probability, in one of these ways, until `clear`. */
  sometimes(ratio: number, faults: readonly Fault[]): void {
    this.#chance = { ratio, faults };
  }

  clear(): void {
    this.#chance = undefined;
    this.#next.clear();
    this.#always.clear();
  }

  /** Takes the fault for one request. */
  take(action: Action): Fault | undefined {
    return (
      this.#next.get(action)?.shift() ??
      this.#next.get("any")?.shift() ??
      this.#always.get(action) ??
      this.#always.get("any") ??
      this.#draw()
    );
  }

  #draw(): Fault | undefined {
    if (this.#chance === undefined || this.#random() >= this.#chance.ratio) return undefined;
    return this.#chance.faults[Math.floor(this.#random() * this.#chance.faults.length)];
  }
}

export function errorOf(fault: Extract<Fault, { kind: "error" }>): GraphError {
  return typeof fault.error === "number" ? graphErrors[fault.error] : fault.error;
}
