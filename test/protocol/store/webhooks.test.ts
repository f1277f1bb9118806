import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { effectKey, laneKey } from "#router/jobs.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { anEvent, newId, nextJob, type RouterStore, routerStore } from "#test/support/router-store.ts";

let database: TestDatabase;
let store: RouterStore;
beforeAll(async () => {
  database = await withDatabase();
  store = routerStore(database.url);
});
afterEach(
  () => database.sql`truncate webhook_endpoints, deliveries, communication_events, effects, q_lanes, q_jobs cascade`,
);
afterAll(async () => {
  await store.close();
  await database.drop();
});

const OTHER_TENANT = "00000000-0000-7000-8000-000000000002";
const NOW = 1_760_681_506_000;
const DAY_MS = 86_400_000;
const draft = { url: "https://example.com/hook", name: "ERP", events: ["call.*"], enabled: true, allowPrivate: false };

describe("an endpoint", () => {
  test("is made, changed, listed and removed by its tenant only", async () => {
    const endpoint = await store.endpoints.create(DEFAULT_TENANT, draft, "first");
    expect(endpoint).toMatchObject({ ...draft, tenantId: DEFAULT_TENANT });
    expect(await store.endpoints.change(DEFAULT_TENANT, endpoint.id, { events: [], enabled: false })).toMatchObject({
      url: draft.url,
      events: [],
      enabled: false,
    });
    expect(await store.endpoints.list(OTHER_TENANT)).toEqual([]);
    expect(await store.endpoints.change(OTHER_TENANT, endpoint.id, { enabled: true })).toBeUndefined();
    expect(await store.endpoints.remove(OTHER_TENANT, endpoint.id)).toBe(false);
    expect((await store.endpoints.list(DEFAULT_TENANT)).map((one) => one.id)).toEqual([endpoint.id]);
    expect(await store.endpoints.remove(DEFAULT_TENANT, endpoint.id)).toBe(true);
    expect(await store.endpoints.get(DEFAULT_TENANT, endpoint.id)).toBeUndefined();
    expect(await store.endpoints.get(DEFAULT_TENANT, "nonsense")).toBeUndefined();
  });

  test("signs with both secrets for a day after a rotation", async () => {
    const { id } = await store.endpoints.create(DEFAULT_TENANT, draft, "first");
    expect(await store.endpoints.secrets(id, NOW)).toEqual(["first"]);
    expect(await store.endpoints.rotate(OTHER_TENANT, id, "forged", NOW + DAY_MS)).toBe(false);
    expect(await store.endpoints.rotate(DEFAULT_TENANT, id, "second", NOW + DAY_MS)).toBe(true);
    expect(await store.endpoints.secrets(id, NOW + DAY_MS - 1)).toEqual(["second", "first"]);
    expect(await store.endpoints.secrets(id, NOW + DAY_MS)).toEqual(["second"]);
    expect(await store.endpoints.secrets(newId(), NOW)).toEqual([]);
    const [row] = await database.sql`select secret, old_secret from webhook_endpoints`;
    expect(Buffer.concat([row?.["secret"], row?.["old_secret"]]).toString("latin1")).not.toMatch(/first|second/);
  });

  test("is switched off when it has failed for too long, once, and begins anew when it is switched on", async () => {
    const { id } = await store.endpoints.create(DEFAULT_TENANT, draft, "first");
    const failed = (at: number) => store.endpoints.noted(id, { ok: false, at, disableBefore: at - 5 * DAY_MS });
    expect(await failed(NOW)).toBe(false);
    expect(await failed(NOW + DAY_MS)).toBe(false);
    expect((await store.endpoints.get(DEFAULT_TENANT, id))?.failingSince).toBe(NOW);
    expect(await store.endpoints.noted(id, { ok: true })).toBe(false);
    expect((await store.endpoints.get(DEFAULT_TENANT, id))?.failingSince).toBeUndefined();
    expect(await failed(NOW + 2 * DAY_MS)).toBe(false);
    expect(await failed(NOW + 8 * DAY_MS)).toBe(true);
    expect(await failed(NOW + 9 * DAY_MS)).toBe(false);
    expect(await store.endpoints.get(DEFAULT_TENANT, id)).toMatchObject({
      enabled: false,
      disabledReason: "it failed for too long",
    });
    const again = await store.endpoints.change(DEFAULT_TENANT, id, { enabled: true });
    expect(again).toMatchObject({ enabled: true });
    expect(again).not.toHaveProperty("disabledReason");
    expect(again).not.toHaveProperty("failingSince");
  });
});

