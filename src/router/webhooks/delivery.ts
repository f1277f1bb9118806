import { randomBytes } from "node:crypto";
import { Agent as HttpAgent } from "node:http";
import { Agent as HttpsAgent } from "node:https";
import type { Instant } from "#core/call/call.ts";
import type { CommunicationEvent } from "#core/event/event.ts";
import { redactText } from "#core/privacy.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { DeliveryAttempt, Endpoint, WebhookDeliveryPort, WebhookOutcome } from "#router/ports.ts";
import type { Resolve } from "./guard.ts";
import { guardTarget, systemResolve } from "./guard.ts";
import { readReply } from "./reply.ts";
import type { PinnedAnswer } from "./request.ts";
import { postPinned } from "./request.ts";
import { signWebhook } from "./signature.ts";

export interface WebhookDeliveryOptions {
  /** Endpoints that say so may have private addresses and http; false: none may, whatever they say. */
  readonly allowPrivate: boolean;
  /** How long one request may take, milliseconds. */
  readonly timeoutMs: number;
  readonly clock: Clock;
  readonly log: Log;
  /** The system's when left out. */
  readonly resolve?: Resolve;
  /** In place of the system's certificate authorities, for tests. */
  readonly ca?: string;
}

/** What is kept of an answer for people, characters. */
const MAX_KEPT_ANSWER = 1_000;
const MAX_RETRY_AFTER_MS = 3_600_000;
/** Less time than this is not worth a request. */
const LEAST_TIME_MS = 50;
/** Connections to one host at once, and how long an idle one waits for the next event. */
const MAX_SOCKETS = 20;
const IDLE_SOCKET_MS = 15_000;

type Sockets = Readonly<Record<"http:" | "https:", HttpAgent | HttpsAgent>>;

/** Sends events to endpoints: signed, to checked addresses only, and what the answer asks for is read. */
export class WebhookDelivery implements WebhookDeliveryPort {
  readonly #options: WebhookDeliveryOptions;
  readonly #stopped = new AbortController();
  /** Apart, so that no endpoint gets a connection that only another one was allowed to make. */
  readonly #sockets: Readonly<Record<"public" | "private", Sockets>>;

  constructor(options: WebhookDeliveryOptions) {
    this.#options = options;
    const common = { keepAlive: true, maxSockets: MAX_SOCKETS, timeout: IDLE_SOCKET_MS };
    const sockets = (): Sockets => ({
      "http:": new HttpAgent(common),
      "https:": new HttpsAgent({ ...common, ...(options.ca === undefined ? {} : { ca: options.ca }) }),
    });
    this.#sockets = { public: sockets(), private: sockets() };
  }

