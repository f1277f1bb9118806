import type { Action } from "./rule.ts";

/** Something that happened at the simulated Meta. `at` is Unix milliseconds. */
export type Entry = EntryFacts & { readonly at: number };

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

/** Some hundred calls, of 3 KB an entry where a body is in it; the oldest entries are forgotten. */
const MAX_ENTRIES = 5_000;

/** A record of everything, for assertions and for the page. */
export class MetaLog {
  readonly #now: () => number;
  readonly #entries: Entry[] = [];
  readonly #listeners = new Set<(entry: Entry) => void>();

  constructor(now: () => number) {
    this.#now = now;
  }

  add(facts: EntryFacts): void {
    const entry = { ...facts, at: this.#now() };
    if (this.#entries.length >= MAX_ENTRIES) this.#entries.splice(0, MAX_ENTRIES / 10);
    this.#entries.push(entry);
    for (const listener of this.#listeners) listener(entry);
  }

  entries(): readonly Entry[] {
    return this.#entries;
  }

  requests(action?: Action): readonly Of<"request">[] {
    return this.#of("request").filter((entry) => action === undefined || entry.action === action);
  }

  /** Attempts to deliver; `event` is `connect`, `terminate`, … */
  webhooks(event?: string): readonly Of<"webhook">[] {
    return this.#of("webhook").filter((entry) => event === undefined || entry.event === event);
  }

  violations(rule?: string): readonly Of<"violation">[] {
    return this.#of("violation").filter((entry) => rule === undefined || entry.rule === rule);
  }

  calls(wacid?: string): readonly Of<"call">[] {
    return this.#of("call").filter((entry) => wacid === undefined || entry.wacid === wacid);
  }

  /** Calls the listener for every new entry; returns what ends that. */
  watch(listener: (entry: Entry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  clear(): void {
    this.#entries.length = 0;
  }

  #of<K extends Entry["kind"]>(kind: K): Of<K>[] {
    return this.#entries.filter((entry): entry is Of<K> => entry.kind === kind);
  }
}
