import type { Clock, DialRequest, Log, SipLegEvents, SipLegPort, SipPort } from "#engine/ports.ts";
import { ACCEPT, ALLOW, capabilities } from "./capabilities.ts";
import { type ConnectionLimits, type EngineAddress, SipConnection } from "./connection.ts";
import { type LegLimits, SipLeg } from "./leg.ts";
import type { IncomingRequest } from "./message.ts";
import { sessionWish } from "./session-timer.ts";
import type { TrunkOptions } from "./trunk.ts";
import { type LookUp, TrunkAddresses } from "./trunk-addresses.ts";
import { TrunkMonitor, type TrunkState } from "./trunk-monitor.ts";

export interface SipLimits extends ConnectionLimits, LegLimits {}

const usualLegLimits: LegLimits = { probeAfterMs: 1_500, noResponseMs: 4_000, goodbyeMs: 5_000 };

/** Calls that were up when the engine went away and shall be ended there when it is back; older ones are forgotten. */
const MAX_ORPHANS = 1_000;

/** Every request that is not ours to take is refused by us, not left to the engine. */
const METHODS = [
  "invite",
  "options",
  "message",
  "notify",
  "refer",
  "register",
  "subscribe",
  "publish",
  "info",
  // No method: the embedded engine passes on the 100 of our INVITEs then. To a drachtio-server it means nothing.
  "trying",
] as const;

export interface SipEdgeOptions {
  readonly engine: EngineAddress;
  readonly trunks: readonly TrunkOptions[];
  readonly clock: Clock;
  readonly log: Log;
  readonly limits?: Partial<SipLimits>;
  /** Who may send requests besides the trunks. */
  readonly isPeer?: (address: string) => boolean;
  /** All addresses of the trunks, at the start and whenever they are others. */
  readonly onTrunkAddresses?: (addresses: readonly string[]) => void;
  readonly lookUp?: LookUp;
}

/** The SIP side of ponte: places calls on trunks through the SIP engine. */
export class SipEdge implements SipPort {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #trunks: ReadonlyMap<string, TrunkOptions>;
  readonly #legLimits: LegLimits;
  readonly #connection: SipConnection;
  readonly #monitor: TrunkMonitor;
  readonly #addresses: TrunkAddresses;
  readonly #isPeer: (address: string) => boolean;
  readonly #legs = new Set<SipLeg>();
  readonly #dialogs = new Map<string, SipLeg>();
  /** Dialog ids to end once the engine is back. */
  #orphans: string[] = [];

