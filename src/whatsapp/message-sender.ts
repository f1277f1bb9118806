import type { Instant } from "#core/call/call.ts";
import { objectsIn, textAt } from "#core/json-read.ts";
import type { OutgoingMessage, SendFailure, SendOutcome } from "#core/message/message.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { MessageSenderPort } from "#router/ports.ts";
import { judge } from "./graph-errors.ts";
import type { Exchange } from "./graph-exchange.ts";
import { exchange } from "./graph-exchange.ts";
import { messageBody } from "./message-body.ts";

export interface CloudMessageSenderOptions {
  /** `https://graph.facebook.com`, or the sandbox's. */
  readonly baseUrl: string;
  /** `v23.0`. */
  readonly version: string;
  /** Access tokens by phone number id. */
  readonly channels: ReadonlyMap<string, string>;
  /** For channels that are not among them. */
  readonly accessToken?: string;
  /** How long one request may take at most, milliseconds; 10 s when left out. */
  readonly requestTimeoutMs?: number;
  readonly clock: Clock;
  readonly log: Log;
}

const REQUEST_TIMEOUT_MS = 10_000;
/** Less time than this is not worth a request. */
const LEAST_TIME_MS = 50;

/**
 * Sends messages by Meta's Graph API: `POST /<version>/<phone number id>/messages`. One request each; whether a failed one is
 * tried again is for the router to decide. What may have gone out all the same is `uncertain`: Meta has no key by which it
 * would know a repetition.
 */
export class CloudMessageSender implements MessageSenderPort {
  readonly #options: CloudMessageSenderOptions;
  readonly #stopped = new AbortController();

  constructor(options: CloudMessageSenderOptions) {
    this.#options = options;
  }

  async send(message: OutgoingMessage, deadline: Instant): Promise<SendOutcome> {
    const { baseUrl, version, channels, clock, log } = this.#options;
    const { channelId } = message;
    const accessToken = channels.get(channelId) ?? this.#options.accessToken;
    if (accessToken === undefined || accessToken === "")
      return refusedHere(
        "unauthorised",
        "There is no access token for this channel.",
        "Set meta.access_token or the channel's own.",
      );
    const body = messageBody(message);
    if (body === undefined)
      return refusedHere("unknown_recipient", "The recipient has neither a number nor a user id.");
    const timeoutMs = Math.min(this.#options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS, deadline - clock.now());
    if (timeoutMs < LEAST_TIME_MS)
      return failed({ ...nowhere, code: "timeout", message: "No time was left.", retryable: true });
    const url = `${baseUrl.replace(/\/+$/, "")}/${version}/${encodeURIComponent(channelId)}/messages`;
    const sentAt = clock.now();
    const came = await exchange({ url, accessToken, body, timeoutMs, signal: this.#stopped.signal }, clock);
    const facts = { channel_id: channelId, message_id: message.id, took_ms: clock.now() - sentAt, came: came.type };
    log.debug(came.type === "success" ? facts : { ...facts, http_status: came.httpStatus }, "Graph message");
    return outcomeOf(came);
  }

  /** Gives up what is under way; later requests fail at once. May be called twice. */
  stop(): void {
    this.#stopped.abort();
  }
}

const nowhere = { httpStatus: 0, retryable: false, uncertain: false } as const;

function failed(failure: SendFailure): SendOutcome {
  return { ok: false, failure };
}

function refusedHere(code: string, message: string, hint?: string): SendOutcome {
  return failed({ ...nowhere, code, message, ...(hint === undefined ? {} : { hint }) });
}

function outcomeOf(came: Exchange): SendOutcome {
  if (came.type === "success") {
    const [sent] = objectsIn(came.answer["messages"]);
    const id = textAt(sent, "id", 400);
    if (id !== undefined) return { ok: true, providerMessageId: id };
    const message = "Meta took the message, and did not say as what.";
    return failed({ code: "not_understood", message, httpStatus: 200, retryable: false, uncertain: true });
  }
  const { httpStatus } = came;
  if (came.type === "lost") {
    const { hint } = judge(0, undefined, 0, false);
    return failed({
      code: "unreachable",
      message: came.message,
      httpStatus,
      retryable: true,
      uncertain: came.sent,
      hint,
    });
  }
  const { code, subcode, message, details, transient } = came.refusal;
  const { retry, hint } = judge(code, subcode, httpStatus, transient);
  return failed({
    code: wordOf(code, httpStatus, retry === "throttled"),
    message: details === undefined ? message : `${message}: ${details}`,
    ...(code === 0 ? {} : { providerCode: code }),
    httpStatus,
    retryable: retry !== "never",
    // Meta's own error object says that nothing was sent; a 5xx of something in between says nothing.
    uncertain: code === 0 && httpStatus >= 500,
    ...(came.retryAfterMs === undefined ? {} : { retryAfterMs: came.retryAfterMs }),
    hint,
  });
}

/** Meta's codes that ponte or a person treats in a way of their own. */
const words: ReadonlyMap<number, string> = new Map([
  [131047, "window_closed"],
  [131026, "unknown_recipient"],
  [131030, "unknown_recipient"],
  [131021, "unknown_recipient"],
  [131062, "unknown_recipient"],
  [131031, "account_blocked"],
  [368, "account_blocked"],
  [131042, "payment_required"],
  [131044, "payment_required"],
  [131049, "not_delivered_by_meta"],
  [131050, "recipient_opted_out"],
  [190, "unauthorised"],
  [10, "unauthorised"],
  [3, "unauthorised"],
]);

function wordOf(code: number, httpStatus: number, throttled: boolean): string {
  if (throttled) return "rate_limited";
  if (httpStatus === 401) return "unauthorised";
  if (code >= 132_000 && code < 133_000) return "template_refused";
  return words.get(code) ?? (httpStatus >= 500 ? "provider_error" : "refused");
}
