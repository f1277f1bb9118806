import { afterEach, beforeEach, expect, test } from "vitest";
import type { ReadyCheck } from "#http/ports.ts";
import { FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";

let house: FakeHouse;
let http: RunningHttp;

beforeEach(() => {
  house = new FakeHouse();
});

afterEach(async () => {
  await http.server.stop();
  expect(house.clock.pending).toBe(0);
});

const good: ReadyCheck = { name: "database", check: async () => ({ ok: true }) };

test("is alive without a key", async () => {
  http = await startHttp(house);
  expect(await http.send("/live", {})).toMatchObject({ status: 200, json: { status: "live", version: "1.2.3" } });
});

test("is ready when every check is good", async () => {
  http = await startHttp(house, { readyChecks: [good] });
  expect(await http.send("/ready", {})).toMatchObject({
    status: 200,
    json: { status: "ready", checks: [{ name: "database", ok: true, took_ms: 0 }] },
  });
});

test("names what is missing; what was thrown stays in the log", async () => {
  const bad: ReadyCheck = { name: "sip", check: async () => ({ ok: false, detail: "drachtio is not connected" }) };
  const broken: ReadyCheck = { name: "media", check: () => Promise.reject(new Error("secret host 10.1.1.1")) };
  http = await startHttp(house, { readyChecks: [good, bad, broken] });
  const answer = await http.send("/ready", {});
  expect(answer).toMatchObject({
    status: 503,
    json: {
      status: "not_ready",
      checks: [
        { name: "database", ok: true },
        { name: "sip", ok: false, detail: "drachtio is not connected" },
        { name: "media", ok: false, detail: "failed; see the log" },
      ],
    },
  });
  expect(answer.text).not.toContain("secret");
  expect(house.collected.text()).toContain("secret host");
});

test("a check that does not answer has failed after 2 s", async () => {
  const begun = Promise.withResolvers<void>();
  const hangs: ReadyCheck = {
    name: "database",
    check: () => {
      begun.resolve();
      return new Promise(() => undefined);
    },
  };
  http = await startHttp(house, { readyChecks: [hangs] });
  const answer = http.send("/ready", {});
  await begun.promise;
  house.clock.advance(2_000);
  expect(await answer).toMatchObject({
    status: 503,
    json: { checks: [{ ok: false, detail: "no answer within 2000 ms", took_ms: 2_000 }] },
  });
});

test("many who ask at once cost one check", async () => {
  let checks = 0;
  const counted: ReadyCheck = {
    name: "database",
    check: async () => {
      checks += 1;
      return { ok: true };
    },
  };
  http = await startHttp(house, { readyChecks: [counted] });
  await Promise.all(Array.from({ length: 10 }, () => http.send("/ready", {})));
  expect(checks).toBe(1);
  house.clock.advance(500);
  await http.send("/ready", {});
  expect(checks).toBe(2);
});
