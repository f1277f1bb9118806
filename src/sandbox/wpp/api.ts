import { createHash, timingSafeEqual } from "node:crypto";
import type { ChannelState } from "#core/channel/channel.ts";
import { isObject, type Json, objectAt, parseJson, proseAt, textAt } from "#core/json-read.ts";
import type { Faults } from "#sandbox/faults.ts";
import type { HttpReply } from "#sandbox/http-reply.ts";
import type { Channels, GatewayChannel } from "./channels.ts";
import type { GatewayAction, GatewayFault } from "./faults.ts";
import type { GatewayLog } from "./log.ts";
import type { GatewayModes } from "./modes.ts";
import type { Outbox } from "./outbox.ts";
import { qrPng } from "./qr.ts";
import type { GatewayTarget, GatewayWebhooks } from "./webhooks.ts";

/** One HTTP request, as the server got it. */
export interface GatewayRequest {
  readonly action: GatewayAction;
  /** From the path. */
  readonly channel?: string;
  readonly secret: string | undefined;
  readonly idempotencyKey: string | undefined;
  readonly body: string;
}

interface Options {
  readonly secret: string;
  readonly log: GatewayLog;
  readonly faults: Faults<GatewayAction, GatewayFault>;
  readonly channels: Channels;
  readonly webhooks: GatewayWebhooks;
  readonly outbox: Outbox;
  readonly modes: () => GatewayModes;
}

/** What a request came to, before it is dressed for the wire. */
type Result =
  | {
      readonly ok: true;
      readonly status: number;
      readonly value: Readonly<Record<string, unknown>> | string;
      /** What `wrapped` answers carry in its place. */
      readonly wrapped?: unknown;
      readonly onSent?: () => void;
    }
  | { readonly ok: false; readonly status: number; readonly code: string; readonly message: string };

const CHANNEL_NAME = /^[\w.-]{1,64}$/;
/** WhatsApp's own limit of a text. */
const MAX_TEXT_LENGTH = 65_536;

/** WPPConnect's words for states. */
const wrappedStates: Readonly<Record<ChannelState, string>> = {
  new: "CLOSED",
  connecting: "INITIALIZING",
  qr: "QRCODE",
  connected: "CONNECTED",
  disconnected: "CLOSED",
};

/** The gateway's HTTP API: reads a request, checks it, does what it asks for. Knows no sockets. */
export class GatewayApi {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  handle(request: GatewayRequest): HttpReply {
    if (!sameSecret(request.secret, this.#options.secret)) {
      return this.#dress(request, no(401, "unauthorized", "the header X-Gateway-Secret is missing or wrong"));
    }
    const fault = this.#options.faults.take(request.action);
    if (fault?.kind === "request_lost" || fault?.kind === "silent") {
      this.#log(request, 0);
      return { kind: fault.kind === "silent" ? "silent" : "hang_up" };
    }
    if (fault?.kind === "error") return this.#fail(request, fault);
    const result = this.#perform(request);
    if (fault?.kind === "answer_lost") {
      if (result.ok) result.onSent?.();
      this.#log(request, 0);
      return { kind: "hang_up" };
    }
    return this.#dress(request, result, fault?.kind === "slow" ? fault.delayMs : 0);
  }

  #perform(request: GatewayRequest): Result {
    const { channels } = this.#options;
    if (request.action === "list_channels") {
      const list = channels.list().map((channel) => this.#show(channel));
      return { ok: true, status: 200, value: { channels: list }, wrapped: list };
    }
    if (request.channel !== undefined) {
      const channel = channels.find(request.channel);
      if (channel === undefined) return no(404, "channel_not_found", `there is no channel ${request.channel}`);
      if (request.action === "get_channel") return { ok: true, status: 200, value: this.#show(channel) };
      if (request.action === "qr") return this.#qr(channel);
    }
    const body = parseJson(request.body);
    if (!isObject(body)) return no(400, "invalid_json", "the body must be a JSON object");
    if (request.action === "create_channel") return this.#create(body);
    if (request.action === "send") return this.#send(request, body);
    return this.#setWebhook(body, request.channel);
  }

  #create(body: Json): Result {
    const id = textAt(body, "channel", 65) ?? textAt(body, "id", 65) ?? textAt(body, "session", 65);
    if (id === undefined || !CHANNEL_NAME.test(id))
      return no(400, "invalid_channel", "channel: 1 to 64 of A-Z a-z 0-9 _ . -");
    const target = webhookIn(objectAt(body, "webhook"));
    if (target === "bad") return no(400, "invalid_webhook", "webhook.url must be an http or https address");
    const channel = this.#options.channels.create(id, textAt(body, "name", 200));
    if (channel === undefined) return no(409, "channel_exists", `there is a channel ${id} already`);
    if (target !== undefined) this.#options.webhooks.setTarget(target, id);
    return { ok: true, status: 201, value: this.#show(channel) };
  }

  #qr(channel: GatewayChannel): Result {
    const text = this.#options.channels.qr(channel.id);
    if (text === undefined) return no(409, "already_connected", "there is nothing to scan");
    const form = this.#options.modes().qr;
    if (form === "bare_text") return { ok: true, status: 200, value: text, wrapped: text };
    if (form === "text") return { ok: true, status: 200, value: { qr: text }, wrapped: { urlcode: text } };
    const base64 = qrPng(text).toString("base64");
    const image = form === "base64" ? base64 : `data:image/png;base64,${base64}`;
    return { ok: true, status: 200, value: { qr: image }, wrapped: { qrcode: image } };
  }

