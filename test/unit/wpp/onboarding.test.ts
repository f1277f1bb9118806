import { beforeEach, expect, test } from "vitest";
import type { Channel, ChannelState } from "#core/channel/channel.ts";
import type { NewEvent } from "#core/event/event.ts";
import type { ChannelDirectoryPort } from "#router/ports.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import type { GatewayFailure, GatewayOutcome, GatewayWebhookTarget } from "#wpp/gateway-client.ts";
import type { OnboardingOptions } from "#wpp/onboarding.ts";
import { Onboarding } from "#wpp/onboarding.ts";

const tenant = "0197a1b2-0000-7000-8000-00000000abcd";

/** The directory in memory. */
class Channels implements ChannelDirectoryPort {
  readonly rows = new Map<string, Channel>();
  readonly secrets = new Map<string, string>();
  async find(_: string, channelId: string) {
    return [...this.rows.values()].find((row) => row.channelId === channelId);
  }
  async get(tenantId: string, id: string) {
    const row = this.rows.get(id);
    return row?.tenantId === tenantId ? row : undefined;
  }
  async list(tenantId: string) {
    return [...this.rows.values()].filter((row) => row.tenantId === tenantId);
  }
  async put(wanted: Parameters<ChannelDirectoryPort["put"]>[0]) {
    const known = await this.find(wanted.provider, wanted.channelId);
    if (known !== undefined && known.tenantId !== wanted.tenantId) return "taken" as const;
    const fresh = {
      id: `row-${this.rows.size + 1}`,
      webhookConfigured: false,
      metadata: {},
      createdAt: 0,
      updatedAt: 0,
    };
    const row = { ...fresh, ...known, ...wanted };
    this.rows.set(row.id, row);
    return row;
  }
  async change(id: string, change: Parameters<ChannelDirectoryPort["change"]>[1], was?: ChannelState) {
    const row = this.rows.get(id);
    if (row === undefined || (was !== undefined && row.state !== was)) return undefined;
    const changed = { ...row, ...change };
    this.rows.set(id, changed);
    return changed;
  }
  async secret(id: string) {
    return this.secrets.get(id);
  }
  async keepSecret(id: string, secret: string) {
    if (!this.secrets.has(id)) this.secrets.set(id, secret);
    return this.secrets.get(id);
  }
  async remove() {
    return false;
  }
}

let channels: Channels;
let told: NewEvent[];
let made: string[];
let webhooks: (GatewayWebhookTarget & { readonly channelId: string })[];
let unparked: string[];
/** What the gateway says. */
let state: ChannelState;
let failure: GatewayFailure | undefined;
let log: ReturnType<typeof quietLog>;
let onboarding: Onboarding;

function answer<T>(value: T): GatewayOutcome<T> {
  return failure === undefined ? { ok: true, value } : { ok: false, failure };
}

function make(options: Partial<OnboardingOptions> = {}): Onboarding {
  return new Onboarding({
    channels,
    gateway: {
      createChannel: async (channelId) => {
        made.push(channelId);
        return answer({ channelId, state });
      },
      channel: async (channelId) =>
        answer({ channelId, state, ...(state === "connected" && { phone: "551155501000" }) }),
      qr: async () => answer(state === "qr" ? { text: "2@abc" } : undefined),
      setWebhook: async (channelId, target) => {
        webhooks.push({ channelId, ...target });
        return answer(true as const);
      },
    },
    events: { unpark: async (_, channelId) => unparked.push(channelId) },
    intake: {
      accept: async (event) => {
        told.push(event);
        return { eventId: event.eventId, traceId: event.traceId, duplicate: false, conflict: false };
      },
    },
    webhookUrl: "https://ponte.example/api/whatsapp/webhook/",
    channelsPerTenant: 1,
    clock: new FakeClock(),
    log,
    randomBytes: (count) => new Uint8Array(count).fill(5),
    ...options,
  });
}

beforeEach(() => {
  channels = new Channels();
  [told, made, webhooks, unparked] = [[], [], [], []];
  [state, failure] = ["connecting", undefined];
  log = quietLog();
  onboarding = make();
});

async function enabled(request = {}): Promise<Channel> {
  const outcome = await onboarding.enable(tenant, request);
  if (!outcome.ok) throw new Error(outcome.code);
  return outcome.value;
}