  /** Gives up what is under way. May be called twice. */
  stop(): void {
    this.#stopped.abort();
    for (const sockets of Object.values(this.#sockets)) {
      sockets["http:"].destroy();
      sockets["https:"].destroy();
    }
  }

  async deliver(
    event: CommunicationEvent,
    endpoint: Endpoint,
    secrets: readonly string[],
    deadline: Instant,
  ): Promise<WebhookOutcome> {
    const { clock, log, timeoutMs } = this.#options;
    const at = clock.now();
    const budgetMs = Math.min(timeoutMs, deadline - at);
    const failed = (error: string, retryable: boolean): WebhookOutcome => {
      log.info({ endpoint_id: endpoint.id, event_id: event.eventId, error }, "webhook could not be delivered");
      return { ok: false, attempt: { at, tookMs: clock.now() - at, error }, retryable };
    };
    if (budgetMs < LEAST_TIME_MS) return failed("timeout", true);
    // Nobody could tell it from a forged one.
    if (secrets.length === 0) return failed("no_secret", false);
    const abort = new AbortController();
    const stopTimer = clock.after(budgetMs, () => abort.abort("timeout"));
    const signal = AbortSignal.any([abort.signal, this.#stopped.signal]);
    try {
      const answer = await this.#post(event, endpoint, secrets, signal);
      if (typeof answer === "string") return failed(answer, answer === "unknown_host");
      return this.#judge(answer, event, endpoint, secrets, at);
    } catch (error) {
      return failed(this.#stopped.signal.aborted ? "stopped" : abort.signal.aborted ? "timeout" : wordOf(error), true);
    } finally {
      stopTimer();
    }
  }

  /** The answer, or why nothing was sent. */
  async #post(
    event: CommunicationEvent,
    endpoint: Endpoint,
    secrets: readonly string[],
    signal: AbortSignal,
  ): Promise<PinnedAnswer | string> {
    const { clock, resolve = systemResolve } = this.#options;
    const allowPrivate = this.#options.allowPrivate && endpoint.allowPrivate;
    const target = await whileOpen(guardTarget(endpoint.url, { allowPrivate, resolve }), signal);
    if (!target.ok) return target.code;
    const { url, addresses } = target;
    const body = Buffer.from(JSON.stringify(webhookBody(event)));
    const span = randomBytes(8).toString("hex");
    const headers = {
      "content-type": "application/json",
      "user-agent": "ponte",
      "ponte-event-id": event.eventId,
      "ponte-event-type": event.type,
      "ponte-signature": signWebhook(body, secrets, Math.floor(clock.now() / 1_000)),
      traceparent: `00-${event.traceId}-${span}-01`,
    };
    const agent = this.#sockets[allowPrivate ? "private" : "public"][url.protocol === "https:" ? "https:" : "http:"];
    return postPinned({ url, addresses, headers, body, signal, agent });
  }

  #judge(
    { status, body, cut, retryAfter }: PinnedAnswer,
    event: CommunicationEvent,
    endpoint: Endpoint,
    secrets: readonly string[],
    at: Instant,
  ): WebhookOutcome {
    const { clock, log } = this.#options;
    const ok = status >= 200 && status < 300;
    const { reply, problem } = ok && !cut ? readReply(body) : {};
    const facts = { endpoint_id: endpoint.id, event_id: event.eventId, status, took_ms: clock.now() - at };
    if (problem !== undefined) log.warn({ ...facts, problem }, "answer of a webhook is not understood");
    else log.debug(facts, ok ? "webhook delivered" : "webhook was refused");
    const response = keptAnswer(body, secrets);
    const attempt: DeliveryAttempt = {
      at,
      tookMs: clock.now() - at,
      status,
      ...(ok ? (problem === undefined ? {} : { error: "bad_reply" }) : { error: "status" }),
      ...(response === "" ? {} : { response }),
    };
    if (ok) return { ok: true, attempt, ...(reply === undefined ? {} : { reply }) };
    const retryAfterMs = retryAfterOf(retryAfter, clock.now());
    // 410: gone for good (RFC 9110 §15.5.11). Everything else may be a mistake that somebody mends.
    return { ok: false, attempt, retryable: status !== 410, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
  }
}

/** Why an endpoint cannot have this address, for whoever saves it; undefined: it can. */
export async function refuseUrl(
  url: string,
  allowPrivate: boolean,
  resolve: Resolve = systemResolve,
): Promise<string | undefined> {
  const verdict = await guardTarget(url, { allowPrivate, resolve });
  return verdict.ok ? undefined : verdict.message;
}

/** What a receiver gets. The same bytes at every attempt; only the signature's time differs. */
export function webhookBody(event: CommunicationEvent): object {
  return {
    id: event.eventId,
    type: event.type,
    tenant_id: event.tenantId,
    source_system: event.sourceSystem,
    external_id: event.externalId,
    trace_id: event.traceId,
    ...(event.provider === undefined ? {} : { provider: event.provider, channel_id: event.channelId }),
    occurred_at: new Date(event.occurredAt).toISOString(),
    received_at: new Date(event.receivedAt).toISOString(),
    payload_version: event.payloadVersion,
    payload: event.payload,
  };
}

/** For people: text only, its beginning, without our secrets and without what looks like one. */
function keptAnswer(body: Buffer, secrets: readonly string[]): string {
  const text = body.toString("utf8").toWellFormed().replaceAll("\0", "");
  const open = secrets.reduce((kept, secret) => (secret === "" ? kept : kept.replaceAll(secret, "[secret]")), text);
  // Redacted before it is cut: half a secret would not be recognised.
  return redactText(open, { phoneNumbers: "full", digits: "shown" }).slice(0, MAX_KEPT_ANSWER);
}

/** Seconds, or a date (RFC 9110 §10.2.3). */
function retryAfterOf(header: string | undefined, now: Instant): number | undefined {
  if (header === undefined) return undefined;
  const ms = /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : Date.parse(header) - now;
  return Number.isNaN(ms) || ms <= 0 ? undefined : Math.min(ms, MAX_RETRY_AFTER_MS);
}

/** `whole`, or a rejection as soon as the signal is aborted: a resolver cannot be interrupted. */
function whileOpen<T>(whole: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    signal.addEventListener("abort", end, { once: true });
    whole.then(resolve, reject).finally(() => signal.removeEventListener("abort", end));
  });
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection_refused",
  ECONNRESET: "connection_lost",
  EPIPE: "connection_lost",
  ETIMEDOUT: "timeout",
  EHOSTUNREACH: "unreachable",
  ENETUNREACH: "unreachable",
  ENOTFOUND: "unknown_host",
};

/** A stable word. */
function wordOf(error: unknown): string {
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
  if (/CERT|^ERR_TLS_|^ERR_SSL_|^UNABLE_TO_|SELF_SIGNED|ALTNAME/.test(code)) return "certificate";
  if (code.startsWith("HPE_")) return "bad_answer";
  return Object.hasOwn(words, code) ? (words[code] ?? "failed") : "failed";
}
