import { randomBytes } from "node:crypto";
import type { Config } from "#config/schema.ts";
import type { Log, SwitchboardPort } from "#engine/ports.ts";
import { Repeating } from "#engine/repeating.ts";
import { systemClock } from "#engine/system-clock.ts";
import type { RouterParts } from "#http/router-parts.ts";
import { CallEvents } from "#router/call-events.ts";
import { ChannelCare } from "#router/channel-care.ts";
import type { Senders } from "#router/ports.ts";
import { EventRouter } from "#router/router.ts";
import { refuseUrl, WebhookDelivery } from "#router/webhooks/delivery.ts";
import { retryDelayMs } from "#router/webhooks/schedule.ts";
import type { Store } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { CloudMessageSender } from "#whatsapp/message-sender.ts";
import { WppGatewayClient } from "#wpp/gateway-client.ts";
import { Onboarding } from "#wpp/onboarding.ts";
import { WppSender } from "#wpp/sender.ts";
import { GatewayWebhook } from "#wpp/webhook.ts";
import { type Life, started, stopped } from "./life.ts";
import { tokensOf } from "./wiring.ts";

const LOOK_EVERY_MS = 3_000;

export interface MessageHouse {
  readonly config: Config;
  readonly log: Log;
  readonly store: Store;
  readonly switchboard: SwitchboardPort;
  /** Our own address, once it is known. */
  httpUrl(): string | undefined;
}

interface GatewayParts {
  readonly gatewayWebhook: GatewayWebhook;
  readonly onboarding: Onboarding;
}

/** Joins the half of the daemon that is about messages and events, and starts it; what comes of it is for the HTTP side. */
export async function startMessages(life: Life, house: MessageHouse): Promise<RouterParts & Partial<GatewayParts>> {
  const { config, log, store, switchboard } = house;
  await adoptChannels(house);
  const client = gatewayClient(house);
  if (client !== undefined) await life.begin("gateway client", () => client, stopped);
  const cloud = await life.begin("message sender", () => cloudSender(house), stopped);
  const webhooks = await life.begin("outgoing webhooks", () => webhookDelivery(house), stopped);
  const senders: Senders = {
    cloud_api: cloud,
    ...(client === undefined ? {} : { wpp_gateway: new WppSender({ client, clock: systemClock }) }),
  };
  const router = await life.begin("router", () => started(eventRouter(house, senders, webhooks)), stopped);
  const shared = { intake: store.intake, channels: store.channels, clock: systemClock, log };
  await life.begin(
    "call events",
    () => started(new CallEvents({ ...shared, switchboard, tenantId: DEFAULT_TENANT })),
    stopped,
  );
  const gateway = client === undefined ? undefined : gatewayParts(house, client);
  const onboarding = gateway === undefined ? {} : { onboarding: gateway.onboarding };
  const care = new ChannelCare({ ...shared, ...onboarding, events: store.events, tenants: store.tenants });
  const task = (): Promise<void> => care.look();
  const chore = new Repeating({ name: "channels", everyMs: LOOK_EVERY_MS, task, clock: systemClock, log });
  // Its first look takes up what waited for the channels that were adopted.
  await life.begin("channels", () => started(chore), stopped);
  const { ingestion_secret } = config.events;
  return {
    tenantId: DEFAULT_TENANT,
    tenants: store.tenants,
    intake: store.intake,
    events: store.events,
    parked: store.events,
    rules: store.rules,
    channels: store.channels,
    inbox: store.conversations,
    endpoints: store.endpoints,
    deliveries: store.deliveries,
    service: router,
    allowPrivateEndpoints: config.webhooks.allow_private,
    refuseUrl,
    ...(ingestion_secret === undefined ? {} : { ingestionSecret: ingestion_secret }),
    ...gateway,
  };
}

/** The configured business numbers are channels of the default tenant, so that their messages and calls have one. */
async function adoptChannels({ config, store, log }: MessageHouse): Promise<void> {
  for (const { phone_number_id, name, enabled } of config.channels) {
    const put = await store.channels.put({
      tenantId: DEFAULT_TENANT,
      provider: "cloud_api",
      channelId: phone_number_id,
      state: "connected",
      enabled,
      ...(name === undefined ? {} : { name }),
    });
    if (put === "taken") log.warn({ channel_id: phone_number_id }, "a configured channel belongs to another tenant");
  }
}

function gatewayClient({ config, log }: MessageHouse): WppGatewayClient | undefined {
  const { base_url, secret, request_timeout_ms } = config.wpp;
  if (base_url === undefined || secret === undefined) return undefined;
  const options = { baseUrl: base_url, secret, requestTimeoutMs: request_timeout_ms };
  return new WppGatewayClient({ ...options, clock: systemClock, log, random: Math.random });
}

function cloudSender({ config, log }: MessageHouse): CloudMessageSender {
  const { meta } = config;
  return new CloudMessageSender({
    baseUrl: meta.graph_url,
    version: meta.graph_version,
    channels: tokensOf(config),
    requestTimeoutMs: meta.request_timeout_ms,
    clock: systemClock,
    log,
    ...(meta.access_token === undefined ? {} : { accessToken: meta.access_token }),
  });
}

function webhookDelivery({ config, log }: MessageHouse): WebhookDelivery {
  const { allow_private, timeout_ms } = config.webhooks;
  return new WebhookDelivery({ allowPrivate: allow_private, timeoutMs: timeout_ms, clock: systemClock, log });
}

function eventRouter({ config, store, log }: MessageHouse, senders: Senders, webhooks: WebhookDelivery): EventRouter {
  return new EventRouter({
    queue: store.queue,
    events: store.events,
    effects: store.effects,
    rules: store.rules,
    channels: store.channels,
    contacts: store.contacts,
    inbox: store.conversations,
    endpoints: store.endpoints,
    deliveries: store.deliveries,
    senders,
    webhooks,
    schedule: retryDelayMs,
    concurrency: config.events.concurrency,
    clock: systemClock,
    log,
    random: () => randomBytes(32),
  });
}

function gatewayParts(house: MessageHouse, client: WppGatewayClient): GatewayParts {
  const { config, store, log } = house;
  const shared = { intake: store.intake, channels: store.channels, clock: systemClock, log, randomBytes };
  const secrets = config.wpp.secret === undefined ? [] : [config.wpp.secret];
  return {
    gatewayWebhook: new GatewayWebhook({
      ...shared,
      secrets,
      secretRequired: config.wpp.webhook_secret_required,
      ...(config.wpp.defer_read ? { deferRead: { events: store.events } } : {}),
    }),
    onboarding: new Onboarding({
      ...shared,
      gateway: client,
      events: store.events,
      channelsPerTenant: config.wpp.channels_per_tenant,
      get webhookUrl() {
        const base = config.wpp.webhook_url ?? house.httpUrl();
        return base === undefined ? undefined : `${base.replace(/\/+$/, "")}/api/whatsapp/webhook`;
      },
    }),
  };
}