test("from nothing to a connected channel whose webhook is set", async () => {
  const channel = await enabled({ name: "Clinic" });
  expect(channel).toMatchObject({
    channelId: "ponte-00000000abcd",
    name: "Clinic",
    state: "connecting",
    enabled: true,
  });
  expect([made, unparked]).toEqual([["ponte-00000000abcd"], ["ponte-00000000abcd"]]);
  expect(await onboarding.qr(tenant, channel.id)).toMatchObject({ ok: false, status: 409, code: "qr_not_ready" });
  state = "qr";
  expect(await onboarding.qr(tenant, channel.id)).toEqual({ ok: true, value: { text: "2@abc" } });
  expect(channels.rows.get(channel.id)?.state).toBe("qr");
  state = "connected";
  expect(await onboarding.qr(tenant, channel.id)).toMatchObject({ ok: false, status: 409, code: "already_connected" });
  expect(await onboarding.refresh(tenant, channel.id)).toMatchObject({
    ok: true,
    value: { state: "connected", phone: "551155501000", webhookConfigured: true },
  });
  const [secret] = channels.secrets.values();
  expect(webhooks).toEqual([
    { channelId: "ponte-00000000abcd", url: "https://ponte.example/api/whatsapp/webhook/ponte-00000000abcd", secret },
  ]);
  expect(secret).toMatch(/^[\w-]{43}$/);
  expect(told).toMatchObject([
    { type: "whatsapp.connection.update", tenantId: tenant, payload: { state: "connected" } },
  ]);
  expect(JSON.stringify(log.lines)).not.toContain(secret);
});

test("an attempt that ended in the middle is taken up", async () => {
  failure = { code: "unreachable", message: "ECONNREFUSED", httpStatus: 0, retryable: true, uncertain: false };
  expect(await onboarding.enable(tenant, {})).toMatchObject({ ok: false, status: 503, code: "gateway_unreachable" });
  failure = undefined;
  const channel = await enabled();
  expect(channels.rows.size).toBe(1);
  [state, failure] = ["connected", undefined];
  await onboarding.refresh(tenant, channel.id);
  await onboarding.refresh(tenant, channel.id);
  expect(webhooks).toHaveLength(1);
});

test("the webhook keeps its secret when setting it failed once", async () => {
  const channel = await enabled();
  state = "connected";
  const failing = make({
    gateway: {
      ...gatewayOf(),
      setWebhook: async () => ({
        ok: false,
        failure: { code: "gateway_error", message: "x", httpStatus: 500, retryable: true, uncertain: true },
      }),
    },
  });
  expect(await failing.refresh(tenant, channel.id)).toMatchObject({ ok: false, status: 502 });
  const secret = channels.secrets.get(channel.id);
  await onboarding.refresh(tenant, channel.id);
  expect(webhooks).toMatchObject([{ secret }]);
});

function gatewayOf(): OnboardingOptions["gateway"] {
  return {
    createChannel: async (channelId) => answer({ channelId, state }),
    channel: async (channelId) => answer({ channelId, state }),
    qr: async () => answer(undefined),
    setWebhook: async () => answer(true as const),
  };
}

test("a lost connection raises an event and a warning, and can be scanned again", async () => {
  const channel = await enabled();
  state = "connected";
  await onboarding.refresh(tenant, channel.id);
  state = "disconnected";
  expect(await onboarding.refresh(tenant, channel.id)).toMatchObject({
    ok: true,
    value: { state: "disconnected", webhookConfigured: true },
  });
  expect(told.map(({ payload }) => payload["state"])).toEqual(["connected", "disconnected"]);
  expect(log.lines).toContainEqual(
    expect.objectContaining({ level: "warn", message: "WhatsApp channel lost its connection" }),
  );
  state = "qr";
  expect(await onboarding.qr(tenant, channel.id)).toMatchObject({ ok: true });
});

