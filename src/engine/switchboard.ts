import { type Call, type CallLimits, type Offer, offeredCall, type RejectReason, type Route } from "#core/call/call.ts";
import { uuidV7 } from "#core/id.ts";
import { type RoutingTable, routeOf } from "#core/routing/route.ts";
import type { CallWorld } from "./call-context.ts";
import type {
  CallEvent,
  CallMemoryPort,
  KnownCall,
  Log,
  MediaStatistics,
  MetaCallEvent,
  MetaEventsPort,
  SwitchboardPort,
} from "./ports.ts";
import { CallRunner } from "./runner.ts";

/** An ended call is remembered this long, so that Meta's terminate webhook still finds it, and a repeated offer does not revive it. */
const REMEMBER_MS = 120_000;

/** Listeners of the timeline; each is a page or an API client. */
const MAX_WATCHERS = 100;

export interface SwitchboardOptions {
  readonly world: CallWorld;
  readonly memory: CallMemoryPort;
  readonly routing: RoutingTable;
  readonly limits: CallLimits;
  readonly maxCalls: number;
  readonly random: () => Uint8Array;
  readonly log: Log;
}

type Watcher = (callId: string, event: CallEvent) => void;

/** Knows every live call, makes new ones out of offers, and finds the call that an event belongs to. */
export class Switchboard implements MetaEventsPort, SwitchboardPort {
  readonly #options: SwitchboardOptions;
  /** By Meta's call id: live ones, and ended ones for a while. */
  readonly #byWacid = new Map<string, CallRunner>();
  readonly #live = new Map<string, CallRunner>();
  readonly #turns = new Map<string, Promise<void>>();
  readonly #forget = new Set<() => void>();
  readonly #watchers = new Set<Watcher>();
  #draining = false;
  #allDone: (() => void) | undefined;

  constructor(options: SwitchboardOptions) {
    this.#options = options;
  }

  async take(event: MetaCallEvent): Promise<void> {
    switch (event.type) {
      case "offer":
        return this.#inTurn(event.offer.wacid, () => this.#offered(event.offer));
      case "terminate":
        return this.#inTurn(event.wacid, async () => this.#terminated(event));
      case "ignored":
        this.#options.log.debug({ what: event.what, wacid: event.wacid }, "webhook event ignored");
        return;
    }
  }

  /** Events of one call id wait for each other: a terminate finds its call even while the database is asked about it. */
  async #inTurn(wacid: string, task: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(wacid) ?? Promise.resolve()).then(task);
    this.#turns.set(wacid, turn);
    try {
      await turn;
    } finally {
      if (this.#turns.get(wacid) === turn) this.#turns.delete(wacid);
    }
  }

  terminate(callId: string): boolean {
    const runner = this.#live.get(callId);
    if (runner === undefined || runner.call.state === "ended") return false;
    runner.take({ type: "operator_ended" });
    return true;
  }

