import type { Instant } from "#core/call/call.ts";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import type { EventDraft } from "#core/event/draft.ts";
import { newEvent } from "#core/event/draft.ts";
import type { EventId, TraceId } from "#core/event/event.ts";
import { eventType } from "#core/event/event.ts";
import { traceIdOf } from "#core/event/trace.ts";
import { isTooDeep, MAX_JSON_DEPTH, parseJson } from "#core/json-read.ts";
import type { Clock, Log } from "#engine/ports.ts";
import { ChannelCache } from "#router/channel-cache.ts";
import type { ChannelDirectoryPort, EventIntakePort, EventLogPort } from "#router/ports.ts";
import type { GatewayWebhookPort, Refusal, WebhookRequest } from "#router/services.ts";
import type { Envelope } from "./envelope.ts";
import { isChannelName, MAX_ENVELOPES, readEnvelopes } from "./envelope.ts";
import { normalise } from "./normalise.ts";
import type { Proof } from "./proof.ts";
import { proofOf } from "./proof.ts";
import { ChannelSecrets } from "./secrets.ts";

export interface GatewayWebhookOptions {
  readonly intake: EventIntakePort;
  readonly channels: Pick<ChannelDirectoryPort, "find" | "secret">;
  /** Secrets that are good for every channel, and the only ones for channels that nobody has claimed. */
  readonly secrets: readonly string[];
  /** False: a request that shows no secret at all is taken too; a wrong one never is. */
  readonly secretRequired: boolean;
  /**
   * Gateways mark a message as read at a 2xx. That always waits for the commit; with this it also waits until the message was
   * processed: 503 until then, and the gateway brings it again.
   */
  readonly deferRead?: { readonly events: Pick<EventLogPort, "load"> };
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (count: number) => Uint8Array;
}

/** Since the start. */
export type GatewayCounters = Readonly<Record<Count, number>>;
type Count =
  | "accepted"
  | "duplicates"
  | "conflicts"
  | "parked"
  | "ignored"
  | "switched_off"
  | "problems"
  | "unauthorised"
  | "unreadable"
  | "too_large"
  | "store_failures"
  | "refused";

/** Pictures come in base64 inside of messages. */
export const MAX_GATEWAY_BODY_BYTES = 16 * 1_048_576;
/** Bodies that wait for the store at once; beyond it the gateway is asked to come back. */
const MAX_BYTES_IN_PROGRESS = 128 * 1_048_576;
/** How long a deferred answer waits for the processing before it is a 503, and how often it looks. */
const DEFER_WAIT_MS = 2_000;
const DEFER_LOOK_MS = 100;

interface Placed {
  readonly envelope: Envelope;
  readonly channelId: string | undefined;
}
type Channels = ReadonlyMap<string, Channel | undefined>;

type Answer = Awaited<ReturnType<GatewayWebhookPort["receive"]>>;

/** Takes the gateway's webhooks: who sent it, what it says, and 200 when that is committed. */
export class GatewayWebhook implements GatewayWebhookPort {
  readonly #options: GatewayWebhookOptions;
  readonly #channels: ChannelCache;
  readonly #secrets: ChannelSecrets;
  readonly #counters = new Map<Count, number>();
  #bytesInProgress = 0;

  constructor(options: GatewayWebhookOptions) {
    this.#options = options;
    this.#channels = new ChannelCache(options.channels, options.clock);
    this.#secrets = new ChannelSecrets(options.channels, options.clock);
  }

