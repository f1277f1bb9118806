import type { Call } from "#core/call/call.ts";
import type { Action, Event } from "#core/call/event.ts";
import { timelineOf } from "#core/call/timeline.ts";
import { transition } from "#core/call/transition.ts";
import type { CallContext, CallWorld } from "./call-context.ts";
import { MediaSide } from "./media-side.ts";
import { MetaSide } from "./meta-side.ts";
import { PbxSide } from "./pbx-side.ts";
import type { CallEvent, Log, MediaStatistics } from "./ports.ts";
import { CallTimers } from "./timers.ts";

export interface RunnerEvents {
  /** Every entry of the timeline, as it happens. */
  onTimeline(callId: string, event: CallEvent): void;
  /** The call has ended and everybody was told. Called once. */
  onFinished(): void;
}

/** Names of the timings of the call record: milliseconds since the offer was received. */
const marks: Partial<Record<Event["type"], string>> = {
  media_prepared: "answer_ready_ms",
  pre_accepted: "pre_accepted_ms",
  leg_answered: "pbx_answered_ms",
  media_connected: "media_connected_ms",
  accepted: "accepted_ms",
};

/**
 * Keeps one call alive. Events wait in its inbox and are taken one at a time, without an `await` in between; actions are
 * started, and what comes of them returns as an event. A step that leaves the call as it was asks for nothing.
 */
export class CallRunner {
  readonly #world: CallWorld;
  readonly #events: RunnerEvents;
  readonly #log: Log;
  readonly #timers: CallTimers;
  readonly #meta: MetaSide;
  readonly #pbx: PbxSide;
  readonly #media: MediaSide;
  readonly #inbox: Event[] = [];
  readonly #timings: Record<string, number> = {};
  /** What is still under way after the end: the other sides are being told. */
  readonly #farewells: Promise<void>[] = [];
  #call: Call;
  #stepping = false;
  #finishing = false;

  constructor(call: Call, world: CallWorld, events: RunnerEvents, log: Log) {
    this.#call = call;
    this.#world = world;
    this.#events = events;
    this.#log = log;
    this.#timers = new CallTimers(world.clock, (timer) => this.take({ type: "timeout", timer }));
    const context: CallContext = {
      world,
      log,
      call: () => this.#call,
      take: (event) => this.take(event),
      note: (type, data) => this.#write([{ at: world.clock.now(), type, data }]),
    };
    this.#meta = new MetaSide(context);
    this.#pbx = new PbxSide(context);
    this.#media = new MediaSide(context);
  }

  get call(): Call {
    return this.#call;
  }

  /** Writes the offer down; before it the call does not exist for anybody. */
  begin(): void {
    const { offer, receivedAt } = this.#call;
    const ageMs = receivedAt - offer.offeredAt;
    const { number, userId } = offer.caller;
    this.#log.info({ wacid: offer.wacid, from_number: number, user_id: userId, age_ms: ageMs }, "call offered");
    this.#write([{ at: receivedAt, type: "call.received", data: { age_ms: ageMs } }]);
  }

  statistics(): Promise<MediaStatistics | undefined> {
    return this.#media.statistics();
  }

  /** Puts an event into the inbox and works the inbox off. */
  take(event: Event): void {
    this.#inbox.push(event);
    if (this.#stepping) return;
    this.#stepping = true;
    for (let next = this.#inbox.shift(); next !== undefined; next = this.#inbox.shift()) this.#step(next);
    this.#stepping = false;
  }

  #step(event: Event): void {
    const now = this.#world.clock.now();
    const before = this.#call;
    try {
      const [after, actions] = transition(before, event, now);
      if (after === before) {
        this.#log.debug({ state: before.state, event: event.type }, "event changes nothing");
        return;
      }
      this.#call = after;
      this.#tell(before, event, after, now);
      for (const action of actions) this.#perform(action);
      if (after.state === "ended") this.#finish();
    } catch (error) {
      this.#crash(error, event);
    }
  }

  /** A bug ends the call it happened in, loudly, and leaves the others talking. */
  #crash(error: unknown, event: Event): void {
    this.#log.error({ err: error, event: event.type, state: this.#call.state }, "call crashed");
    if (this.#call.state === "ended") this.#finish();
    else if (event.type !== "crashed") this.#inbox.push({ type: "crashed", detail: String(error) });
  }

  #tell(before: Call, event: Event, after: Call, now: number): void {
    const atMs = now - after.receivedAt;
    if (after.state !== before.state) {
      this.#log.info({ from: before.state, to: after.state, event: event.type, at_ms: atMs }, "call transition");
    }
    if (event.type === "evidence") this.#timings[`${event.step}_ms`] ??= event.at - after.receivedAt;
    const mark = marks[event.type];
    if (mark !== undefined) this.#timings[mark] ??= atMs;
    const at = event.type === "evidence" ? event.at : now;
    this.#write(timelineOf(before, event, after).map((entry) => ({ at, ...entry })));
  }

  #write(entries: readonly CallEvent[]): void {
    const statistics = this.#media.lastStatistics;
    this.#world.journal.record(this.#call, entries, {
      timings: { ...this.#timings },
      ...(statistics === undefined ? {} : { mediaStatistics: statistics }),
    });
    for (const entry of entries) this.#events.onTimeline(this.#call.id, entry);
  }

  #perform(action: Action): void {
    switch (action.type) {
      case "prepare_media":
        this.#media.prepare().catch((error: unknown) => this.take({ type: "crashed", detail: String(error) }));
        break;
      case "pre_accept":
      case "accept":
        this.#meta.ask(action.type, action.answer);
        break;
      case "connect_media":
        this.#media.connect();
        break;
      case "dial":
        if (this.#media.port !== undefined) this.#pbx.dial(action.trunk, action.target, this.#media.port);
        break;
      case "start_sending":
        this.#media.port?.startSending();
        break;
      case "reject":
      case "terminate":
        this.#farewells.push(this.#meta.sayGoodbye(action.type));
        break;
      case "hang_up":
        this.#farewells.push(this.#pbx.hangUp(action.disposition));
        break;
      case "close_media":
        this.#farewells.push(this.#media.close());
        break;
      case "start_timer":
        this.#timers.start(action.timer, action.afterMs);
        break;
      case "stop_timer":
        this.#timers.stop(action.timer);
        break;
      case "stop_timers":
        this.#timers.stopAll();
        break;
    }
  }

  /** Waits until everybody was told, then writes the last record and the one rich line. */
  #finish(): void {
    if (this.#finishing) return;
    this.#finishing = true;
    Promise.allSettled(this.#farewells)
      .then((results) => {
        for (const result of results) {
          if (result.status === "rejected") this.#log.warn({ err: result.reason }, "a goodbye failed");
        }
        this.#write([{ at: this.#world.clock.now(), type: "call.closed", data: {} }]);
        this.#sumUp();
      })
      .finally(() => this.#events.onFinished());
  }

  #sumUp(): void {
    const call = this.#call;
    if (call.state !== "ended") return;
    const { disposition, answeredAt, endedAt, receivedAt, evidence } = call;
    const facts = {
      ...disposition,
      duration_ms: endedAt - receivedAt,
      talk_ms: answeredAt === undefined ? 0 : endedAt - answeredAt,
      timings: this.#timings,
      evidence: Object.fromEntries(Object.entries(evidence).map(([step, at]) => [step, at - receivedAt])),
      media: this.#media.lastStatistics,
    };
    this.#log.info(facts, "call ended");
  }
}
