import type { Instant } from "#core/call/call.ts";
import type { Clock, GraphFailure, GraphOutcome, Log, WhatsAppPort } from "#engine/ports.ts";
import { Gate } from "./gate.ts";
import type { CallWord, Retry } from "./graph-errors.ts";
import { callWordOf, judge } from "./graph-errors.ts";
import type { Exchange } from "./graph-exchange.ts";
import { exchange } from "./graph-exchange.ts";

export interface GraphOptions {
  /** `https://graph.facebook.com`, or the sandbox's. */
  readonly baseUrl: string;
  /** `v23.0`; nothing in call control depends on it. */
  readonly version: string;
  /** Access tokens by phone number id. */
  readonly channels: ReadonlyMap<string, string>;
  /** For channels that are not among them: calls of a number that nobody configured are rejected too. */
  readonly accessToken?: string;
  /** How long one request may take, milliseconds. */
  readonly requestTimeoutMs: number;
  /** Requests under way at once; 64 when left out. */
  readonly maxConcurrent?: number;
}

export interface GraphWorld {
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1, for the jitter of pauses. */
  readonly random: () => number;
}

type Action = "pre_accept" | "accept" | "reject" | "terminate";

/** Enough for 300 set-ups a second at Meta's usual 200 ms. */
const MAX_CONCURRENT = 64;
/** One request of every call that the daemon may hold by default, twice. */
const MAX_WAITING = 1_000;
/** `reject` and `terminate` have no deadline of the caller's; by then Meta has ended an unanswered call itself. */
const FAREWELL_BUDGET_MS = 15_000;
/** First pause after a trouble of Meta's; doubled each time. */
const FIRST_PAUSE_MS = 100;
/** First pause after being throttled; doubled each time. */
const FIRST_THROTTLED_PAUSE_MS = 500;
const MAX_PAUSE_MS = 4_000;
/** With doubling pauses more do not fit into the time a call may ring. */
const MAX_ATTEMPTS = 8;
/** Less time than this is not worth a request: nobody could use its answer. */
const LEAST_ATTEMPT_MS = 50;

/** What is known of the attempts of one action. */
interface Progress {
  readonly attempts: number;
  /** An earlier attempt may have reached Meta though no good answer came back. */
  readonly mayBeDone: boolean;
  readonly lastFailure?: GraphFailure;
}

/**
 * Call control by Meta's Graph API: `POST /<version>/<phone number id>/calls`.
 *
 * Retries. After a trouble of Meta's (5xx, 131000, 131016, 138004, 138007), throttling, or silence, the same request is
 * repeated byte for byte, with doubling pauses and jitter, until the deadline. All four actions may be repeated: none of them
 * starts anything anew. But an attempt without an answer may have been obeyed, and then its repetition is refused although
 * all is well. Therefore, after such an attempt only:
 *
 * | action     | refusal of the repetition                | taken as                                           |
 * |------------|------------------------------------------|----------------------------------------------------|
 * | pre_accept | "already accepted", "in progress"        | success: the answer has arrived                    |
 * | accept     | "already accepted", "in progress"        | success: if the call has ended instead, Meta's     |
 * |            |                                          | terminate webhook says so, while a failure would   |
 * |            |                                          | hang up on a caller who was just connected         |
 * | reject     | "ended", "unknown call"                  | success: nothing is left to reject                 |
 * | terminate  | "ended", "unknown call", "in progress"   | success: nothing is left to end                    |
 *
 * On a first attempt the same texts are failures, with `gone` when they say that the call is over.
 */
export class GraphClient implements WhatsAppPort {
  readonly #options: GraphOptions;
  readonly #world: GraphWorld;
  readonly #gate: Gate;
  readonly #stopped = new AbortController();

  constructor(options: GraphOptions, world: GraphWorld) {
    this.#options = options;
    this.#world = world;
    const limits = { maxRunning: options.maxConcurrent ?? MAX_CONCURRENT, maxWaiting: MAX_WAITING };
    this.#gate = new Gate(limits, world.clock);
  }

  preAccept(channelId: string, wacid: string, answer: string, deadline: Instant): Promise<GraphOutcome> {
    return this.#perform("pre_accept", channelId, answerBody("pre_accept", wacid, answer), deadline);
  }

  accept(channelId: string, wacid: string, answer: string, deadline: Instant): Promise<GraphOutcome> {
    return this.#perform("accept", channelId, answerBody("accept", wacid, answer), deadline);
  }

