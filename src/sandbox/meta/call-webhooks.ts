import { type Clock, Timers } from "#sandbox/clock.ts";
import type { Modes } from "./modes.ts";
import {
  type CallFacts,
  type Change,
  connectChange,
  type EndFacts,
  envelope,
  messageChange,
  terminateChange,
  unknownEventChange,
  unknownFieldChange,
} from "./payload.ts";
import type { Delivery } from "./webhook-sender.ts";

interface Waiting {
  readonly facts: CallFacts;
  readonly change: Change;
}

/** A connect waits this long for a second one that is to share its body. */
const BATCH_WAIT_MS = 2_000;

/** The webhooks of calls in the order, number and grouping that the modes ask for (W6). */
export class CallWebhooks {
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #deliver: (delivery: Delivery) => Promise<boolean>;
  /** Connects that are held back until their terminate was delivered. */
  readonly #held = new Map<string, Waiting>();
  #batch: Waiting | undefined;

  constructor(clock: Clock, deliver: (delivery: Delivery) => Promise<boolean>) {
    this.#clock = clock;
    this.#timers = new Timers(clock);
    this.#deliver = deliver;
  }

  connect(facts: CallFacts, sdp: string): void {
    const at = this.#clock.now() - facts.modes.staleS * 1000;
    const waiting: Waiting = { facts, change: connectChange(facts, sdp, at) };
    if (facts.modes.unknownEvent) void this.#send("unknown", [{ facts, change: unknownEventChange(facts, at) }]);
    if (facts.modes.terminateFirst) this.#held.set(facts.wacid, waiting);
    else if (facts.modes.batch === "two_calls" || facts.modes.batch === "two_entries") this.#pair(waiting);
    else void this.#send("connect", [waiting]);
  }

  /** Resolves when the terminate was delivered or given up. */
  async terminate(facts: CallFacts, end: EndFacts): Promise<void> {
    if (this.#batch?.facts.wacid === facts.wacid) this.#flush();
    await this.#send("terminate", [{ facts, change: terminateChange(facts, end, this.#clock.now()) }]);
    const late = this.#held.get(facts.wacid);
    this.#held.delete(facts.wacid);
    if (late !== undefined) await this.#send("connect", [late]);
  }

  stop(): void {
    this.#timers.cancelAll();
    this.#held.clear();
    this.#batch = undefined;
  }

  #pair(waiting: Waiting): void {
    const first = this.#batch;
    if (first === undefined) {
      this.#batch = waiting;
      this.#timers.after(BATCH_WAIT_MS, () => {
        if (this.#batch === waiting) this.#flush();
      });
      return;
    }
    this.#batch = undefined;
    void this.#send("connect", [first, waiting]);
  }

  #flush(): void {
    const waiting = this.#batch;
    this.#batch = undefined;
    if (waiting !== undefined) void this.#send("connect", [waiting]);
  }

  async #send(event: string, parts: readonly Waiting[]): Promise<void> {
    const [first] = parts;
    if (first === undefined) return;
    const { modes } = first.facts;
    const wacids = parts.map((part) => part.facts.wacid);
    const delivery: Delivery = {
      event,
      wacids,
      body: bodyOf(parts, modes, this.#clock.now()),
      signature: modes.signature,
    };
    const copies = Array.from({ length: 1 + modes.duplicates }, () => this.#deliver(delivery));
    await Promise.all(copies);
  }
}

function bodyOf(parts: readonly Waiting[], modes: Modes, at: number): object {
  const changes = parts.map((part) => ({ wabaId: part.facts.number.wabaId, change: part.change }));
  const [first] = parts;
  const wabaId = changes[0]?.wabaId ?? "0";
  const extras: Change[] = [];
  if (modes.batch === "with_message" && first !== undefined) extras.push(messageChange(first.facts, at));
  if (modes.unknownField) extras.push(unknownFieldChange());
  if (modes.batch === "two_entries") {
    const entries = changes.map((part) => ({ wabaId: part.wabaId, changes: [part.change] }));
    return envelope(extras.length === 0 ? entries : [...entries, { wabaId, changes: extras }]);
  }
  const merged =
    modes.batch === "two_calls" ? mergeCalls(changes.map((part) => part.change)) : changes.map((p) => p.change);
  return envelope([{ wabaId, changes: [...extras, ...merged] }]);
}

/** Two calls of one number share a `calls` list; those of two numbers need a change each, for the metadata differs. */
function mergeCalls(changes: readonly Change[]): readonly Change[] {
  const [first, second] = changes;
  if (first === undefined || second === undefined) return changes;
  if (JSON.stringify(first.value["metadata"]) !== JSON.stringify(second.value["metadata"])) return changes;
  const list = (name: string): readonly unknown[] =>
    changes.flatMap((change) => (change.value[name] ?? []) as unknown[]);
  const contacts = first.value["contacts"] === undefined ? {} : { contacts: list("contacts") };
  return [{ field: first.field, value: { ...first.value, ...contacts, calls: list("calls") } }];
}
