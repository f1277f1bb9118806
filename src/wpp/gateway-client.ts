import { isObject, objectAt, textAt } from "#core/json-read.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { QrCode } from "#router/services.ts";
import type { Exchange } from "./gateway-http.ts";
import { exchange } from "./gateway-http.ts";
import type { GatewayChannel } from "./gateway-reading.ts";
import { readChannel, readChannels, readMessageId, readQr } from "./gateway-reading.ts";

export interface WppGatewayOptions {
  /** `http://gateway:3000`, without `/api`. */
  readonly baseUrl: string;
  readonly secret: string;
  /** How long one request may take, milliseconds. */
  readonly requestTimeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** 0 to 1, for the jitter of pauses. */
  readonly random: () => number;
}

/** Why the gateway did not do it. */
export interface GatewayFailure {
  /** `unreachable`, `unauthorised`, `not_found`, `conflict`, `rate_limited`, `refused`, `gateway_error`, `not_understood`. */
  readonly code: string;
  readonly message: string;
  /** 0: no answer came. */
  readonly httpStatus: number;
  readonly retryable: boolean;
  /** It may have been done all the same. */
  readonly uncertain: boolean;
  readonly retryAfterMs?: number;
}

export type GatewayOutcome<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly failure: GatewayFailure };

/** A message as the gateway takes it. */
export interface GatewayMessage {
  readonly channelId: string;
  /** `5511987654321@c.us`, `…@lid`, `…@g.us`. */
  readonly to: string;
  readonly text: string;
  readonly replyTo?: string;
  /** Sent along; a gateway that knows `Idempotency-Key` sends one message for it. */
  readonly idempotencyKey: string;
}

export interface GatewayWebhookTarget {
  readonly url: string;
  readonly secret: string;
}

const EVENTS = ["message", "message.ack", "connection.update"];
/** What may be repeated is repeated this often. */
const MAX_ATTEMPTS = 3;
const FIRST_PAUSE_MS = 200;
const MAX_MESSAGE_LENGTH = 300;

/**
 * The HTTP API of a WPP Gateway. Reading, creating a channel and setting a webhook come to the same when they are done twice, so
 * they are repeated after silence and 5xx; a message never is: whether it went out is for its sender to judge. Never throws.
 */
export class WppGatewayClient {
  readonly #options: WppGatewayOptions;
  readonly #stopped = new AbortController();

  constructor(options: WppGatewayOptions) {
    this.#options = options;
  }

  /** Exists already: as if it had been made. */
  async createChannel(channelId: string, name?: string): Promise<GatewayOutcome<GatewayChannel>> {
    const body = { channel: channelId, ...(name === undefined ? {} : { name }) };
    const came = await this.#repeat("POST", "/api/channels", body);
    if (came.type === "answer" && came.httpStatus === 409) return this.channel(channelId);
    // An answer without a body is one as well: the channel's name is known.
    return this.#read(came, ({ json }) => readChannel(json, channelId) ?? { channelId });
  }

  async channels(): Promise<GatewayOutcome<readonly GatewayChannel[]>> {
    return this.#read(await this.#repeat("GET", "/api/channels"), ({ json }) => readChannels(json));
  }

  async channel(channelId: string): Promise<GatewayOutcome<GatewayChannel>> {
    const came = await this.#repeat("GET", `/api/channels/${encodeURIComponent(channelId)}`);
    return this.#read(came, ({ json }) => readChannel(json, channelId));
  }

  /** Undefined: there is none now, as the channel is starting or connected. */
  async qr(channelId: string): Promise<GatewayOutcome<QrCode | undefined>> {
    const came = await this.#repeat("GET", `/api/channels/${encodeURIComponent(channelId)}/qr`);
    if (came.type === "answer" && [202, 204, 404, 409, 425].includes(came.httpStatus))
      return { ok: true, value: undefined };
    const outcome = this.#read(came, ({ bytes, contentType }) => ({ qr: readQr(bytes, contentType) }));
    return outcome.ok ? { ok: true, value: outcome.value.qr } : outcome;
  }

  /** Resolves with the gateway's id of the message. */
  async send(message: GatewayMessage, timeoutMs = this.#options.requestTimeoutMs): Promise<GatewayOutcome<string>> {
    const { channelId, to, text, replyTo, idempotencyKey } = message;
    const body = {
      channel: channelId,
      to,
      type: "text",
      text,
      ...(replyTo === undefined ? {} : { reply_to: replyTo }),
      idempotency_key: idempotencyKey,
    };
    const headers = { "idempotency-key": idempotencyKey };
    const came = await this.#once(
      "POST",
      "/api/messages",
      body,
      Math.min(timeoutMs, this.#options.requestTimeoutMs),
      headers,
    );
    const outcome = this.#read(came, ({ json }) => readMessageId(json));
    // It was taken, and nobody can say as what: its acks will not be known.
    if (!outcome.ok && outcome.failure.code === "not_understood")
      return { ok: false, failure: { ...outcome.failure, uncertain: true, retryable: false } };
    return outcome;
  }

