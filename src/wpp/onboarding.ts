import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import { newEvent } from "#core/event/draft.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { ChannelChange, ChannelDirectoryPort, EventIntakePort, EventLogPort } from "#router/ports.ts";
import type { OnboardingPort, Outcome, QrCode, Refusal } from "#router/services.ts";
import type { GatewayFailure, WppGatewayClient } from "./gateway-client.ts";
import type { GatewayChannel } from "./gateway-reading.ts";
import { normalise } from "./normalise.ts";

export interface OnboardingOptions {
  readonly gateway: Pick<WppGatewayClient, "createChannel" | "channel" | "qr" | "setWebhook">;
  readonly channels: ChannelDirectoryPort;
  readonly events: Pick<EventLogPort, "unpark">;
  readonly intake: EventIntakePort;
  /** Our own address as the gateway reaches it, `https://ponte.example/api/whatsapp/webhook`; without it no webhook is set. */
  readonly webhookUrl?: string | undefined;
  /** Channels of the gateway that a tenant may have. */
  readonly channelsPerTenant: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (count: number) => Uint8Array;
}

const PROVIDER = "wpp_gateway";
const SECRET_BYTES = 32;
/** Channels that a refusal names. */
const MAX_NAMED = 5;
/** Where a channel's metadata keep the address that its webhook was set to. */
const WEBHOOK_URL = "webhook_url";

/**
 * Connects a tenant's channel. Every step may be taken again: what is done already stays, so that an attempt which ended in the
 * middle is taken up by the next one.
 *
 *     enable ──▶ row here ──▶ channel at the gateway ──▶ qr ──▶ refresh: connected ──▶ webhook set
 */
export class Onboarding implements OnboardingPort {
  readonly #options: OnboardingOptions;

  constructor(options: OnboardingOptions) {
    this.#options = options;
  }

  async enable(
    tenantId: string,
    request: { readonly channelId?: string; readonly name?: string },
  ): Promise<Outcome<Channel>> {
    const { channels, events, gateway, log } = this.#options;
    const mine = (await channels.list(tenantId)).filter(({ provider }) => provider === PROVIDER);
    const known =
      request.channelId === undefined ? mine[0] : mine.find(({ channelId }) => channelId === request.channelId);
    if (known === undefined && mine.length >= this.#options.channelsPerTenant) return this.#tooMany(mine);
    const channelId = known?.channelId ?? request.channelId ?? nameOf(tenantId);
    const named = request.name === undefined ? {} : { name: request.name };
    // The gateway may have made it anew since, and then knows nothing of our webhook.
    const row =
      known === undefined
        ? await channels.put({ tenantId, provider: PROVIDER, channelId, state: "new", enabled: true, ...named })
        : await channels.change(known.id, { enabled: true, webhookConfigured: false, ...named });
    if (row === undefined) return unknown;
    if (row === "taken") return refusal(409, "channel_taken", "Another tenant has a channel of this name.");
    // Also for a channel that is known: an earlier attempt may have ended before this.
    const taken = await events.unpark(PROVIDER, channelId, tenantId);
    if (taken > 0) log.info({ channel_id: channelId, events: taken }, "parked events were taken up");
    const made = await gateway.createChannel(channelId, request.name);
    if (!made.ok) return refusalOf(made.failure);
    return this.#settle(row, made.value.state === undefined ? { ...made.value, state: "connecting" } : made.value);
  }

  async refresh(tenantId: string, id: string): Promise<Outcome<Channel>> {
    const channel = await this.#mine(tenantId, id);
    if (channel === undefined) return unknown;
    const { channels, gateway } = this.#options;
    const seen = await gateway.channel(channel.channelId);
    if (seen.ok) return this.#settle(channel, seen.value);
    // A gateway that lost it, with its disk for instance, lost its webhook too: nothing comes over it any more.
    if (seen.failure.code === "not_found") {
      if (channel.webhookConfigured) await channels.change(channel.id, { webhookConfigured: false });
      await this.#settle(channel, { channelId: channel.channelId, state: "disconnected" });
    }
    return refusalOf(seen.failure);
  }

  async qr(tenantId: string, id: string): Promise<Outcome<QrCode>> {
    const channel = await this.#mine(tenantId, id);
    if (channel === undefined) return unknown;
    const code = await this.#options.gateway.qr(channel.channelId);
    if (!code.ok) return refusalOf(code.failure);
    if (code.value !== undefined) {
      if (channel.state !== "qr") await this.#settle(channel, { channelId: channel.channelId, state: "qr" });
      return { ok: true, value: code.value };
    }
    const now = await this.refresh(tenantId, id);
    if (!now.ok) return now;
    if (now.value.state === "connected")
      return refusal(409, "already_connected", "The channel is connected: there is nothing to scan.");
    return refusal(409, "qr_not_ready", "The gateway has no QR code yet.", "Ask again in a few seconds.");
  }

  async disable(tenantId: string, id: string): Promise<Outcome<Channel>> {
    if ((await this.#mine(tenantId, id)) === undefined) return unknown;
    const changed = await this.#options.channels.change(id, { enabled: false });
    return changed === undefined ? unknown : { ok: true, value: changed };
  }

  #tooMany(mine: readonly Channel[]): Refusal {
    const { channelsPerTenant } = this.#options;
    const names = mine.slice(0, MAX_NAMED).map(({ channelId }) => channelId);
    const message = `This tenant has ${mine.length} of ${channelsPerTenant} channels already: ${names.join(", ")}.`;
    return refusal(409, "channel_exists", message, "Raise wpp.channels_per_tenant to connect another one.");
  }

  /** Whether the channel's webhook was set to another address than ours is now; undefined: ours is not known. */
  isElsewhere({ channelId, metadata }: Channel): boolean | undefined {
    const url = this.#urlOf(channelId);
    return url === undefined ? undefined : metadata[WEBHOOK_URL] !== url;
  }

  #urlOf(channelId: string): string | undefined {
    const base = this.#options.webhookUrl;
    return base === undefined ? undefined : `${base.replace(/\/+$/, "")}/${encodeURIComponent(channelId)}`;
  }

  async #mine(tenantId: string, id: string): Promise<Channel | undefined> {
    const channel = await this.#options.channels.get(tenantId, id);
    return channel?.provider === PROVIDER ? channel : undefined;
  }

