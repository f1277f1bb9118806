import { Journal, type Timed } from "#sandbox/journal.ts";
import type { GatewayAction } from "./faults.ts";

/** Something that happened at the simulated gateway. `at` is Unix milliseconds. */
export type GatewayEntry = Timed<GatewayFacts>;

export type GatewayFacts =
  /** A request to the API; `status` 0 when it got no answer on purpose. */
  | {
      readonly kind: "request";
      readonly action: GatewayAction | "unknown";
      readonly channel?: string;
      readonly body: unknown;
      readonly status: number;
      readonly code?: string;
    }
  /** One attempt to deliver a webhook; `status` 0 when no answer came. */
  | {
      readonly kind: "webhook";
      readonly event: GatewayEventName;
      readonly channel: string;
      /** The message's id, with the ack's number where it is one; the state of a connection. */
      readonly subject: string;
      readonly body: string;
      readonly attempt: number;
      readonly status: number;
    }
  /** It happened while nobody had given an address for webhooks: nobody will ever hear of it. */
  | { readonly kind: "unheard"; readonly event: GatewayEventName; readonly channel: string; readonly subject: string }
  /** All repetitions failed. */
  | { readonly kind: "given_up"; readonly event: GatewayEventName; readonly channel: string; readonly subject: string }
  | { readonly kind: "connection"; readonly channel: string; readonly state: string };

export type GatewayEventName = "message" | "message.ack" | "connection.update";

/** A long stream of webhooks with kills in between; an entry has about 1 KB. */
const MAX_ENTRIES = 50_000;

/** A record of everything, for assertions. */
export class GatewayLog {
  readonly #journal: Journal<GatewayFacts>;

  constructor(now: () => number) {
    this.#journal = new Journal(now, MAX_ENTRIES);
  }

  add(facts: GatewayFacts): void {
    this.#journal.add(facts);
  }

  entries(): readonly GatewayEntry[] {
    return this.#journal.entries();
  }

  requests(action?: GatewayAction): readonly Extract<GatewayEntry, { kind: "request" }>[] {
    return this.#journal.of("request").filter((entry) => action === undefined || entry.action === action);
  }

  webhooks(event?: GatewayEventName): readonly Extract<GatewayEntry, { kind: "webhook" }>[] {
    return this.#journal.of("webhook").filter((entry) => event === undefined || entry.event === event);
  }

  /** What somebody answered with 2xx, each once: `message <id>`, `message.ack <id> 2`, `connection.update qr`. */
  taken(): ReadonlySet<string> {
    const taken = this.webhooks().filter(({ status }) => status >= 200 && status < 300);
    return new Set(taken.map(({ event, subject }) => `${event} ${subject}`));
  }

  /** What nobody took: unheard, or given up. */
  lost(): readonly string[] {
    return this.entries()
      .filter((entry) => entry.kind === "unheard" || entry.kind === "given_up")
      .map((entry) => `${entry.event} ${entry.subject}`);
  }

  watch(listener: (entry: GatewayEntry) => void): () => void {
    return this.#journal.watch(listener);
  }

  clear(): void {
    this.#journal.clear();
  }
}
