import { afterEach, expect, test } from "vitest";
import { type Call, offeredCall } from "#core/call/call.ts";
import { PonteError } from "#core/error.ts";
import type { NewEvent } from "#core/event/event.ts";
import type { CallEvent, SwitchboardPort } from "#engine/ports.ts";
import { CallEvents } from "#router/call-events.ts";
import { TENANT } from "#test/support/fake-router-values.ts";
import { FakeRouterWorld } from "#test/support/fake-router-world.ts";

const CALL = "01980000-0000-7000-8000-000000000001";
const offer = {
  wacid: "wacid.x",
  channelId: "phone-1",
  caller: { number: "5511987654321", profileName: "Ana" },
  calledNumber: "551140000000",
  sdp: "v=0",
  offeredAt: 0,
} as const;
const limits = { answerBudgetMs: 1, ringTimeoutMs: 1, mediaTimeoutMs: 1, staleAfterMs: 1 };

let stop: () => Promise<void> = async () => undefined;
afterEach(() => stop());

function started(accept?: (event: NewEvent) => Promise<void>) {
  const world = new FakeRouterWorld({ channels: [{ provider: "cloud_api", channelId: "phone-1" }] });
  const accepted: NewEvent[] = [];
  const live: Call[] = [offeredCall(CALL, offer, limits, 0)];
  let tell: (callId: string, event: CallEvent) => void = () => undefined;
  const switchboard: SwitchboardPort = {
    terminate: () => false,
    live: () => live,
    statistics: async () => undefined,
    watch: (listener) => {
      tell = listener;
      return () => {
        tell = () => undefined;
      };
    },
  };
  const intake = {
    accept: async (event: NewEvent) => {
      await accept?.(event);
      accepted.push(event);
      return { eventId: event.eventId, traceId: event.traceId, duplicate: false, conflict: false };
    },
  };
  const { clock, log, channels } = world;
  const events = new CallEvents({ switchboard, intake, channels, tenantId: TENANT, clock, log });
  events.start();
  stop = async () => {
    await events.stop();
    expect(clock.pending).toBe(0);
  };
  return { world, accepted, live, tell: (type: string, data = {}) => tell(CALL, { at: 5, type, data }) };
}

test("milestones of a call become events of its conversation, in order; finer steps do not", async () => {
  const { world, accepted, live, tell } = started();
  tell("call.received", { age_ms: 40 });
  tell("leg_progress", { status: 180 });
  tell("call.missed", { result: "no_answer", by: "ponte", sipStatus: 480, deep: { a: 1 }, none: undefined });
  live.length = 0;
  await world.settle();
  expect(accepted).toMatchObject([
    { type: "call.received", externalId: `${CALL}/call.received`, payload: { facts: { age_ms: 40 } } },
    {
      type: "call.missed",
      sourceSystem: "ponte",
      tenantId: TENANT,
      conversationKey: "cloud_api/phone-1/phone/5511987654321",
      occurredAt: 5,
      payload: {
        call_id: CALL,
        channel: { provider: "cloud_api", id: "phone-1" },
        caller: { number: "5511987654321", name: "Ana" },
        called_number: "551140000000",
      },
    },
  ]);
  expect(accepted[1]?.payload["facts"]).toEqual({ result: "no_answer", by: "ponte", sip_status: 480 });
});

test("waits for a store that is away, and keeps the order", async () => {
  let failures = 3;
  const { world, accepted, tell } = started(async () => {
    failures -= 1;
    if (failures >= 0) throw new PonteError("store_unavailable", "away", { retryable: true });
  });
  tell("call.received");
  tell("call.missed");
  for (let second = 0; second < 4; second += 1) {
    await world.settle();
    world.clock.advance(1_000);
  }
  await world.settle();
  expect(accepted.map(({ type }) => type)).toEqual(["call.received", "call.missed"]);
});

test("says which event it lost when the store refuses it", async () => {
  const { world, accepted, tell } = started(() => Promise.reject(new PonteError("event_refused", "no")));
  tell("call.received");
  await world.settle();
  expect(accepted).toEqual([]);
  expect(world.log.lines).toMatchObject([{ level: "error", facts: { call_id: CALL, type: "call.received" } }]);
});