  /**
   * Notes what the gateway says, tells of a connection that came or went, and sets the webhook of a connected channel. The page,
   * the command line and every node's chore come here at once: whoever moves the channel tells, and the others go on from there.
   */
  async #settle(channel: Channel, seen: GatewayChannel): Promise<Outcome<Channel>> {
    const { channels, log } = this.#options;
    const state = seen.state ?? channel.state;
    const change: ChannelChange = {
      ...(state === channel.state ? {} : { state }),
      ...(seen.phone === undefined || seen.phone === channel.phone ? {} : { phone: seen.phone }),
    };
    const changes = Object.keys(change).length > 0;
    const moved = changes ? await channels.change(channel.id, change, channel.state) : undefined;
    const now = moved ?? (changes ? await channels.get(channel.tenantId, channel.id) : channel);
    if (now === undefined) return unknown;
    if (moved !== undefined && state !== channel.state) {
      log.info({ channel_id: channel.channelId, from: channel.state, to: state }, "WhatsApp channel changed its state");
      if (state === "connected" || channel.state === "connected") await this.#tell(now, seen);
    }
    if (now.state !== "connected" || (now.webhookConfigured && this.isElsewhere(now) !== true))
      return { ok: true, value: now };
    return this.#setWebhook(now);
  }

  /** The same event as the gateway's own webhook would bring, which may not be set yet, or may not have come. */
  async #tell(channel: Channel, seen: GatewayChannel): Promise<void> {
    const { intake, clock, log, randomBytes } = this.#options;
    if (channel.state === "disconnected")
      log.warn({ channel_id: channel.channelId }, "WhatsApp channel lost its connection");
    const receivedAt = clock.now();
    const data = { state: channel.state, reason: seen.word, phone: seen.phone, timestamp: receivedAt };
    const envelope = { kind: "connection", channel: channel.channelId, data, around: {} } as const;
    const told = normalise(envelope, channel.channelId, receivedAt);
    if (told.is !== "event") return;
    try {
      await intake.accept(newEvent(told.draft, { tenantId: channel.tenantId, receivedAt }, randomBytes(32)));
    } catch (error) {
      if (!(error instanceof PonteError)) throw error;
      log.error({ channel_id: channel.channelId, error: error.message }, "connection update could not be stored");
    }
  }

  async #setWebhook(channel: Channel): Promise<Outcome<Channel>> {
    const { channels, gateway, log, randomBytes } = this.#options;
    const url = this.#urlOf(channel.channelId);
    if (url === undefined) {
      log.warn({ channel_id: channel.channelId }, "channel is connected, and wpp.webhook_url is not set");
      return { ok: true, value: channel };
    }
    // Stored first: the gateway may use it before it has answered.
    const fresh = Buffer.from(randomBytes(SECRET_BYTES)).toString("base64url");
    const secret = await channels.keepSecret(channel.id, fresh);
    if (secret === undefined) return unknown;
    const set = await gateway.setWebhook(channel.channelId, { url, secret });
    if (!set.ok) return refusalOf(set.failure);
    const metadata = { ...channel.metadata, [WEBHOOK_URL]: url };
    const changed = await channels.change(channel.id, { webhookConfigured: true, metadata });
    return changed === undefined ? unknown : { ok: true, value: changed };
  }
}

/** A name that no other tenant's channel has: the end of a UUID is the part that is random. */
function nameOf(tenantId: string): string {
  return `ponte-${tenantId.replace(/[^\w]/g, "").slice(-12).toLowerCase()}`;
}

function refusal(status: number, code: string, message: string, hint?: string): Refusal {
  return { ok: false, status, code, message, ...(hint === undefined ? {} : { hint }) };
}

const unknown = refusal(404, "unknown_channel", "There is no such channel of the gateway.");

function refusalOf({ code, message, httpStatus }: GatewayFailure): Refusal {
  switch (code) {
    case "unreachable":
      return refusal(503, "gateway_unreachable", `The gateway did not answer: ${message}.`, "Check wpp.base_url.");
    case "unauthorised":
      return refusal(502, "gateway_refused_us", "The gateway does not know our secret.", "Check wpp.secret.");
    case "not_found":
      return refusal(409, "unknown_to_gateway", "The gateway does not know the channel.", "Connect it again.");
    case "rate_limited":
      return refusal(503, "gateway_busy", "The gateway asks to wait.");
    default:
      return refusal(502, "gateway_failed", `The gateway answered ${httpStatus}: ${message}`);
  }
}
