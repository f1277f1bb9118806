import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { PonteError } from "#core/error.ts";
import { FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";

let house: FakeHouse;
let http: RunningHttp;

beforeEach(async () => {
  house = new FakeHouse();
  http = await startHttp(house);
});

afterEach(() => http.server.stop());

const post = (
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = { "content-type": "application/json" },
) => http.send("/webhooks/meta", { method: "POST", body, headers });

describe("verification", () => {
  test("answers the bare challenge as text", async () => {
    const answer = await http.send(
      "/webhooks/meta?hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1158201444",
      {},
    );
    expect(answer).toMatchObject({ status: 200, text: "1158201444" });
    expect(answer.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  });

  test.each(["?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", "?hub.challenge=1", ""])(
    "refuses %j",
    async (query) => {
      expect(await http.send(`/webhooks/meta${query}`, {})).toMatchObject({
        status: 403,
        json: { error: { code: "wrong_verify_token" } },
      });
    },
  );

  test("keeps the verify token out of the log", async () => {
    await http.send("/webhooks/meta?hub.mode=subscribe&hub.verify_token=verify-me&hub.challenge=1", {});
    expect(house.collected.lines()).toHaveLength(1);
    expect(house.collected.text()).not.toContain("verify-me");
  });
});

describe("delivery", () => {
  test.each([
    ["escapes and spaces", '{"a" :  "\\u00e9\\/x"}\n', "application/json"],
    ["what is not JSON", '{"a": [', "application/json; charset=utf-8"],
    ["an unknown type", "a=b", "application/x-www-form-urlencoded"],
    ["proto keys", '{"__proto__":{}}', "application/json"],
    ["nothing", "", "application/json"],
  ])("hands on the bytes as they came: %s", async (_what, body, type) => {
    const signature = `sha256=${"0".repeat(64)}`;
    const answer = await post(body, { "content-type": type, "x-hub-signature-256": signature });
    expect(answer).toMatchObject({ status: 200, text: "" });
    expect(house.received.map((one) => [one.body.toString(), one.signature])).toEqual([[body, signature]]);
  });

  test("hands on bytes that are no text", async () => {
    const body = Uint8Array.from([0xff, 0x00, 0xc3, 0x28]);
    await post(body);
    expect(house.received[0]?.body).toEqual(Buffer.from(body));
    expect(house.received[0]?.signature).toBeUndefined();
  });

  test.each([
    [401, "wrong_signature"],
    [400, "invalid_webhook"],
    [413, "body_too_large"],
    [503, "store_unavailable"],
    [418, "webhook_refused"],
  ])("answers %i when told so", async (status, code) => {
    house.webhookAnswer = async () => ({ status });
    expect(await post("{}")).toMatchObject({ status, json: { error: { code } } });
  });

  test("asks Meta to come again when the port fails", async () => {
    house.webhookAnswer = () => Promise.reject(new PonteError("store_overloaded", "x", { retryable: true }));
    expect(await post("{}")).toMatchObject({ status: 503, json: { error: { code: "store_overloaded" } } });
  });

  test("takes a body of 3 MB, and not more", async () => {
    expect((await post("x".repeat(3 * 1_048_576))).status).toBe(200);
    expect(await post("x".repeat(3 * 1_048_576 + 1))).toMatchObject({
      status: 413,
      json: { error: { code: "body_too_large" } },
    });
    expect(house.received).toHaveLength(1);
  });
});