  /** For every channel that has no webhook of its own. */
  async setDefaultWebhook(target: GatewayWebhookTarget): Promise<GatewayOutcome<true>> {
    return this.#read(await this.#repeat("POST", "/api/webhooks", { ...target, events: EVENTS }), () => true);
  }

  async setWebhook(channelId: string, target: GatewayWebhookTarget): Promise<GatewayOutcome<true>> {
    const path = `/api/channels/${encodeURIComponent(channelId)}/webhook`;
    return this.#read(await this.#repeat("POST", path, { ...target, events: EVENTS }), () => true);
  }

  /** Gives up what is under way; later requests fail at once. May be called twice. */
  stop(): void {
    this.#stopped.abort();
  }

  async #repeat(method: "GET" | "POST", path: string, body?: object): Promise<Exchange> {
    for (let attempt = 1; ; attempt++) {
      const came = await this.#once(method, path, body, this.#options.requestTimeoutMs);
      const worth = came.type === "lost" || came.httpStatus >= 500;
      if (!worth || attempt >= MAX_ATTEMPTS || this.#stopped.signal.aborted) return came;
      await this.#pause(Math.round(FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + this.#options.random() / 2)));
    }
  }

  async #once(
    method: "GET" | "POST",
    path: string,
    body: object | undefined,
    timeoutMs: number,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Exchange> {
    const { baseUrl, secret, clock, log } = this.#options;
    const url = `${baseUrl.replace(/\/+$/, "")}${path}`;
    const sentAt = clock.now();
    const signal = this.#stopped.signal;
    const came = await exchange({ method, url, secret, timeoutMs, headers, signal, ...(body && { body }) }, clock);
    const end = came.type === "answer" ? { http_status: came.httpStatus } : { reason: came.message };
    log.debug({ method, path, took_ms: clock.now() - sentAt, ...end }, "gateway request");
    return came;
  }

  #pause(pauseMs: number): Promise<void> {
    const { signal } = this.#stopped;
    return new Promise((resolve) => {
      const end = () => {
        stopTimer();
        signal.removeEventListener("abort", end);
        resolve();
      };
      const stopTimer = this.#options.clock.after(pauseMs, end);
      signal.addEventListener("abort", end, { once: true });
    });
  }

  #read<T>(came: Exchange, read: (answer: Extract<Exchange, { type: "answer" }>) => T | undefined): GatewayOutcome<T> {
    if (came.type === "lost")
      return fail({ code: "unreachable", message: came.message, httpStatus: 0, retryable: true, uncertain: came.sent });
    const { httpStatus, json, retryAfterMs } = came;
    const refusedInside = isObject(json) && (json["success"] === false || json["ok"] === false);
    if (httpStatus >= 200 && httpStatus < 300 && !refusedInside) {
      const value = read(came);
      if (value !== undefined) return { ok: true, value };
      const message = "the answer is not one that ponte understands";
      return fail({ code: "not_understood", message, httpStatus, retryable: false, uncertain: false });
    }
    const message = messageOf(json)?.replaceAll(this.#options.secret, "[secret]") ?? `HTTP status ${httpStatus}`;
    const code = codeOf(httpStatus, message);
    const retryable = code === "gateway_error" || code === "rate_limited" || code === "disconnected";
    // A 5xx may have failed after the deed; 503 is how gateways say that they did not try.
    const uncertain = code === "gateway_error" && httpStatus !== 503;
    return fail({
      code,
      message,
      httpStatus,
      retryable,
      uncertain,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    });
  }
}

function fail<T>(failure: GatewayFailure): GatewayOutcome<T> {
  return { ok: false, failure };
}

function codeOf(httpStatus: number, message: string): string {
  if (httpStatus === 401 || httpStatus === 403) return "unauthorised";
  if (httpStatus === 429) return "rate_limited";
  // The phone is off, or was logged out: gateways have no status of their own for it, only words.
  if (
    httpStatus >= 400 &&
    /not connected|disconnected|not logged|no session|session.{0,20}(closed|not active)/i.test(message)
  )
    return "disconnected";
  if (httpStatus === 404) return "not_found";
  if (httpStatus === 409) return "conflict";
  return httpStatus >= 500 ? "gateway_error" : "refused";
}

function messageOf(json: unknown): string | undefined {
  if (!isObject(json)) return undefined;
  const error = objectAt(json, "error");
  return (
    textAt(error, "message", MAX_MESSAGE_LENGTH) ??
    textAt(json, "message", MAX_MESSAGE_LENGTH) ??
    textAt(json, "error", MAX_MESSAGE_LENGTH)
  );
}
