import { Value } from "typebox/value";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import type { LegStatistics } from "#engine/ports.ts";
import { callEventSchema, callSchema } from "#http/call-schema.ts";
import { errorBody } from "#http/errors.ts";
import { aCall } from "#test/support/calls.ts";
import { API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";

let house: FakeHouse;
let http: RunningHttp;

beforeEach(async () => {
  house = new FakeHouse();
  http = await startHttp(house);
});

afterEach(async () => {
  await http.server.stop();
  expect(house.clock.pending).toBe(0);
});

const record = {
  id: "c1",
  state: "ended",
  wacid: "wacid.x",
  from_number: null,
  received_at: "2026-11-20T18:07:00.000Z",
};

const leg: LegStatistics = {
  codec: "opus",
  packetsIn: 10,
  packetsOut: 11,
  bytesIn: 1_000,
  bytesOut: 1_100,
  lost: 0,
  lossRatio: 0,
  jitterMs: 1.5,
  longestGapMs: 21,
  digitsIn: 0,
  digitsOut: 0,
  refused: { replayed: 1 },
};

function refusal(answer: { readonly json: unknown }): { code: string; message: string; hint?: string } {
  expect(Value.Errors(errorBody, answer.json)).toEqual([]);
  return (answer.json as { error: { code: string; message: string } }).error;
}

describe("the key", () => {
  test.each(["/v1/calls", "/v1/calls/c1", "/v1/events"])("is needed for %s", async (path) => {
    const answer = await http.send(path, {});
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe('Bearer realm="ponte"');
    expect(refusal(answer).code).toBe("api_key_missing");
  });

  test("is needed to end a call", async () => {
    house.liveCalls = [aCall()];
    expect((await http.send(`/v1/calls/${aCall().id}/terminate`, { method: "POST" })).status).toBe(401);
    expect(house.terminated).toEqual([]);
  });

  test.each([
    ["authorization", `Bearer ${API_KEY}`, 200],
    ["authorization", `bearer  ${API_KEY} `, 200],
    ["x-api-key", API_KEY, 200],
    ["authorization", "Bearer wrong", 401],
    ["authorization", `Basic ${API_KEY}`, 401],
    ["x-api-key", "", 401],
    ["x-api-key", "x".repeat(300), 401],
  ])("in %s: %j gets %i", async (name, value, status) => {
    expect((await http.send("/v1/calls", { headers: { [name]: value } })).status).toBe(status);
  });

  test("cannot be guessed: after 20 wrong ones an address waits, and nothing more is looked up", async () => {
    for (let i = 0; i < 20; i++) await http.get("/v1/calls", { authorization: `Bearer guess-${i}` });
    const asked = house.keysAsked;
    const answer = await http.get("/v1/calls");
    expect(answer.status).toBe(429);
    expect(answer.headers.get("retry-after")).toBe("60");
    expect(refusal(answer).code).toBe("too_many_failed_attempts");
    expect(house.keysAsked).toBe(asked);
    house.clock.advance(60_000);
    expect((await http.get("/v1/calls")).status).toBe(200);
  });

  test("and what it opens is not written to the log", async () => {
    await http.get("/v1/calls", { authorization: "Bearer hunter2-hunter2" });
    await http.get("/v1/calls");
    expect(house.collected.lines()).toHaveLength(2);
    expect(house.collected.text()).not.toMatch(new RegExp(`hunter2|${API_KEY}`));
  });
});

describe("GET /v1/calls", () => {
  test("passes its filters on and gives the cursor of the next page", async () => {
    house.records = [record];
    house.next = "next-page";
    const answer = await http.get("/v1/calls?state=ended&result=busy&channel_id=436666719526789&cursor=abc&limit=7");
    expect(answer.json).toEqual({ calls: [record], next: "next-page" });
    expect(house.queries).toEqual([
      { state: "ended", result: "busy", channelId: "436666719526789", cursor: "abc", limit: 7 },
    ]);
  });

  test("asks for 50 when it is not told", async () => {
    await http.get("/v1/calls");
    expect(house.queries).toEqual([{ limit: 50 }]);
  });

  test.each([
    ["limit=0", "limit"],
    ["limit=201", "limit"],
    ["limit=many", "limit"],
    ["state=busy", "state"],
    ["result=", "result"],
    ["channel_id=%2B55", "channel_id"],
    ["sort=asc", "sort"],
    ["limit=1&limit=2", "limit"],
    [`cursor=${"x".repeat(513)}`, "cursor"],
  ])("names the field of ?%s", async (query, field) => {
    const answer = await http.get(`/v1/calls?${query}`);
    expect(answer.status).toBe(400);
    expect(refusal(answer)).toMatchObject({ code: "invalid_request", message: expect.stringContaining(` ${field} `) });
    expect(house.queries).toEqual([]);
  });

  test("says 503 and no more while the database is away", async () => {
    house.storeFailure = new PonteError("store_unavailable", "connect ECONNREFUSED 10.9.8.7:5432", { retryable: true });
    const answer = await http.get("/v1/calls");
    expect(answer.status).toBe(503);
    expect(refusal(answer).code).toBe("store_unavailable");
    expect(answer.text).not.toContain("10.9.8.7");
  });

  test("shows no stack of a defect, and logs it", async () => {
    house.storeFailure = new TypeError("secret internals");
    const answer = await http.get("/v1/calls");
    expect(answer.status).toBe(500);
    expect(answer.text).not.toMatch(/internals|\.ts|at /);
    const line = house.collected.lines().find(({ level }) => level === "error");
    expect(line).toMatchObject({
      err: { message: "secret internals" },
      request_id: answer.headers.get("x-request-id"),
    });
  });
});

describe("GET /v1/calls/:id", () => {
  test("shows an ended call with its timeline", async () => {
    house.records = [record];
    house.events = [{ at: 1_760_681_506_000, type: "call.received", data: { a: 1 } }];
    const answer = await http.get("/v1/calls/c1");
    expect(answer.json).toEqual({
      call: record,
      live: false,
      events: [{ at: "2025-10-17T06:11:46.000Z", type: "call.received", data: { a: 1 } }],
    });
  });

  test("shows a live call as it is now, with the figures of its legs, in the documented form", async () => {
    const call = aCall();
    house.liveCalls = [call];
    house.records = [{ id: call.id, state: "preparing", trunk: "main" }];
    house.events = [{ at: 1_760_681_506_000, type: "call.received", data: {} }];
    house.liveStatistics = { a: leg, b: leg, transcoding: false, fecFrames: 0, concealedFrames: 0 };
    const { json } = await http.get(`/v1/calls/${call.id}`);
    const shown = json as { call: Record<string, unknown>; events: unknown[] };
    expect(shown).toMatchObject({
      live: true,
      call: {
        id: call.id,
        state: "offered",
        trunk: "main",
        from_number: "5511987654321",
        received_at: "2025-10-17T06:11:46.000Z",
        media_stats: { a: { packets_in: 10, jitter_ms: 1.5, refused: { replayed: 1 } }, fec_frames: 0 },
      },
    });
    expect(Value.Errors(callSchema, shown.call)).toEqual([]);
    expect(shown.events.flatMap((event) => Value.Errors(callEventSchema, event))).toEqual([]);
    expect(Object.keys(shown.call).filter((name) => !(name in callSchema.properties))).toEqual([]);
  });

  test("shows a live call even while the database is away", async () => {
    house.liveCalls = [aCall()];
    house.storeFailure = new PonteError("store_unavailable", "x", { retryable: true });
    const answer = await http.get(`/v1/calls/${aCall().id}`);
    expect(answer).toMatchObject({ status: 200, json: { live: true, events: [] } });
  });

  test("knows no other", async () => {
    const answer = await http.get("/v1/calls/nobody");
    expect(answer.status).toBe(404);
    expect(refusal(answer).code).toBe("call_not_found");
  });
});

describe("POST /v1/calls/:id/terminate", () => {
  const terminate = (id: string) =>
    http.send(`/v1/calls/${id}/terminate`, { method: "POST", headers: { "x-api-key": API_KEY } });

  test("ends a live call", async () => {
    const { id } = aCall();
    house.liveCalls = [aCall()];
    expect(await terminate(id)).toMatchObject({ status: 202, json: { id, status: "terminating" } });
    expect(house.terminated).toEqual([id]);
    expect(house.collected.lines().find(({ msg }) => msg === "call terminated by operator")).toMatchObject({
      call_id: id,
      key_name: "test",
    });
  });

  test.each([
    ["unknown", [], 404, "call_not_found"],
    ["ended", [{ id: "c1", state: "ended" }], 409, "call_ended"],
    ["held by another node", [{ id: "c1", state: "bridged" }], 409, "call_not_here"],
  ])("refuses when the call is %s", async (_what, records, status, code) => {
    house.records = records;
    const answer = await terminate("c1");
    expect(answer.status).toBe(status);
    expect(refusal(answer).code).toBe(code);
  });
});
