import { afterAll, beforeAll, expect, test } from "vitest";
import { checkConfig, explain } from "#config/load.ts";
import { systemClock } from "#engine/system-clock.ts";
import { Life } from "#src/life.ts";
import { startMessages } from "#src/messages.ts";
import { openStore } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { FakeHouse } from "#test/support/http.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { anEvent } from "#test/support/router-store.ts";

const NUMBER = "106540352242922";

let database: TestDatabase;
beforeAll(async () => {
  database = await withDatabase();
});
afterAll(() => database.drop());

function configured() {
  const channel = { phone_number_id: NUMBER, access_token: "a token of the test", handler: "reject" };
  const loaded = checkConfig({ calling: { enabled: false }, channels: [channel] }, {});
  if (!loaded.ok) throw new Error(explain(loaded.problems));
  return loaded.config;
}

test("a number that is added to the configuration gets the messages that came before", async () => {
  const config = configured();
  const log = quietLog();
  const store = await openStore({ log, clock: systemClock, version: "test", url: database.url });
  const life = new Life(log);
  const { tenantId: _, ...early } = anEvent({ provider: "cloud_api", sourceSystem: "cloud_api", channelId: NUMBER });
  await store.intake.accept(early);
  const { switchboard } = new FakeHouse().parts();
  await startMessages(life, { config, log, store, switchboard, httpUrl: () => undefined });
  const taken = await store.events.get(DEFAULT_TENANT, early.eventId);
  await life.end();
  await store.close();
  expect(taken).toMatchObject({ channelId: NUMBER, tenantId: DEFAULT_TENANT });
});
