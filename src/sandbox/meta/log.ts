import { Journal, type Timed } from "#sandbox/journal.ts";
import type { Action } from "./rule.ts";

/** Something that happened at the simulated Meta. `at` is Unix milliseconds. */
export type Entry = Timed<EntryFacts>;

export type EntryFacts =
  /** A Graph request that was answered; `status` 0 when it got no answer on purpose. */
  | {
      readonly kind: "request";
      readonly method: string;
      readonly path: string;
      readonly action?: Action;
      readonly wacid?: string;
      readonly body: unknown;
      readonly status: number;
      /** Of the error that it got. */
      readonly code?: number;
      readonly details?: string;
    }
  /** One attempt to deliver a webhook; `status` 0 when no answer came. */
  | {
      readonly kind: "webhook";
      readonly event: string;
      readonly wacids: readonly string[];
      readonly body: string;
      readonly attempt: number;
      readonly status: number;
      readonly tookMs: number;
    }
  /** The webhook's address was verified, or was not. */
  | { readonly kind: "verification"; readonly ok: boolean; readonly text: string }
  /** A rule was broken; `rule` is its number in the tables. */
  | { readonly kind: "violation"; readonly rule: string; readonly text: string; readonly wacid?: string }
  /** A call went on: `placed`, `ringing`, `picked_up`, `ended`, … */
  | { readonly kind: "call"; readonly step: string; readonly wacid: string; readonly text?: string };

export type Of<K extends Entry["kind"]> = Extract<Entry, { readonly kind: K }>;

/** A record of everything, for assertions and for the page. */
export class MetaLog {
  readonly #journal: Journal<EntryFacts>;

  constructor(now: () => number) {
    this.#journal = new Journal(now);
  }

  add(facts: EntryFacts): void {
    this.#journal.add(facts);
  }

  entries(): readonly Entry[] {
    return this.#journal.entries();
  }

  requests(action?: Action): readonly Of<"request">[] {
    return this.#journal.of("request").filter((entry) => action === undefined || entry.action === action);
  }

  /** Attempts to deliver; `event` is `connect`, `terminate`, … */
  webhooks(event?: string): readonly Of<"webhook">[] {
    return this.#journal.of("webhook").filter((entry) => event === undefined || entry.event === event);
  }

  violations(rule?: string): readonly Of<"violation">[] {
    return this.#journal.of("violation").filter((entry) => rule === undefined || entry.rule === rule);
  }

  calls(wacid?: string): readonly Of<"call">[] {
    return this.#journal.of("call").filter((entry) => wacid === undefined || entry.wacid === wacid);
  }

  /** Calls the listener for every new entry; returns what ends that. */
  watch(listener: (entry: Entry) => void): () => void {
    return this.#journal.watch(listener);
  }

  clear(): void {
    this.#journal.clear();
  }
}