  live(): readonly Call[] {
    return [...this.#live.values()].map((runner) => runner.call);
  }

  async statistics(callId: string): Promise<MediaStatistics | undefined> {
    return this.#live.get(callId)?.statistics();
  }

  watch(listener: Watcher): () => void {
    if (this.#watchers.size >= MAX_WATCHERS) return () => undefined;
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** True from the start of `drain` on: new calls are rejected. */
  get draining(): boolean {
    return this.#draining;
  }

  /** Takes no new calls. Resolves when the live ones have ended, which they are made to after `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#draining = true;
    if (this.#live.size > 0) {
      const done = new Promise<void>((resolve) => {
        this.#allDone = resolve;
      });
      const cancel = this.#options.world.clock.after(graceMs, () => {
        for (const runner of this.#live.values()) runner.take({ type: "drained" });
      });
      await done;
      cancel();
    }
    // Ended calls stay known to the end: Meta's own account of those that were ended just now is still to come.
    for (const cancel of this.#forget) cancel();
    this.#forget.clear();
  }

  /** Once no webhook comes in any more: resolves when those of the last moment were told that nobody takes them, or after `limitMs`. */
  async idle(limitMs: number): Promise<void> {
    const late = Promise.withResolvers<void>();
    let isLate = false;
    const cancel = this.#options.world.clock.after(limitMs, () => {
      isLate = true;
      late.resolve();
    });
    while (this.#turns.size > 0 && !isLate) {
      await Promise.race([Promise.allSettled(this.#turns.values()), late.promise]);
    }
    if (this.#live.size > 0 && !isLate) {
      const done = new Promise<void>((resolve) => {
        this.#allDone = resolve;
      });
      await Promise.race([done, late.promise]);
    }
    cancel();
  }

  async #offered(offer: Offer): Promise<void> {
    const known = await this.#lookUp(offer.wacid);
    if (known === "duplicate" || known === "tombstone") {
      this.#options.log.info({ wacid: offer.wacid, known }, "offer of a call that is known already ignored");
      return;
    }
    const runner = this.#newRunner(offer);
    this.#byWacid.set(offer.wacid, runner);
    this.#live.set(runner.call.id, runner);
    runner.begin();
    runner.take({ type: "routed", route: known === "new" ? this.#route(offer) : { handler: "reject", reason: known } });
  }

  #newRunner(offer: Offer): CallRunner {
    const { world, limits, random, log } = this.#options;
    const now = world.clock.now();
    const id = uuidV7(now, random());
    const call = offeredCall(id, offer, limits, now);
    const onTimeline: Watcher = (callId, event) => {
      for (const watcher of this.#watchers) watcher(callId, event);
    };
    const runner: CallRunner = new CallRunner(
      call,
      world,
      { onTimeline, onFinished: () => this.#finished(runner) },
      log.child({ call_id: id, channel_id: offer.channelId }),
    );
    return runner;
  }

  async #lookUp(wacid: string): Promise<KnownCall | "database_unavailable"> {
    if (this.#byWacid.has(wacid)) return "duplicate";
    try {
      return await this.#options.memory.lookUp(wacid);
    } catch (error) {
      this.#options.log.warn({ err: error, wacid }, "the database does not say whether this call is new");
      return "database_unavailable";
    }
  }

  #route(offer: Offer): Route {
    const { routing, world, maxCalls } = this.#options;
    const route = routeOf(offer, routing);
    if (route.handler === "reject") return route;
    const reason = this.#obstacle(maxCalls, world.sip.ready());
    return reason === undefined ? route : { handler: "reject", reason };
  }

  #obstacle(maxCalls: number, sipReady: boolean): RejectReason | undefined {
    if (this.#draining) return "draining";
    if (this.#live.size > maxCalls) return "at_capacity";
    return sipReady ? undefined : "trunk_unreachable";
  }

  #terminated(event: Extract<MetaCallEvent, { type: "terminate" }>): void {
    const { world, log } = this.#options;
    const runner = this.#byWacid.get(event.wacid);
    if (runner !== undefined) {
      runner.take({ type: "caller_ended", summary: event.summary });
      return;
    }
    log.info({ wacid: event.wacid, channel_id: event.channelId }, "terminate of a call that is not alive here");
    const data: Record<string, unknown> = { ...event.summary };
    world.journal.tombstone(event.wacid, event.channelId, { at: event.at, type: "caller_ended", data });
  }

  #finished(runner: CallRunner): void {
    const { offer, id } = runner.call;
    this.#live.delete(id);
    if (this.#live.size === 0) this.#allDone?.();
    // Who drains is about to stop, and leaves no timer behind.
    if (this.#draining) return;
    const cancel = this.#options.world.clock.after(REMEMBER_MS, () => {
      this.#byWacid.delete(offer.wacid);
      this.#forget.delete(cancel);
    });
    this.#forget.add(cancel);
  }
}