test("two who look at once set one secret, and tell once that the channel is connected", async () => {
  const channel = await enabled();
  state = "connected";
  let random = 0;
  const both = [1, 2].map(() => make({ randomBytes: (count) => new Uint8Array(count).fill(++random) }));
  const outcomes = await Promise.all(both.map((one) => one.refresh(tenant, channel.id)));
  expect(outcomes).toMatchObject([{ value: { state: "connected" } }, { value: { state: "connected" } }]);
  expect(new Set(webhooks.map(({ secret }) => secret))).toEqual(new Set(channels.secrets.values()));
  expect(told.map(({ payload }) => payload["state"])).toEqual(["connected"]);
  state = "disconnected";
  await Promise.all(both.map((one) => one.refresh(tenant, channel.id)));
  expect(told.map(({ payload }) => payload["state"])).toEqual(["connected", "disconnected"]);
});

test("a channel that the gateway has forgotten is disconnected, and has no webhook any more", async () => {
  const channel = await enabled();
  state = "connected";
  await onboarding.refresh(tenant, channel.id);
  failure = { code: "not_found", message: "x", httpStatus: 404, retryable: false, uncertain: false };
  expect(await onboarding.refresh(tenant, channel.id)).toMatchObject({ ok: false, code: "unknown_to_gateway" });
  expect(channels.rows.get(channel.id)).toMatchObject({ state: "disconnected", webhookConfigured: false });
  expect(told.map(({ payload }) => payload["state"])).toEqual(["connected", "disconnected"]);
});

test("a channel that is connected again gets its webhook again, for the gateway may have made it anew", async () => {
  const channel = await enabled();
  state = "connected";
  await onboarding.refresh(tenant, channel.id);
  state = "qr";
  expect(await enabled()).toMatchObject({ id: channel.id, webhookConfigured: false });
  state = "connected";
  expect(await onboarding.refresh(tenant, channel.id)).toMatchObject({ value: { webhookConfigured: true } });
  expect(webhooks).toHaveLength(2);
  expect(webhooks[1]).toEqual(webhooks[0]);
});

test("a webhook that leads to where ponte was before is set again", async () => {
  const channel = await enabled();
  state = "connected";
  await onboarding.refresh(tenant, channel.id);
  const moved = make({ webhookUrl: "https://new.example/api/whatsapp/webhook" });
  const before = channels.rows.get(channel.id);
  expect([onboarding, moved].map((one) => before && one.isElsewhere(before))).toEqual([false, true]);
  await moved.refresh(tenant, channel.id);
  await moved.refresh(tenant, channel.id);
  expect(webhooks.map(({ url }) => new URL(url).host)).toEqual(["ponte.example", "new.example"]);
  expect(channels.rows.get(channel.id)?.metadata).toEqual({ webhook_url: webhooks[1]?.url });
});

test("as many channels per tenant as are configured, and none of another tenant", async () => {
  const channel = await enabled();
  expect(await onboarding.enable(tenant, { channelId: "second" })).toMatchObject({
    ok: false,
    status: 409,
    code: "channel_exists",
    message: "This tenant has 1 of 1 channels already: ponte-00000000abcd.",
    hint: expect.stringContaining("wpp.channels_per_tenant"),
  });
  const two = make({ channelsPerTenant: 2 });
  expect(await two.enable(tenant, { channelId: "second" })).toMatchObject({ ok: true });
  expect(await two.enable(tenant, { channelId: "second" })).toMatchObject({ ok: true });
  expect(await two.enable(tenant, { channelId: "third" })).toMatchObject({ ok: false, code: "channel_exists" });
  expect(await onboarding.enable("other", { channelId: channel.channelId })).toMatchObject({
    ok: false,
    code: "channel_taken",
  });
  for (const look of ["refresh", "qr", "disable"] as const)
    expect(await onboarding[look]("other", channel.id)).toMatchObject({ ok: false, status: 404 });
});

test("a disabled channel can be enabled again", async () => {
  const channel = await enabled();
  expect(await onboarding.disable(tenant, channel.id)).toMatchObject({ ok: true, value: { enabled: false } });
  expect(await enabled()).toMatchObject({ id: channel.id, enabled: true });
});

test("without an address of ours the channel works, with a warning", async () => {
  const channel = await enabled();
  state = "connected";
  expect(await make({ webhookUrl: undefined }).refresh(tenant, channel.id)).toMatchObject({
    ok: true,
    value: { webhookConfigured: false },
  });
  expect(log.lines.map(({ message }) => message)).toContain("channel is connected, and wpp.webhook_url is not set");
});
