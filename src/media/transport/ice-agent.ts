import type { Candidate, IceCredentials, RemoteTransport } from "#core/sdp/transport.ts";
import type { Clock } from "#engine/ports.ts";
import { type AddressFamily, canonicalAddress, familyOf } from "./address.ts";
import type { IceMode, SessionCounters } from "./contract.ts";
import { CheckList, type CheckPair, MAX_CANDIDATES } from "./ice-checks.ts";
import { buildStun, receiverUfrag, type StunMessage, stunIntegrity } from "./stun.ts";

/** RFC 7675 §5.1: consent is asked for every 5 s, give or take a fifth, and is lost 30 s after the last answer. */
const CONSENT_INTERVAL_MS = 5_000;
const CONSENT_EXPIRY_MS = 30_000;

/** Checks that come before the far end's description are remembered, so that its address is known at once: one per family, twice. */
const MAX_EARLY_REQUESTS = 4;

/** Recent requests, so that one that was recorded on the way is not believed again from elsewhere. */
const MAX_REMEMBERED_REQUESTS = 64;

export type IceRole = "controlling" | "controlled";

/** What the agent needs of its session. None of these may throw. */
export interface IceHost {
  readonly clock: Clock;
  readonly counters: SessionCounters;
  random(bytes: number): Buffer;
  /** Whether there is a socket of this family. */
  reaches(family: AddressFamily): boolean;
  sendStun(packet: Buffer, address: string, port: number): void;
  /** From now on a response with this transaction id belongs here; and no longer. */
  expectResponse(transactionId: string): void;
  forgetResponse(transactionId: string): void;
  /** This address knows the passwords: the far end, or one of its addresses. */
  onValidated(address: string, port: number): void;
  /** Media goes here from now on. May be called again, when a controlling far end changes its mind. */
  onSelected(address: string, port: number): void;
  onFailed(reason: "ice_timeout" | "consent_expired", detail: string): void;
}

export interface IceAgentOptions {
  readonly mode: IceMode;
  readonly role: IceRole;
  readonly local: IceCredentials;
  readonly timeoutMs: number;
}

interface EarlyRequest {
  readonly message: StunMessage;
  readonly address: string;
  readonly port: number;
}

/**
 * An ICE agent for one component over the port's sockets (RFC 8445), without trickling and restarts.
 *
 *     full:  start ──checks──▶ succeeded ──nominate (regular, §8.1.1)──▶ selected ──consent──▶ …
 *     lite:  start ──(checks of the far end with USE-CANDIDATE)────────▶ selected ──consent──▶ …
 *
 * Nothing of a message is believed before its MESSAGE-INTEGRITY was verified. A request without a valid one gets no answer at
 * all: an answer would let strangers use us to reflect packets (RFC 8489 §16.1.2) and tell them which sessions exist.
 */
export class IceAgent {
  readonly #options: IceAgentOptions;
  readonly #host: IceHost;
  readonly #tieBreaker: bigint;
  readonly #checks: CheckList;
  readonly #early: EarlyRequest[] = [];
  readonly #remembered = new Map<string, string>();
  #role: IceRole;
  #remote: RemoteTransport | undefined;
  #selected: { readonly address: string; readonly port: number } | undefined;
  #consentAt = 0;
  #cancelTimer: (() => void) | undefined;
  #closed = false;