describe("a delivery", () => {
  async function given() {
    const endpoint = await store.endpoints.create(DEFAULT_TENANT, draft, "first");
    const event = anEvent();
    await store.intake.accept(event);
    const key = effectKey(event.eventId, undefined, endpoint.id, 0);
    const routing = await nextJob(store, "route");
    const job = {
      lane: laneKey("deliver", endpoint.id, event.conversationKey),
      pool: "deliver",
      target: endpoint.id,
      tenantId: DEFAULT_TENANT,
      handler: "deliver",
      payload: { effect_key: key, endpoint_id: endpoint.id, event_id: event.eventId },
      eventId: event.eventId,
    } as const;
    const effect = {
      key,
      eventId: event.eventId,
      step: endpoint.id,
      kind: "webhook",
      state: "planned",
      detail: {},
      job,
    } as const;
    await store.queue.finish({ ...routing, result: "done", routed: { status: "routed" }, effects: [effect] });
    await store.queue.release(routing.lane);
    const begun = { key, tenantId: DEFAULT_TENANT, endpointId: endpoint.id, eventId: event.eventId, effectKey: key };
    return { endpoint, event, key, begun };
  }

  test("is begun once and remembers every attempt", async () => {
    const { begun, event, endpoint } = await given();
    const delivery = await store.deliveries.begin(begun);
    expect((await store.deliveries.begin(begun)).id).toBe(delivery.id);
    await store.deliveries.attempt(
      delivery.id,
      { at: NOW, tookMs: 12.4, error: "timeout" },
      { state: "pending", nextAt: NOW + 5_000 },
    );
    await store.deliveries.attempt(
      delivery.id,
      { at: NOW + 5_000, tookMs: 3, status: 200, response: `{"ok":1}\u0000${"x".repeat(9_000)}` },
      { state: "delivered" },
    );
    const stored = await store.deliveries.get(DEFAULT_TENANT, delivery.id);
    expect(stored).toMatchObject({
      state: "delivered",
      endpointId: endpoint.id,
      eventId: event.eventId,
      effectKey: begun.key,
    });
    expect(stored?.attempts.map(({ response, ...attempt }) => [attempt, response?.length])).toEqual([
      [{ at: NOW, tookMs: 12, error: "timeout" }, undefined],
      [{ at: NOW + 5_000, tookMs: 3, status: 200 }, 4_000],
    ]);
    expect(stored).not.toHaveProperty("nextAt");
    expect(await store.deliveries.get(OTHER_TENANT, delivery.id)).toBeUndefined();
    expect((await store.events.trace(DEFAULT_TENANT, event.eventId))?.deliveries).toEqual([stored]);
  });

  test("that is dead is tried again on demand: its job, its effect and its event come back to life", async () => {
    const { begun, event, endpoint, key } = await given();
    const { id } = await store.deliveries.begin(begun);
    const giveUp = async () => {
      const { lane, job } = await nextJob(store, "deliver");
      expect((await store.effects.start(key)).state).toBe("fresh");
      await store.deliveries.attempt(id, { at: NOW, tookMs: 1, status: 500, error: "status" }, { state: "dead" });
      await store.queue.finish({
        lane,
        job,
        result: "dead",
        error: "status 500",
        settled: { key, state: "dead", error: "status 500" },
      });
      await store.queue.release(lane);
    };
    await giveUp();
    expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "dead" });
    const replay = (more: object) => store.deliveries.replay({ tenantId: DEFAULT_TENANT, limit: 10, ...more });
    expect(await replay({ tenantId: OTHER_TENANT })).toBe(0);
    expect(await replay({ id: newId() })).toBe(0);
    expect(await replay({ endpointId: newId() })).toBe(0);
    expect(await replay({ until: NOW - 100 * DAY_MS })).toBe(0);
    expect(await replay({ id })).toBe(1);
    expect(await replay({ id })).toBe(0);
    expect(await store.deliveries.get(DEFAULT_TENANT, id)).toMatchObject({ state: "pending" });
    expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "routed" });
    await giveUp();
    expect(await replay({ endpointId: endpoint.id, since: NOW - DAY_MS })).toBe(1);
    const { lane, job } = await nextJob(store, "deliver");
    expect(job).toMatchObject({ attempts: 0, payload: { effect_key: key } });
    await store.effects.start(key);
    await store.queue.finish({ lane, job, result: "done", settled: { key, state: "done" } });
    expect(await store.events.get(DEFAULT_TENANT, event.eventId)).toMatchObject({ status: "processed" });
  });

  test("is found by filters, newest first, page by page", async () => {
    const ids: string[] = [];
    for (let n = 0; n < 3; n++) {
      const { begun } = await given();
      await store.queue.claim({ pool: "deliver", lanes: 9, jobsPerLane: 1, leaseMs: 60_000 });
      const { id } = await store.deliveries.begin(begun);
      if (n === 0) await store.deliveries.attempt(id, { at: NOW, tookMs: 1, status: 200 }, { state: "delivered" });
      ids.push(id);
    }
    const list = (more: object) => store.deliveries.list({ tenantId: DEFAULT_TENANT, limit: 2, ...more });
    const first = await list({});
    const second = await list({ cursor: first.next });
    expect([...first.items, ...second.items].map((one) => one.id).toSorted()).toEqual(ids.toSorted());
    const [last] = (await list({ state: "delivered" })).items;
    expect(last?.id).toBe(ids[0]);
    expect((await list({ endpointId: last?.endpointId })).items.length).toBe(1);
    expect((await list({ eventId: last?.eventId })).items.length).toBe(1);
    expect((await list({ endpointId: "nonsense" })).items).toEqual([]);
    expect((await list({ tenantId: OTHER_TENANT })).items).toEqual([]);
  });
});
