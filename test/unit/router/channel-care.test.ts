import { beforeEach, expect, test } from "vitest";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import { ChannelCare } from "#router/channel-care.ts";
import type { ChannelDirectoryPort } from "#router/ports.ts";
import { FakeClock } from "#test/support/fake-clock.ts";
import { fakeChannel, TENANT } from "#test/support/fake-router-values.ts";
import { quietLog } from "#test/support/quiet-log.ts";

const MINUTE_MS = 60_000;

let clock: FakeClock;
let rows: Channel[];
/** Channels that the gateway was asked about. */
let asked: string[];
/** Channels whose webhook leads to another address than ours; undefined: ours is not known yet. */
let elsewhere: Set<string> | undefined;
let refresh: (id: string) => Promise<void>;
let care: ChannelCare;

const channels: Pick<ChannelDirectoryPort, "list" | "change"> = {
  list: async () => rows,
  change: async (id, change) => {
    rows = rows.map((row) => (row.id === id ? { ...row, ...change } : row));
    return rows.find((row) => row.id === id);
  },
};

function make(): ChannelCare {
  const onboarding = {
    isElsewhere: ({ id }: Channel) => elsewhere?.has(id),
    refresh: async (_: string, id: string) => {
      asked.push(id);
      await refresh(id);
      return { ok: false, status: 503, code: "gateway_unreachable", message: "x" } as const;
    },
  };
  return new ChannelCare({ tenantId: TENANT, channels, onboarding, clock, log: quietLog() });
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
  [rows, asked, elsewhere] = [[], [], new Set()];
  refresh = async () => undefined;
  care = make();
});

test("the gateway is asked about channels that have no webhook yet, and about no others", async () => {
  rows = [
    aChannel("scanning", { state: "qr" }),
    aChannel("settled", { webhookConfigured: true }),
    aChannel("stopped", { enabled: false }),
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

test("what is wrong with one channel does not keep it from the next", async () => {
  rows = [aChannel("broken"), aChannel("sound")];
  refresh = async (id) => {
    if (id === "broken") throw new PonteError("secret_unreadable", "sealed with another key");
  };
  await care.look();
  expect(asked).toEqual(["broken", "sound"]);
});