  constructor(options: IceAgentOptions, host: IceHost) {
    this.#options = options;
    this.#host = host;
    this.#role = options.mode === "lite" ? "controlled" : options.role;
    this.#tieBreaker = host.random(8).readBigUInt64BE(0);
    this.#checks = new CheckList(host, {
      role: () => this.#role,
      send: (pair, useCandidate, transactionId) => this.#sendCheck(pair, useCandidate, transactionId),
    });
  }

  get role(): IceRole {
    return this.#role;
  }

  /** Tells the agent its far end. */
  start(remote: RemoteTransport): void {
    this.#remote = remote;
    if (remote.lite) this.#role = "controlling";
    this.#cancelTimer = this.#host.clock.after(this.#options.timeoutMs, () => this.#giveUp());
    if (this.#options.mode === "full") {
      const usable = remote.candidates.filter((candidate) => this.#isUsable(candidate));
      const best = usable.toSorted((a, b) => b.priority - a.priority).slice(0, MAX_CANDIDATES);
      for (const { address, port, priority } of best) this.#checks.add(canonicalAddress(address), port, priority);
      this.#checks.begin();
    }
    for (const early of this.#early.splice(0)) {
      if (this.#fitsRemote(early.message)) this.#learn(early.message, early.address, early.port);
    }
  }

  close(): void {
    this.#closed = true;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#checks.close();
    this.#early.length = 0;
    this.#remembered.clear();
  }

  /** A datagram that is STUN, from whomever, and what was read in it. */
  receive(packet: Buffer, message: StunMessage, address: string, port: number): void {
    if (this.#closed) return;
    if (message.class === "request") this.#request(packet, message, address, port);
    else if (message.class !== "indication") this.#response(packet, message, address, port);
  }

  // ── requests of the far end (RFC 8445 §7.3) ──────────────────────────────────────────────────────────────────────────

  #request(packet: Buffer, message: StunMessage, address: string, port: number): void {
    if (!this.#believe(packet, message, this.#options.local.pwd)) return;
    if (receiverUfrag(message.username) !== this.#options.local.ufrag || !this.#fitsRemote(message)) {
      this.#host.counters.stunForged += 1;
      return;
    }
    if (!this.#rememberRequest(message.transactionId, `${address} ${port}`)) return;
    this.#host.counters.stunIn += 1;
    if (message.unknown.length > 0) {
      this.#answer(message, address, port, { code: 420, reason: "Unknown Attribute" });
    } else if (this.#conflicts(message)) {
      this.#host.counters.roleConflicts += 1;
      this.#answer(message, address, port, { code: 487, reason: "Role Conflict" });
    } else {
      this.#answer(message, address, port, undefined);
      if (this.#remote !== undefined) this.#learn(message, address, port);
      else if (this.#early.length < MAX_EARLY_REQUESTS) this.#early.push({ message, address, port });
    }
  }

  #believe(packet: Buffer, message: StunMessage, password: string): boolean {
    const verdict = stunIntegrity(packet, message, password);
    if (verdict === "missing") this.#host.counters.stunUnsigned += 1;
    else if (verdict === "wrong") this.#host.counters.stunForged += 1;
    return verdict === "valid";
  }

  /** Before the far end's description is known, any sender's ufrag may be the right one. */
  #fitsRemote(message: StunMessage): boolean {
    const expected = this.#remote && `${this.#options.local.ufrag}:${this.#remote.ufrag}`;
    return expected === undefined || message.username === expected;
  }

  /** False when the same request was seen from another address: somebody replays what they overheard. */
  #rememberRequest(transactionId: string, source: string): boolean {
    const before = this.#remembered.get(transactionId);
    if (before !== undefined && before !== source) {
      this.#host.counters.stunForged += 1;
      return false;
    }
    this.#remembered.set(transactionId, source);
    if (this.#remembered.size > MAX_REMEMBERED_REQUESTS) {
      for (const oldest of this.#remembered.keys()) {
        this.#remembered.delete(oldest);
        break;
      }
    }
    return true;
  }

  /** Whether both ends want the same role and the sender has to change its own (RFC 8445 §7.3.1.1). May change ours. */
  #conflicts(message: StunMessage): boolean {
    if (this.#options.mode === "lite") return message.iceControlled !== undefined;
    const theirs = this.#role === "controlling" ? message.iceControlling : message.iceControlled;
    if (theirs === undefined) return false;
    const weControl = this.#tieBreaker >= theirs;
    if (weControl === (this.#role === "controlling")) return true;
    // A lite far end never controls, whatever it claims.
    if (this.#remote?.lite) return true;
    this.#host.counters.roleConflicts += 1;
    this.#takeRole(weControl ? "controlling" : "controlled");
    return false;
  }

  #takeRole(role: IceRole): void {
    this.#role = role;
    if (this.#selected !== undefined || this.#options.mode === "lite") return;
    if (role === "controlling") this.#checks.nominateAny();
    else this.#checks.withdrawNomination();
  }

  #answer(
    request: StunMessage,
    address: string,
    port: number,
    error: { readonly code: number; readonly reason: string } | undefined,
  ): void {
    const content = error
      ? { error, ...(error.code === 420 ? { unknown: request.unknown } : {}) }
      : { mappedAddress: { address, port } };
    const kind = error ? ("error" as const) : ("success" as const);
    const { transactionId } = request;
    this.#send(buildStun({ class: kind, transactionId, ...content }, this.#options.local.pwd), address, port);
  }

  /** A request that fits tells where the far end is (§7.3.1.3), and perhaps that it nominates this pair (§7.3.1.5). */
  #learn(message: StunMessage, address: string, port: number): void {
    if (this.#selected?.address === address && this.#selected.port === port) {
      if (this.#options.mode === "lite") this.#consentAt = this.#host.clock.now();
      return;
    }
    this.#host.onValidated(address, port);
    const nominated = message.useCandidate && this.#role === "controlled";
    if (this.#options.mode === "lite") {
      if (nominated) this.#select(address, port);
      return;
    }
    if (this.#selected !== undefined && !nominated) return;
    const pair = this.#checks.add(address, port, message.priority ?? 0);
    if (pair === undefined) return;
    if (nominated) pair.nominated = true;
    if (pair.succeeded && nominated) this.#select(address, port);
    else if (!pair.succeeded) this.#checks.trigger(pair);
  }

  // ── our own checks (RFC 8445 §7.2) ───────────────────────────────────────────────────────────────────────────────────

  #isUsable({ address, port, component }: Candidate): boolean {
    const family = familyOf(address);
    if (family === undefined || component !== 1 || !this.#host.reaches(family)) return false;
    return Number.isInteger(port) && port >= 1 && port <= 65_535;
  }

  #sendCheck(pair: CheckPair, useCandidate: boolean, transactionId: string): void {
    if (this.#remote === undefined) return;
    const packet = buildStun(
      {
        class: "request",
        transactionId,
        username: `${this.#remote.ufrag}:${this.#options.local.ufrag}`,
        priority: PEER_REFLEXIVE_PRIORITY,
        ...(this.#role === "controlling" ? { iceControlling: this.#tieBreaker } : { iceControlled: this.#tieBreaker }),
        useCandidate: useCandidate && this.#role === "controlling",
      },
      this.#remote.pwd,
    );
    this.#send(packet, pair.address, pair.port);
  }

  #response(packet: Buffer, message: StunMessage, address: string, port: number): void {
    const check = this.#checks.find(message.transactionId);
    if (check === undefined || this.#remote === undefined) {
      this.#host.counters.stunUnexpected += 1;
      return;
    }
    if (!this.#believe(packet, message, this.#remote.pwd)) return;
    // RFC 8445 §7.2.5.2.1: the answer comes from where the check went, or the path is not symmetric.
    if (check.pair.address !== address || check.pair.port !== port) {
      this.#host.counters.stunUnexpected += 1;
      return;
    }
    this.#host.counters.stunIn += 1;
    this.#checks.settle(message.transactionId);
    if (message.class === "success") this.#succeed(check.pair, check.useCandidate);
    else if (message.errorCode === 487) this.#switchRole(check.pair, check.role);
  }

  #switchRole(pair: CheckPair, roleThen: IceRole): void {
    this.#host.counters.roleConflicts += 1;
    if (this.#remote?.lite || this.#role !== roleThen || this.#selected !== undefined) return;
    this.#takeRole(roleThen === "controlling" ? "controlled" : "controlling");
    if (!pair.succeeded) this.#checks.trigger(pair);
  }

  #succeed(pair: CheckPair, withUseCandidate: boolean): void {
    if (this.#selected?.address === pair.address && this.#selected.port === pair.port) {
      this.#consentAt = this.#host.clock.now();
      return;
    }
    pair.succeeded = true;
    this.#host.onValidated(pair.address, pair.port);
    if (this.#role === "controlled") {
      if (pair.nominated) this.#select(pair.address, pair.port);
    } else if (this.#selected === undefined) {
      if (withUseCandidate) this.#select(pair.address, pair.port);
      else this.#checks.nominate(pair);
    }
  }

  // ── the chosen pair ──────────────────────────────────────────────────────────────────────────────────────────────────

  #select(address: string, port: number): void {
    const first = this.#selected === undefined;
    this.#selected = { address, port };
    this.#consentAt = this.#host.clock.now();
    this.#checks.stop();
    if (first) this.#scheduleConsent();
    this.#host.onSelected(address, port);
  }

  #scheduleConsent(): void {
    this.#cancelTimer?.();
    const left = this.#consentAt + CONSENT_EXPIRY_MS - this.#host.clock.now();
    const randomised = CONSENT_INTERVAL_MS * (0.8 + 0.4 * (this.#host.random(2).readUInt16BE(0) / 65_536));
    this.#cancelTimer = this.#host.clock.after(Math.max(0, Math.min(left, randomised)), () => this.#askConsent());
  }

  #askConsent(): void {
    if (this.#closed || this.#selected === undefined) return;
    const silentMs = this.#host.clock.now() - this.#consentAt;
    if (silentMs >= CONSENT_EXPIRY_MS) {
      this.#host.onFailed("consent_expired", `no answer to checks for ${Math.round(silentMs)} ms`);
      return;
    }
    if (this.#options.mode === "full") this.#checks.sendOnce(this.#selected.address, this.#selected.port);
    this.#scheduleConsent();
  }

  #giveUp(): void {
    if (this.#closed || this.#selected !== undefined) return;
    this.#host.onFailed("ice_timeout", `no pair within ${this.#options.timeoutMs} ms; ${this.#checks.describe()}`);
  }

  #send(packet: Buffer, address: string, port: number): void {
    this.#host.counters.stunOut += 1;
    this.#host.sendStun(packet, address, port);
  }
}

/** RFC 8445 §5.1.2.1 with type preference 110: the priority of the candidate that a check may reveal. */
const PEER_REFLEXIVE_PRIORITY = 110 * 2 ** 24 + 65_535 * 2 ** 8 + 255;
