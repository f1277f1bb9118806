import type { IceHost, IceRole } from "./ice-agent.ts";

/** RFC 8445 §14.2 wants new checks paced; with two or three pairs 20 ms is gentle. */
const PACING_MS = 20;

/**
 * A check that is not answered is repeated with these waits, the last for ever. Quicker than the 500 ms of RFC 8445 §14.3,
 * because Meta's relay drops what comes before it has our description, and each wait is silence in somebody's ear.
 */
const REPEAT_MS = [100, 200, 400, 500] as const;

/** Meta offers two candidates, a browser about ten; each costs packets towards an address that a stranger chose. */
const MAX_PAIRS = 16;

/** Of these, so many may come from the description; the rest is for addresses that only checks reveal. */
export const MAX_CANDIDATES = 12;

/** A pair that the far end nominates late, and that never answers, is given up after two minutes. */
const MAX_ATTEMPTS = 240;

/** Checks without an answer that are still remembered: those of about three seconds for every pair. */
const MAX_OPEN_CHECKS = 64;

export interface CheckPair {
  readonly address: string;
  readonly port: number;
  readonly priority: number;
  /** Our check was answered. */
  succeeded: boolean;
  /** The controlling far end wants this pair: it is taken once it succeeded. */
  nominated: boolean;
  attempts: number;
  cancel: (() => void) | undefined;
}

export interface OpenCheck {
  readonly pair: CheckPair;
  readonly useCandidate: boolean;
  readonly role: IceRole;
}

/** How checks leave, and under which role they do. */
export interface CheckSender {
  role(): IceRole;
  send(pair: CheckPair, useCandidate: boolean, transactionId: string): void;
}

/** The pairs of one agent and the checks that are on their way (RFC 8445 §6.1.2). All sockets are one base per family. */
export class CheckList {
  readonly #host: IceHost;
  readonly #sender: CheckSender;
  readonly #pairs: CheckPair[] = [];
  readonly #open = new Map<string, OpenCheck>();
  #nominating: CheckPair | undefined;
  #stopped = false;

  constructor(host: IceHost, sender: CheckSender) {
    this.#host = host;
    this.#sender = sender;
  }

  /** The pair with this address, made if need be; undefined when there are too many. */
  add(address: string, port: number, priority: number): CheckPair | undefined {
    const known = this.#pairs.find((pair) => pair.address === address && pair.port === port);
    if (known || this.#pairs.length >= MAX_PAIRS) return known;
    const pair = { address, port, priority, succeeded: false, nominated: false, attempts: 0, cancel: undefined };
    this.#pairs.push(pair);
    return pair;
  }

  /** Checks all pairs that were added, the best first. */
  begin(): void {
    const ordered = this.#pairs.toSorted((a, b) => b.priority - a.priority);
    for (const [index, pair] of ordered.entries()) {
      if (index === 0) this.#check(pair);
      else pair.cancel = this.#host.clock.after(index * PACING_MS, () => this.#check(pair));
    }
  }

  /** Checks this pair now (RFC 8445 §7.3.1.4). */
  trigger(pair: CheckPair): void {
    this.#stopped = false;
    pair.attempts = 0;
    this.#check(pair);
  }

  /** Repeats the check of a pair that succeeded, with USE-CANDIDATE; the first that succeeds is the fastest, and is taken. */
  nominate(pair: CheckPair): void {
    if (this.#nominating !== undefined) return;
    this.#nominating = pair;
    this.trigger(pair);
  }

  /** We became controlling: nominates a pair that has succeeded already, if there is one. */
  nominateAny(): void {
    const pair = this.#pairs.find((each) => each.succeeded);
    if (pair) this.nominate(pair);
  }

  /** We became controlled: the far end nominates. */
  withdrawNomination(): void {
    this.#nominating = undefined;
  }

  /** One check outside of any schedule, for consent. */
  sendOnce(address: string, port: number): void {
    const pair = this.add(address, port, 0);
    if (pair) this.#transmit(pair, false);
  }

  find(transactionId: string): OpenCheck | undefined {
    return this.#open.get(transactionId);
  }

  settle(transactionId: string): void {
    this.#open.delete(transactionId);
    this.#host.forgetResponse(transactionId);
  }

  /** A pair was chosen: no more repetitions. Answers that are still under way are taken. */
  stop(): void {
    this.#stopped = true;
    for (const pair of this.#pairs) {
      pair.cancel?.();
      pair.cancel = undefined;
    }
  }

  close(): void {
    this.stop();
    for (const transactionId of this.#open.keys()) this.#host.forgetResponse(transactionId);
    this.#open.clear();
    this.#pairs.length = 0;
  }

  /** For people. */
  describe(): string {
    if (this.#pairs.length === 0) return "no candidate of the far end could be tried";
    const shown = this.#pairs.map((pair) => `${pair.address} ${pair.port} ${pair.attempts} checks`);
    return `tried ${shown.join(", ")}`;
  }

  #check(pair: CheckPair): void {
    pair.cancel?.();
    pair.cancel = undefined;
    if (this.#stopped || pair.attempts >= MAX_ATTEMPTS || (pair.succeeded && pair !== this.#nominating)) return;
    const waitMs = REPEAT_MS[Math.min(pair.attempts, REPEAT_MS.length - 1)] ?? 500;
    pair.attempts += 1;
    this.#transmit(pair, pair === this.#nominating);
    pair.cancel = this.#host.clock.after(waitMs, () => this.#check(pair));
  }

  #transmit(pair: CheckPair, useCandidate: boolean): void {
    const transactionId = this.#host.random(12).toString("hex");
    this.#open.set(transactionId, { pair, useCandidate, role: this.#sender.role() });
    this.#host.expectResponse(transactionId);
    if (this.#open.size > MAX_OPEN_CHECKS) {
      for (const oldest of this.#open.keys()) {
        this.settle(oldest);
        break;
      }
    }
    this.#sender.send(pair, useCandidate, transactionId);
  }
}