  constructor(options: SipEdgeOptions) {
    this.#clock = options.clock;
    this.#log = options.log;
    this.#trunks = new Map(options.trunks.map((trunk) => [trunk.name, trunk]));
    this.#legLimits = { ...usualLegLimits, ...options.limits };
    this.#connection = new SipConnection({
      engine: options.engine,
      clock: options.clock,
      log: options.log,
      methods: METHODS,
      onRequest: (request) => this.#requested(request),
      onUp: () => this.#up(),
      onDown: (reason) => this.#down(reason),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    this.#monitor = new TrunkMonitor({
      connection: this.#connection,
      trunks: options.trunks,
      clock: options.clock,
      log: options.log,
    });
    this.#isPeer = options.isPeer ?? (() => false);
    this.#addresses = new TrunkAddresses({
      trunks: options.trunks,
      clock: options.clock,
      log: options.log,
      ...(options.lookUp === undefined ? {} : { lookUp: options.lookUp }),
      ...(options.onTrunkAddresses === undefined ? {} : { onChange: options.onTrunkAddresses }),
    });
  }

  /**
   * Resolves when the engine and the addresses of the trunks were found, or not, for the first time; they are looked for as
   * long as the edge runs.
   */
  async start(): Promise<void> {
    await Promise.all([this.#addresses.start(), this.#connection.start()]);
  }

  /** Ends what is left of calls as if the engine were lost. The engine of calls hangs up its legs before. */
  async stop(): Promise<void> {
    this.#addresses.stop();
    this.#monitor.stop();
    this.#connection.stop();
  }

  ready(): boolean {
    return this.#connection.ready;
  }

  trunkStates(): readonly TrunkState[] {
    return this.#monitor.states();
  }

  /** What is alive; all zero when no call is, but for the open OPTIONS among the transactions. */
  counters(): {
    readonly legs: number;
    readonly dialogs: number;
    readonly replies: number;
    readonly transactions: number;
  } {
    const { replies, transactions } = this.#connection.counters();
    return { legs: this.#legs.size, dialogs: this.#dialogs.size, replies, transactions };
  }

  dial(request: DialRequest, events: SipLegEvents): SipLegPort {
    const trunk = this.#trunks.get(request.trunk);
    const log = this.#log.child({ call_id: request.callId, side: "b", trunk: request.trunk });
    const name = request.trunk;
    const leg = new SipLeg({
      connection: this.#connection,
      clock: this.#clock,
      log,
      trunk: trunk ?? nowhere(name),
      request,
      events,
      limits: this.#limitsFor(name),
      session: sessionWish(trunk ?? {}, this.#connection.version),
      probe: (timeoutMs) => this.#monitor.probe(name, timeoutMs),
      onHeard: (status) => this.#monitor.answeredCall(name, status),
      onDialog: (dialogId, of) => this.#dialogs.set(dialogId, of),
      onOver: (of) => this.#forget(of),
    });
    this.#legs.add(leg);
    void this.#addresses.look(name);
    // Not now: nothing may happen to the call before the caller holds its leg.
    queueMicrotask(() => {
      if (trunk === undefined || !this.#connection.ready) {
        const reason = trunk === undefined ? "no such trunk" : "the SIP engine is not reachable";
        log.warn({ reason }, "call cannot be placed");
        leg.fail(503, reason);
      } else leg.begin();
    });
    return leg;
  }

  /** A PBX that was down a moment ago is asked at once whether it is there. */
  #limitsFor(trunk: string): LegLimits {
    const down = this.#monitor.states().some((each) => each.name === trunk && each.state === "down");
    return down ? { ...this.#legLimits, probeAfterMs: 0 } : this.#legLimits;
  }

  #forget(leg: SipLeg): void {
    this.#legs.delete(leg);
    for (const [dialogId, of] of this.#dialogs) if (of === leg) this.#dialogs.delete(dialogId);
  }

  #up(): void {
    for (const dialogId of this.#orphans) this.#connection.send({ method: "BYE", dialogId });
    this.#orphans = [];
    this.#monitor.start();
  }

  #down(reason: string): void {
    this.#monitor.stop();
    if (this.#legs.size > 0) this.#log.warn({ reason, calls: this.#legs.size }, "sip engine lost with calls");
    for (const leg of [...this.#legs]) {
      const dialogId = leg.engineLost();
      if (dialogId !== undefined && this.#orphans.length < MAX_ORPHANS) this.#orphans.push(dialogId);
    }
  }

  #requested(request: IncomingRequest): void {
    const leg = this.#dialogs.get(request.dialogId);
    if (leg !== undefined) leg.handle(request);
    else if (request.method === "ACK") return;
    else if (request.inDialog || request.dialogId !== "") request.respond(481);
    else this.#unrelated(request);
  }

  #admits(address: string): boolean {
    const plain = address.replace(/^::ffff:/, "");
    return this.#addresses.knows(plain) || this.#isPeer(plain);
  }

  /** A request that starts something new. */
  #unrelated(request: IncomingRequest): void {
    const from = `${request.sourceAddress}:${request.sourcePort}`;
    if (!this.#admits(request.sourceAddress)) {
      this.#log.debug({ method: request.method, from }, "sip request of a stranger refused");
      request.respond(403);
    } else if (request.method === "OPTIONS") {
      request.respond(200, { headers: { ...capabilities, Accept: ACCEPT } });
    } else if (request.method === "INVITE") {
      this.#log.warn(
        { from, sip_call_id: request.callId },
        "call of the pbx refused: calls to WhatsApp are not enabled",
      );
      request.respond(403, {
        reason: "Calls to WhatsApp are not enabled",
        headers: { Reason: 'Q.850;cause=21;text="calls to WhatsApp are not enabled"' },
      });
    } else request.respond(405, { headers: { Allow: ALLOW } });
  }
}

/** Stands in for a trunk that the configuration does not have; nothing is ever sent to it. */
function nowhere(name: string): TrunkOptions {
  return { name, host: "0.0.0.0", port: 0, transport: "udp", callerIdentity: "none", optionsIntervalMs: 0 };
}
