import type { Clock, Log } from "#engine/ports.ts";
import { ACCEPT, capabilities } from "./capabilities.ts";
import type { SipConnection } from "./connection.ts";
import { nameAddr } from "./header.ts";
import { ownUri, type TrunkOptions, trunkUri } from "./trunk.ts";

/** A PBX that has not answered OPTIONS after this long is down; the engine itself gives up after 32 s. */
const OPTIONS_TIMEOUT_MS = 5_000;

/** A PBX that is down is asked more often, so that its return is noticed soon. */
const RETRY_WHEN_DOWN_MS = 5_000;

export interface TrunkState {
  readonly name: string;
  /** `unknown` before the first answer, while the engine is away, and for trunks that are not asked. */
  readonly state: "unknown" | "up" | "down";
  /** Since when, Unix milliseconds. */
  readonly since: number;
  /** SIP status of the last answer. */
  readonly status?: number;
  readonly roundTripMs?: number;
}

export interface TrunkMonitorParts {
  readonly connection: Pick<SipConnection, "send">;
  readonly trunks: readonly TrunkOptions[];
  readonly clock: Clock;
  readonly log: Log;
}

interface Watched {
  readonly trunk: TrunkOptions;
  state: TrunkState;
  /** It has answered OPTIONS since we started. */
  takesOptions: boolean;
  /** It answers calls, the last one without a 100 before. */
  callsWithoutTrying: boolean;
  cancelTimer: () => void;
}

/** Knows which PBX is there, by OPTIONS (RFC 3261 §11). */
export class TrunkMonitor {
  readonly #parts: TrunkMonitorParts;
  readonly #watched: ReadonlyMap<string, Watched>;
  /** Ends the waiting for each OPTIONS that is open. */
  readonly #open = new Set<() => void>();
  #running = false;

  constructor(parts: TrunkMonitorParts) {
    this.#parts = parts;
    const since = parts.clock.now();
    this.#watched = new Map(
      parts.trunks.map((trunk) => [
        trunk.name,
        {
          trunk,
          state: { name: trunk.name, state: "unknown", since },
          takesOptions: false,
          callsWithoutTrying: false,
          cancelTimer: () => undefined,
        },
      ]),
    );
  }

  states(): readonly TrunkState[] {
    return [...this.#watched.values()].map((watched) => watched.state);
  }

  /** The engine is there: asks every trunk at once and then again and again. */
  start(): void {
    this.#running = true;
    for (const watched of this.#watched.values()) {
      if (watched.trunk.optionsIntervalMs > 0) this.#ask(watched);
    }
  }

  /** The engine is away, and so is every knowledge of what lies behind it. */
  stop(): void {
    this.#running = false;
    for (const giveUp of this.#open) giveUp();
    for (const watched of this.#watched.values()) {
      watched.cancelTimer();
      if (watched.state.state !== "unknown") {
        watched.state = { name: watched.trunk.name, state: "unknown", since: this.#parts.clock.now() };
      }
    }
  }

  /**
   * Whether the PBX says anything within this time. The silence of a PBX that takes calls and never answered OPTIONS says
   * nothing, unless it says 100 to an INVITE at once, and the engine passes that on.
   */
  probe(name: string, timeoutMs: number): Promise<boolean> {
    const watched = this.#watched.get(name);
    if (watched === undefined) return Promise.resolve(false);
    return new Promise((resolve) =>
      this.#options(watched, timeoutMs, (there) =>
        resolve(there || (watched.callsWithoutTrying && !watched.takesOptions)),
      ),
    );
  }

  /** The first response of a call; undefined when none came until the engine gave up. */
  answeredCall(name: string, status: number | undefined): void {
    const watched = this.#watched.get(name);
    if (watched === undefined) return;
    // A challenge comes at once, without 100 before.
    watched.callsWithoutTrying = status !== undefined && status > 100 && status !== 401 && status !== 407;
  }

  #ask(watched: Watched): void {
    this.#options(watched, OPTIONS_TIMEOUT_MS, () => {
      if (!this.#running) return;
      const { optionsIntervalMs } = watched.trunk;
      const pause = watched.state.state === "up" ? optionsIntervalMs : Math.min(optionsIntervalMs, RETRY_WHEN_DOWN_MS);
      watched.cancelTimer = this.#parts.clock.after(pause, () => this.#ask(watched));
    });
  }

  /** One OPTIONS; `done` is called once, with whether the PBX spoke. */
  #options(watched: Watched, timeoutMs: number, done: (there: boolean) => void): void {
    const { connection, clock } = this.#parts;
    const { trunk } = watched;
    const sentAt = clock.now();
    const giveUp = (): void => conclude(undefined);
    const conclude = (status: number | undefined): void => {
      if (!this.#open.delete(giveUp)) return;
      cancelTimer();
      watched.takesOptions = watched.takesOptions || status !== undefined;
      this.#note(watched, status, clock.now() - sentAt);
      done(status !== undefined);
    };
    const cancelTimer = clock.after(timeoutMs, giveUp);
    this.#open.add(giveUp);
    connection.send(
      {
        method: "OPTIONS",
        uri: trunkUri(trunk),
        headers: { ...capabilities, From: nameAddr(ownUri(trunk)), Contact: "<sip:ponte@localhost>", Accept: ACCEPT },
      },
      {
        onFailed: giveUp,
        // Any answer of the PBX will do, also 401 or 404; what the engine makes up (408, 503) is none.
        onAnswer: (answer) => {
          if (answer.status >= 200) conclude(answer.fromNetwork ? answer.status : undefined);
        },
      },
    );
  }

  #note(watched: Watched, status: number | undefined, roundTripMs: number): void {
    const { name, host, port, optionsIntervalMs } = watched.trunk;
    // A trunk that is not asked regularly stays unknown: what one probe says grows old.
    if (!this.#running || optionsIntervalMs === 0) return;
    const { clock, log } = this.#parts;
    const before = watched.state;
    const state = status === undefined ? "down" : "up";
    const since = before.state === state ? before.since : clock.now();
    watched.state = { name, state, since, ...(status === undefined ? {} : { status, roundTripMs }) };
    if (before.state === state) return;
    if (state === "up") log.info({ trunk: name, status, round_trip_ms: roundTripMs }, "trunk up");
    else log.warn({ trunk: name, host, port }, "trunk down: no answer to OPTIONS");
  }
}