  #send(request: GatewayRequest, body: Json): Result {
    const { outbox, channels } = this.#options;
    const name = textAt(body, "channel", 65) ?? textAt(body, "session", 65);
    const to = textAt(body, "to", 200) ?? textAt(body, "phone", 200);
    const type = textAt(body, "type", 64) ?? "text";
    const text =
      proseAt(body, "text", MAX_TEXT_LENGTH) ??
      proseAt(objectAt(body, "text"), "body", MAX_TEXT_LENGTH) ??
      proseAt(body, "message", MAX_TEXT_LENGTH) ??
      proseAt(body, "body", MAX_TEXT_LENGTH);
    if (name === undefined || to === undefined) return no(400, "missing_field", "channel and to are needed");
    const channel = channels.find(name);
    if (channel === undefined) return no(404, "channel_not_found", `there is no channel ${name}`);
    if (type !== "text" && type !== "chat") return no(400, "unsupported_type", `messages of type ${type} are not sent`);
    if (text === undefined) return no(400, "missing_field", "text is needed");
    if (channel.state !== "connected")
      return no(409, "channel_not_connected", `channel ${name} is not connected (${channel.state})`);
    const key =
      request.idempotencyKey ?? textAt(body, "idempotency_key", 400) ?? textAt(body, "client_message_id", 400);
    const quoted = textAt(body, "reply_to", 400) ?? textAt(body, "quoted_message_id", 400);
    const sent = outbox.send({ channel, to, text, idempotencyKey: key, quoted });
    if (sent === undefined) return no(404, "number_not_on_whatsapp", `nobody at ${to} has WhatsApp`);
    const { message, depart } = sent;
    const [fromMe, remote, id] = message.id.split("_");
    return {
      ok: true,
      status: 200,
      value: { id: message.id, to: message.chat, status: "queued", timestamp: message.at },
      wrapped: {
        id: { fromMe: fromMe === "true", remote, id, _serialized: message.id },
        ack: 0,
        to: message.chat,
        t: Math.floor(message.at / 1_000),
      },
      onSent: depart,
    };
  }

  #setWebhook(body: Json, channel: string | undefined): Result {
    const target = webhookIn(body);
    if (target === undefined || target === "bad")
      return no(400, "invalid_webhook", "url must be an http or https address");
    this.#options.webhooks.setTarget(target, channel);
    const value = { url: target.url, ...(channel === undefined ? {} : { channel }), enabled: true };
    return { ok: true, status: 200, value };
  }

  #show(channel: GatewayChannel): Readonly<Record<string, unknown>> {
    const { id, state, phone, name, createdAt } = channel;
    const webhook = this.#options.webhooks.targetOf(id)?.url ?? null;
    if (this.#options.modes().answers === "wrapped") {
      return { session: id, status: wrappedStates[state], wid: phone === undefined ? null : `${phone}@c.us`, webhook };
    }
    const created = new Date(createdAt).toISOString();
    return { channel: id, name: name ?? null, state, phone: phone ?? null, webhook_url: webhook, created_at: created };
  }

  #fail(request: GatewayRequest, fault: Extract<GatewayFault, { kind: "error" }>): HttpReply {
    const { status, code = "fault", retryAfterS, text } = fault;
    const headers = retryAfterS === undefined ? {} : { "retry-after": String(retryAfterS) };
    const reply = this.#dress(request, no(status, code, "a fault on demand"));
    if (reply.kind !== "answer") return reply;
    return { ...reply, headers: { ...reply.headers, ...headers }, ...(text === undefined ? {} : { body: text }) };
  }

  #dress(request: GatewayRequest, result: Result, delayMs = 0): HttpReply {
    this.#log(request, result.status, result.ok ? undefined : result.code);
    const wrapped = this.#options.modes().answers === "wrapped";
    if (!result.ok) {
      const { status, code, message } = result;
      const body = wrapped ? { status: "error", code, message } : { error: { code, message } };
      return { kind: "answer", status, body, delayMs };
    }
    const { status, value, onSent } = result;
    const dressed =
      wrapped && typeof value !== "string" ? { status: "success", response: result.wrapped ?? value } : value;
    return { kind: "answer", status, body: dressed, delayMs, ...(onSent === undefined ? {} : { onSent }) };
  }

  #log(request: GatewayRequest, status: number, code?: string): void {
    const { action, channel } = request;
    const body = parseJson(request.body) ?? request.body;
    this.#options.log.add({
      kind: "request",
      action,
      body,
      status,
      ...(channel === undefined ? {} : { channel }),
      ...(code === undefined ? {} : { code }),
    });
  }
}

function no(status: number, code: string, message: string): Result {
  return { ok: false, status, code, message };
}

function webhookIn(body: Json | undefined): GatewayTarget | "bad" | undefined {
  if (body === undefined) return undefined;
  const url = textAt(body, "url", 2_048) ?? textAt(body, "webhook_url", 2_048) ?? "";
  if (!URL.canParse(url) || !/^https?:$/.test(new URL(url).protocol)) return "bad";
  const secret = textAt(body, "secret", 400);
  return { url, ...(secret === undefined ? {} : { secret }) };
}

/** In constant time, whatever the lengths. */
function sameSecret(given: string | undefined, right: string): boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given ?? ""), digest(right)) && given !== undefined;
}
