import { beforeEach, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import { ChannelCare } from "#router/channel-care.ts";
import type { ChannelDirectoryPort } from "#router/ports.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { fakeChannel, TENANT } from "#test/support/fake-router-values.ts";
import { quietLog } from "#test/support/quiet-log.ts";

const MINUTE_MS = 60_000;

/** Of a tenant who came later. */
const OTHER = "00000000-0000-7000-8000-0000000000ff";

let clock: FakeClock;
let rows: Channel[];
/** Channels that the gateway was asked about. */
let asked: string[];
/** Channels whose webhook leads to another address than ours; undefined: ours is not known yet. */
let elsewhere: Set<string> | undefined;
/** Channels whose parked events were asked for. */
let unparked: string[];
let refresh: (id: string) => Promise<void>;
let care: ChannelCare;

const channels: Pick<ChannelDirectoryPort, "list" | "change"> = {
  list: async (tenantId) => rows.filter((row) => row.tenantId === tenantId),
  change: async (id, change) => {
    rows = rows.map((row) => (row.id === id ? { ...row, ...change } : row));
    return rows.find((row) => row.id === id);
  },
};

function make(withGateway = true): ChannelCare {
  const onboarding = {
    isElsewhere: ({ id }: Channel) => elsewhere?.has(id),
    refresh: async (_: string, id: string) => {
      asked.push(id);
      await refresh(id);
      return { ok: false, status: 503, code: "gateway_unreachable", message: "x" } as const;
    },
  };
  const events = {
    unpark: async (provider: string, channelId: string, tenantId: string) => {
      expect(rows.find((row) => row.channelId === channelId)?.tenantId).toBe(tenantId);
      return unparked.push(`${provider} ${channelId}`);
    },
  };
  const gateway = withGateway ? { onboarding } : {};
  return new ChannelCare({
    tenants: { ids: async () => [TENANT, OTHER] },
    channels,
    events,
    ...gateway,
    clock,
    log: quietLog(),
  });
}

const aChannel = (id: string, more: Partial<Channel> = {}): Channel => ({
  ...fakeChannel(0),
  id,
  channelId: id,
  provider: "wpp_gateway",
  webhookConfigured: false,
  updatedAt: clock.now(),
  ...more,
});

beforeEach(() => {
  clock = new FakeClock();
  [rows, asked, unparked, elsewhere] = [[], [], [], new Set()];
  refresh = async () => undefined;
  care = make();
});

test("the gateway is asked about channels that have no webhook yet, and about no others", async () => {
  rows = [
    aChannel("scanning", { state: "qr" }),
    aChannel("settled", { webhookConfigured: true }),
    aChannel("stopped", { enabled: false }),
    aChannel("being made", { state: "new" }),
    aChannel("cloud", { provider: "cloud_api" }),
  ];
  await care.look();
  await care.look();
  expect(asked).toEqual(["scanning", "scanning"]);
});

test("a channel that has waited for long is asked about once a minute", async () => {
  rows = [aChannel("old", { state: "disconnected", updatedAt: clock.now() - 60 * MINUTE_MS })];
  await care.look();
  await care.look();
  expect(asked).toEqual(["old"]);
  clock.advance(MINUTE_MS);
  await care.look();
  expect(asked).toEqual(["old", "old"]);
});

test("a webhook that leads elsewhere is set again, by each node once", async () => {
  rows = [aChannel("moved", { webhookConfigured: true, updatedAt: clock.now() - 60 * MINUTE_MS })];
  elsewhere = undefined;
  await care.look();
  expect(asked).toEqual([]);
  elsewhere = new Set(["moved"]);
  await care.look();
  expect([asked, rows[0]?.webhookConfigured]).toEqual([["moved"], false]);
  // Another node has set it to an address of its own.
  await channels.change("moved", { webhookConfigured: true });
  await care.look();
  expect([asked, rows[0]?.webhookConfigured]).toEqual([["moved"], true]);
  await make().look();
  expect(asked).toEqual(["moved", "moved"]);
});

test("events that were parked are taken up at the start, also without a gateway, and once a minute", async () => {
  const updatedAt = clock.now() - 60 * MINUTE_MS;
  rows = [
    aChannel("cloud", { provider: "cloud_api", updatedAt }),
    aChannel("receives", { provider: "cloud_api", enabled: false, updatedAt }),
    aChannel("stopped", { enabled: false, updatedAt }),
  ];
  care = make(false);
  await care.look();
  await care.look();
  expect(unparked).toEqual(["cloud_api cloud", "cloud_api receives"]);
  clock.advance(MINUTE_MS);
  await care.look();
  expect(unparked).toHaveLength(4);
});

test("events that are parked in the moment in which their channel gets an owner are taken up at once", async () => {
  await care.look();
  rows = [aChannel("new", { state: "qr" })];
  await care.look();
  await care.look();
  expect(unparked).toEqual(["wpp_gateway new", "wpp_gateway new"]);
});

test("what is wrong with one channel does not keep it from the next", async () => {
  rows = [aChannel("broken"), aChannel("sound")];
  refresh = async (id) => {
    if (id === "broken") throw new PonteError("secret_unreadable", "sealed with another key");
  };
  await care.look();
  expect(asked).toEqual(["broken", "sound"]);
});

test("looks after the channels of every tenant", async () => {
  rows = [aChannel("ours", { state: "qr" }), aChannel("theirs", { tenantId: OTHER, state: "qr" })];
  await care.look();
  expect(asked.toSorted()).toEqual(["ours", "theirs"]);
  expect(unparked.length).toBe(2);
});
