import type { Call } from "#core/call/call.ts";
import type { CallWorld } from "#engine/call-context.ts";
import type {
  CallEvent,
  CallExtra,
  CallMemoryPort,
  DialRequest,
  GraphOutcome,
  KnownCall,
  Log,
  MediaCallPort,
  MediaEvents,
  MediaStatistics,
  SipLegEvents,
} from "#engine/ports.ts";
import { FakeClock } from "./fake-clock.ts";

const nothing = {
  packetsIn: 0,
  packetsOut: 0,
  bytesIn: 0,
  bytesOut: 0,
  lost: 0,
  lossRatio: 0,
  jitterMs: 0,
  longestGapMs: 0,
};

export const noMedia: MediaStatistics = {
  a: { ...nothing, digitsIn: 0, digitsOut: 0, refused: {} },
  b: { ...nothing, digitsIn: 0, digitsOut: 0, refused: {} },
  transcoding: false,
  fecFrames: 0,
  concealedFrames: 0,
};

export const refusal = (code: number, gone = false): GraphOutcome => ({
  ok: false,
  attempts: 1,
  failure: { code, httpStatus: 400, message: "no", retryable: false, gone, hint: "" },
});

/** Lines that were logged, instead of a logger. */
export class FakeLog implements Log {
  readonly lines: { readonly level: string; readonly facts: object; readonly message: string }[];
  constructor(lines: FakeLog["lines"] = []) {
    this.lines = lines;
  }
  trace = (facts: object, message: string): void => this.#add("trace", facts, message);
  debug = (facts: object, message: string): void => this.#add("debug", facts, message);
  info = (facts: object, message: string): void => this.#add("info", facts, message);
  warn = (facts: object, message: string): void => this.#add("warn", facts, message);
  error = (facts: object, message: string): void => this.#add("error", facts, message);
  child(): Log {
    return new FakeLog(this.lines);
  }
  #add(level: string, facts: object, message: string): void {
    this.lines.push({ level, facts, message });
  }
}

/**
 * The world of the engine, all of it fake: every port writes what it was told into `told`, and a test answers by the events
 * that it kept.
 */
export class FakeWorld implements CallWorld {
  readonly clock = new FakeClock();
  readonly told: string[] = [];
  readonly recorded: { readonly call: Call; readonly events: readonly CallEvent[]; readonly extra?: CallExtra }[] = [];
  readonly tombstones: string[] = [];
  readonly log = new FakeLog();
  /** What Meta answers to each action; `ok` where nothing is set. */
  readonly graph = new Map<string, GraphOutcome | Promise<GraphOutcome>>();
  known: KnownCall | Error = "new";
  sipReady = true;
  mediaFull = false;
  dialed: DialRequest | undefined;
  leg: SipLegEvents | undefined;
  mediaEvents: MediaEvents | undefined;

  readonly whatsapp = {
    preAccept: (_channel: string, _wacid: string, answer: string) => this.#graph("pre_accept", answer),
    accept: (_channel: string, _wacid: string, answer: string) => this.#graph("accept", answer),
    reject: () => this.#graph("reject"),
    terminate: () => this.#graph("terminate"),
  };
  readonly sip = {
    dial: (request: DialRequest, events: SipLegEvents) => {
      this.dialed = request;
      this.leg = events;
      this.told.push(`dial ${request.target}`);
      return { hangUp: async (why: { cause: string }) => void this.told.push(`hang up: ${why.cause}`) };
    },
    ready: () => this.sipReady,
  };
  readonly media = {
    open: async (_id: string, _offer: unknown, events: MediaEvents): Promise<MediaCallPort> => {
      if (this.mediaFull) throw new Error("full");
      this.mediaEvents = events;
      return this.#mediaCall();
    },
  };
  readonly journal = {
    record: (call: Call, events: readonly CallEvent[], extra?: CallExtra) =>
      void this.recorded.push({ call, events, ...(extra === undefined ? {} : { extra }) }),
    tombstone: (wacid: string) => void this.tombstones.push(wacid),
  };
  readonly memory: CallMemoryPort = {
    lookUp: async () => {
      if (this.known instanceof Error) throw this.known;
      return this.known;
    },
  };
  mediaOf = () => ({ codecs: ["PCMU", "PCMA"], latching: "auto" }) as const;

  /** Types of all timeline entries so far. */
  get timeline(): string[] {
    return this.recorded.flatMap(({ events }) => events.map((event) => event.type));
  }

  async #graph(action: string, _answer?: string): Promise<GraphOutcome> {
    this.told.push(action);
    return this.graph.get(action) ?? { ok: true, tookMs: 1, attempts: 1 };
  }

  #mediaCall(): MediaCallPort {
    return {
      local: {
        ufrag: "abcd",
        pwd: "abcdefghijklmnopqrstuvwx",
        lite: false,
        fingerprint: { algorithm: "sha-256", value: "AA:BB" },
        candidates: [
          {
            foundation: "1",
            component: 1,
            priority: 2_130_706_431,
            address: "203.0.113.10",
            port: 40_000,
            type: "host",
          },
        ],
      },
      ssrc: 1234,
      sipAddress: { address: "192.0.2.1", port: 20_000 },
      connect: () => void this.told.push("connect media"),
      setSipSession: (session) => void this.told.push(`session ${session.audio.codec} ${session.direction}`),
      startSending: () => void this.told.push("start sending"),
      sendDigit: (side, digit) => void this.told.push(`digit ${digit} to ${side}`),
      statistics: async () => noMedia,
      close: async () => {
        this.told.push("close media");
        return noMedia;
      },
    };
  }
}

/** Lets promises that are ready run on. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
}