  get counters(): Partial<GatewayCounters> {
    return Object.fromEntries(this.#counters);
  }

  async receive(request: WebhookRequest): Promise<Answer> {
    if (request.body.length > MAX_GATEWAY_BODY_BYTES) return this.#refuse("too_large", tooLarge);
    if (this.#bytesInProgress + request.body.length > MAX_BYTES_IN_PROGRESS)
      return this.#refuse("store_failures", comeBack);
    this.#bytesInProgress += request.body.length;
    try {
      return await this.#receive(request);
    } catch (error) {
      // Only the store rejects; anything else is a defect, and the gateway should bring the message again all the same.
      const expected = error instanceof PonteError;
      this.#options.log[expected ? "warn" : "error"]({ error: `${error}` }, "gateway webhook could not be stored");
      return this.#refuse("store_failures", comeBack);
    } finally {
      this.#bytesInProgress -= request.body.length;
    }
  }

  async #receive(request: WebhookRequest): Promise<Answer> {
    const { secrets, secretRequired } = this.#options;
    const byGateway = proofOf(request, secrets);
    // Nobody has to be told more who shows nothing.
    if (byGateway === "absent" && secretRequired) return this.#refuse("unauthorised", unauthorised);
    if (request.channel !== undefined && !isChannelName(request.channel)) return this.#refuse("unreadable", badChannel);
    if (request.channel !== undefined && !(await this.#mayTell(request, byGateway, request.channel)))
      return this.#refuse("unauthorised", unauthorised);

    const document = isTooDeep(request.body) ? undefined : parseJson(request.body.toString("utf8"));
    const { envelopes, tooMany } = readEnvelopes(document);
    const placed = envelopes.map((envelope) => ({ envelope, channelId: request.channel ?? envelope.channel }));
    if (request.channel === undefined) {
      const named = new Set(placed.map(({ channelId }) => channelId));
      if (named.size === 0 && byGateway === "wrong") return this.#refuse("unauthorised", unauthorised);
      for (const channelId of named)
        if (!(await this.#mayTell(request, byGateway, channelId))) return this.#refuse("unauthorised", unauthorised);
    }
    if (envelopes.length === 0) return this.#refuse("unreadable", unreadable);
    if (tooMany) return this.#refuse("too_large", tooMuch);
    if (placed.some(({ channelId }) => channelId === undefined)) return this.#refuse("unreadable", noChannel);
    const channels = await this.#channelsOf(placed);
    const wanted = placed.filter(({ channelId = "" }) => channels.get(channelId)?.enabled !== false);
    this.#count("switched_off", placed.length - wanted.length);
    // A gateway repeats what is not answered with 2xx, and lets what stands behind it wait.
    if (wanted.length === 0) return { ok: true, events: 0 };
    return this.#take(wanted, channels, traceIdOf(request.headers["traceparent"]));
  }

  async #channelsOf(placed: readonly Placed[]): Promise<Channels> {
    const channels = new Map<string, Channel | undefined>();
    for (const { channelId = "" } of placed)
      if (!channels.has(channelId)) channels.set(channelId, await this.#channels.find("wpp_gateway", channelId));
    return channels;
  }

  /** Whether the sender may speak for a channel: by its own secret, or by one of the gateway's. */
  async #mayTell(request: WebhookRequest, byGateway: Proof, channelId: string | undefined): Promise<boolean> {
    if (byGateway === "good") return true;
    if (byGateway === "absent") return !this.#options.secretRequired;
    const channel = channelId === undefined ? undefined : await this.#channels.find("wpp_gateway", channelId);
    if (channel === undefined) return false;
    for (const fresh of [false, true]) {
      const secret = await this.#secrets.of(channel, fresh);
      if (secret !== undefined && proofOf(request, [secret]) === "good") return true;
    }
    return false;
  }

  async #take(placed: readonly Placed[], channels: Channels, traceId: TraceId | undefined): Promise<Answer> {
    const receivedAt = this.#options.clock.now();
    const drafts: EventDraft[] = [];
    const problems: string[] = [];
    let ignored = 0;
    for (const { envelope, channelId = "" } of placed) {
      const result = normalise(envelope, channelId, receivedAt);
      if (result.is === "event") drafts.push(result.draft);
      else if (result.is === "problem") problems.push(result.what);
      else ignored++;
    }
    this.#count("ignored", ignored);
    this.#count("problems", problems.length);
    if (problems.length > 0)
      this.#options.log.warn({ problems: problems.slice(0, 10) }, "gateway webhook was not understood");
    if (problems.length > 0 && drafts.length + ignored === 0)
      return this.#refuse("unreadable", { ...unreadable, message: problems.slice(0, 3).join("; ") });
    // Started at once and in order; the first failure is the answer, when all have ended.
    const ends = await Promise.allSettled(
      drafts.map((draft) => this.#accept(draft, channels.get(draft.channelId ?? ""), receivedAt, traceId)),
    );
    const failed = ends.find((end) => end.status === "rejected");
    if (failed !== undefined) throw failed.reason;
    const messages = ends.flatMap((end) => (end.status === "fulfilled" && end.value !== undefined ? [end.value] : []));
    if (!(await this.#processed(messages))) return this.#refuse("store_failures", notProcessed);
    return { ok: true, events: drafts.length };
  }

  /** Resolves with the id of an incoming message that somebody has to process. */
  async #accept(
    draft: EventDraft,
    channel: Channel | undefined,
    receivedAt: Instant,
    traceId: TraceId | undefined,
  ): Promise<EventId | undefined> {
    const { intake, randomBytes, log } = this.#options;
    const origin = {
      receivedAt,
      ...(channel === undefined ? {} : { tenantId: channel.tenantId }),
      ...(traceId === undefined ? {} : { traceId }),
    };
    try {
      const { eventId, duplicate, conflict } = await intake.accept(newEvent(draft, origin, randomBytes(32)));
      this.#count(duplicate ? "duplicates" : channel === undefined ? "parked" : "accepted", 1);
      if (conflict) this.#count("conflicts", 1);
      const facts = { channel_id: draft.channelId, event_id: eventId };
      if (channel === undefined && !duplicate) log.warn(facts, "event of a channel that no tenant has was parked");
      if (draft.payload["state"] === "disconnected" && !duplicate)
        log.warn(facts, "WhatsApp channel lost its connection");
      return draft.type === eventType.inboundMessage && channel !== undefined ? eventId : undefined;
    } catch (error) {
      // It would be refused for ever; what stands behind it in the gateway's line must not wait for it.
      if (!(error instanceof PonteError) || error.code !== "event_refused") throw error;
      this.#count("refused", 1);
      log.error(
        { channel_id: draft.channelId, type: draft.type, error: error.message },
        "event of the gateway was refused",
      );
      return undefined;
    }
  }

  /** Waits a moment for messages to be processed, where that is asked for. */
  async #processed(messages: readonly EventId[]): Promise<boolean> {
    const { deferRead, clock } = this.#options;
    if (deferRead === undefined) return true;
    const until = clock.now() + DEFER_WAIT_MS;
    for (;;) {
      const states = await Promise.all(messages.map(async (id) => (await deferRead.events.load(id))?.status));
      if (states.every((status) => status === "processed" || status === "ignored" || status === "dead")) return true;
      if (clock.now() >= until) return false;
      await new Promise<void>((resolve) => clock.after(DEFER_LOOK_MS, resolve));
    }
  }

  #refuse(count: Count, refusal: Refusal): Refusal {
    this.#count(count, 1);
    const times = this.#counters.get(count) ?? 0;
    // Anybody can send nonsense, so only the 1st, 2nd, 4th, 8th, … is written down.
    if (Number.isInteger(Math.log2(times)))
      this.#options.log.warn({ code: refusal.code, times }, "gateway webhook refused");
    return refusal;
  }

  #count(count: Count, by: number): void {
    if (by > 0) this.#counters.set(count, (this.#counters.get(count) ?? 0) + by);
  }
}

const no = (status: number, code: string, message: string, hint?: string): Refusal => ({
  ok: false,
  status,
  code,
  message,
  ...(hint === undefined ? {} : { hint }),
});
const tooLarge = no(413, "body_too_large", `The body is longer than ${MAX_GATEWAY_BODY_BYTES} bytes.`);
const tooMuch = no(413, "too_many_events", `The body holds more than ${MAX_ENVELOPES} events.`);
const comeBack = no(503, "try_again", "It could not be stored now.");
const notProcessed = no(
  503,
  "not_processed_yet",
  "It is stored, and not processed yet.",
  "wpp.defer_read asks for this.",
);
const unauthorised = no(
  401,
  "wrong_secret",
  "The secret of the webhook is missing or wrong.",
  "Send X-Webhook-Secret.",
);
const badChannel = no(400, "bad_channel", "The channel in the path is no channel's name.");
const noChannel = no(400, "channel_missing", "Neither the path nor the body names a channel.");
const unreadable = no(
  400,
  "not_understood",
  `The body is no JSON of a gateway, or nests deeper than ${MAX_JSON_DEPTH}.`,
);