  reject(channelId: string, wacid: string): Promise<GraphOutcome> {
    return this.#perform(
      "reject",
      channelId,
      { ...basics, call_id: wacid, action: "reject" },
      this.#farewellDeadline(),
    );
  }

  terminate(channelId: string, wacid: string): Promise<GraphOutcome> {
    const body = { ...basics, call_id: wacid, action: "terminate" };
    return this.#perform("terminate", channelId, body, this.#farewellDeadline());
  }

  /** Gives up what is under way; later requests fail at once. May be called twice. */
  async stop(): Promise<void> {
    this.#stopped.abort();
  }

  #farewellDeadline(): Instant {
    return this.#world.clock.now() + FAREWELL_BUDGET_MS;
  }

  async #perform(action: Action, channelId: string, body: object, deadline: Instant): Promise<GraphOutcome> {
    const { clock } = this.#world;
    const { baseUrl, version, channels } = this.#options;
    const accessToken = channels.get(channelId) ?? this.#options.accessToken;
    if (accessToken === undefined || accessToken === "")
      return refusedHere("there is no access token for this channel", "Set meta.access_token or the channel's own.");
    const url = `${baseUrl.replace(/\/+$/, "")}/${version}/${encodeURIComponent(channelId)}/calls`;
    const startedAt = clock.now();
    let progress: Progress = { attempts: 0, mayBeDone: false };
    for (;;) {
      const left = deadline - clock.now();
      if (left < LEAST_ATTEMPT_MS || progress.attempts >= MAX_ATTEMPTS) return outOfTime(progress);
      const entry = await this.#gate.enter(deadline);
      if (entry === "late") return outOfTime(progress);
      if (entry === "full")
        return refusedHere(`${MAX_WAITING} requests are waiting`, "Meta is slow or away; calls are lost meanwhile.");
      let came: Exchange;
      const sentAt = clock.now();
      try {
        const timeoutMs = Math.min(this.#options.requestTimeoutMs, deadline - sentAt);
        if (timeoutMs < LEAST_ATTEMPT_MS) return outOfTime(progress);
        came = await exchange({ url, accessToken, body, timeoutMs, signal: this.#stopped.signal }, clock);
      } finally {
        this.#gate.leave();
      }
      const attempts = progress.attempts + 1;
      this.#logAttempt(action, channelId, attempts, sentAt, came);
      if (came.type === "success") return { ok: true, tookMs: clock.now() - startedAt, attempts };

      const { failure, word, retry } = understand(came);
      if (progress.mayBeDone && provesDone(action, word))
        return { ok: true, tookMs: clock.now() - startedAt, attempts };
      if (retry === "never" || this.#stopped.signal.aborted) return { ok: false, failure, attempts };
      progress = { attempts, mayBeDone: progress.mayBeDone || mayBeDone(came), lastFailure: failure };
      const pauseMs = this.#pauseMs(attempts, retry, came);
      if (clock.now() + pauseMs + LEAST_ATTEMPT_MS > deadline) return outOfTime(progress);
      await this.#pause(pauseMs);
    }
  }

  /** Doubling, and between half of it and all of it by chance, so that many calls do not come back at once. */
  #pauseMs(attempts: number, retry: Retry, came: Exchange): number {
    const first = retry === "throttled" ? FIRST_THROTTLED_PAUSE_MS : FIRST_PAUSE_MS;
    const longest = Math.min(first * 2 ** (attempts - 1), MAX_PAUSE_MS);
    const wished = came.type === "refused" ? (came.retryAfterMs ?? 0) : 0;
    return Math.max(wished, Math.round(longest * (0.5 + this.#world.random() / 2)));
  }

  #pause(pauseMs: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const end = () => {
        stopTimer();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const stopTimer = this.#world.clock.after(pauseMs, end);
      signal.addEventListener("abort", end, { once: true });
    });
  }

  #logAttempt(action: Action, channelId: string, attempt: number, sentAt: Instant, came: Exchange): void {
    const facts = {
      action,
      channel_id: channelId,
      attempt,
      took_ms: this.#world.clock.now() - sentAt,
      came: came.type,
      ...(came.type === "success" ? {} : { http_status: came.httpStatus }),
      ...(came.type === "refused" ? { code: came.refusal.code, fbtrace_id: came.refusal.fbtraceId } : {}),
      ...(came.type === "lost" ? { reason: came.message } : {}),
    };
    this.#world.log.debug(facts, "Graph request");
  }
}

const basics = { messaging_product: "whatsapp" } as const;

/** Lower-case values: one library that sent `offer` here never got a connected call. */
function answerBody(action: "pre_accept" | "accept", wacid: string, sdp: string): object {
  return { ...basics, call_id: wacid, action, session: { sdp_type: "answer", sdp } };
}

function understand(came: Exclude<Exchange, { type: "success" }>): {
  readonly failure: GraphFailure;
  readonly word: CallWord;
  readonly retry: Retry;
} {
  const { httpStatus } = came;
  if (came.type === "lost") {
    const { hint } = judge(0, undefined, 0, false);
    const failure = { code: 0, httpStatus, message: came.message, retryable: true, gone: false, hint };
    return { failure, word: { over: false, taken: false }, retry: "soon" };
  }
  const { code, subcode, message, details, fbtraceId, transient } = came.refusal;
  const { retry, hint } = judge(code, subcode, httpStatus, transient);
  const word = callWordOf(code, subcode, httpStatus, `${message} ${details ?? ""}`);
  const failure = {
    code,
    httpStatus,
    message,
    retryable: retry !== "never",
    gone: word.over,
    hint: word.over ? "The call has ended at Meta; there is nothing to do." : hint,
    ...(subcode === undefined ? {} : { subcode }),
    ...(details === undefined ? {} : { details }),
    ...(fbtraceId === undefined ? {} : { fbtraceId }),
  };
  return { failure, word, retry };
}

/** See the table at the class. */
function provesDone(action: Action, { over, taken }: CallWord): boolean {
  switch (action) {
    case "pre_accept":
    case "accept":
      return taken;
    case "reject":
      return over;
    case "terminate":
      return over || taken;
  }
}

/** A refusal by a 4xx was not obeyed; a 5xx may have failed after the deed, and silence says nothing. */
function mayBeDone(came: Exchange): boolean {
  return came.type === "lost" ? came.sent : came.type === "refused" && came.httpStatus >= 500;
}

function outOfTime({ attempts, lastFailure }: Progress): GraphOutcome {
  if (lastFailure !== undefined) return { ok: false, failure: lastFailure, attempts };
  return refusedHere(
    "no time was left for a request",
    "Calls come too late: see calling.answer_budget_ms and the clock.",
  );
}

/** A failure that Meta has no part in. */
function refusedHere(message: string, hint: string): GraphOutcome {
  const failure = { code: 0, httpStatus: 0, message, retryable: false, gone: false, hint };
  return { ok: false, failure, attempts: 0 };
}
