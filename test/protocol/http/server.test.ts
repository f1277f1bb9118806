import { connect } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { HttpServer } from "#http/server.ts";
import { FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";

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

/** Writes bytes as they are and reads until the server closes. */
function raw(text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(http.port, "127.0.0.1", () => socket.write(text));
    let answer = "";
    socket.on("data", (chunk) => (answer += chunk.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(answer));
  });
}

describe("what is not served", () => {
  test.each([
    ["GET", "/"],
    ["GET", "/v1/nothing"],
    ["DELETE", "/v1/calls"],
    ["HEAD", "/v1/events"],
    ["POST", "/live"],
  ])("%s %s gets 404", async (method, path) => {
    const answer = await http.send(`${path}?token=x`, { method });
    expect(answer.status).toBe(404);
    if (method !== "HEAD") expect(answer.json).toMatchObject({ error: { code: "not_found" } });
    expect(answer.text).not.toContain("token");
  });

  test("a path that is no path gets 400 in the same shape", async () => {
    expect(await http.send("/%E0%A4%A", {})).toMatchObject({ status: 400, json: { error: { code: "bad_request" } } });
  });

  test.each([
    ["garbage", "hello\r\n\r\n", /^HTTP\/1\.1 400 .*"code":"bad_request"/s],
    ["a TLS hello", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000\r\n\r\n", /^HTTP\/1\.1 400 /],
    ["endless headers", `GET / HTTP/1.1\r\nx: ${"y".repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 .*"headers_too_large"/s],
  ])("%s gets an answer and the door", async (_what, text, answer) => {
    expect(await raw(text)).toMatch(answer);
    expect((await http.send("/live", {})).status).toBe(200);
  });

  test("a body over the limit gets 413", async () => {
    const answer = await http.send("/v1/calls/x/terminate", {
      method: "POST",
      headers: { "x-api-key": "ponte_test_key-that-is-good", "content-type": "application/json" },
      body: JSON.stringify("x".repeat(70_000)),
    });
    expect(answer).toMatchObject({ status: 413, json: { error: { code: "body_too_large" } } });
  });
});

test("every answer has a request id and is not cached or guessed at", async () => {
  for (const path of ["/live", "/v1/calls", "/nowhere"]) {
    const { headers } = await http.send(path, {});
    expect(headers.get("x-request-id")).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers.get("cache-control")).toBe("no-store");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
  }
});

describe("starting and stopping", () => {
  test("a taken port is named, with what to do", async () => {
    const second = new HttpServer({ host: "127.0.0.1", port: http.port, ...house.parts() });
    await expect(second.start()).rejects.toMatchObject({
      name: "PonteError",
      code: "port_taken",
      message: expect.stringMatching(new RegExp(`^127\\.0\\.0\\.1:${http.port} is in use.*http\\.port`)),
    });
    await second.stop();
  });

  test("an address of another machine is named", async () => {
    const second = new HttpServer({ host: "192.0.2.1", port: 0, ...house.parts() });
    await expect(second.start()).rejects.toMatchObject({ code: "listen_failed", message: /http\.host/ });
  });

  test("may be stopped twice, and before it was started", async () => {
    await http.server.stop();
    await http.server.stop();
    await expect(fetch(`${http.url}/live`)).rejects.toThrow();
    await new HttpServer({ host: "127.0.0.1", port: 0, ...house.parts() }).stop();
  });

  test("a request in progress is finished first", async () => {
    let finish: (answer: { status: number }) => void = () => undefined;
    const begun = new Promise<void>((resolve) => {
      house.webhookAnswer = () =>
        new Promise((done) => {
          finish = done;
          resolve();
        });
    });
    const answer = http.send("/webhooks/meta", { method: "POST", body: "{}" });
    await begun;
    const stopped = http.server.stop();
    finish({ status: 200 });
    const { status, headers } = await answer;
    expect([status, headers.get("connection")]).toEqual([200, "close"]);
    await stopped;
  });

  test("a request that does not end is cut off after 5 s", async () => {
    const begun = new Promise<void>((resolve) => {
      house.webhookAnswer = () => {
        resolve();
        return new Promise(() => undefined);
      };
    });
    const answer = http.send("/webhooks/meta", { method: "POST", body: "{}" }).catch(() => "cut");
    await begun;
    const stopped = http.server.stop();
    house.clock.advance(5_000);
    await stopped;
    expect(await answer).toBe("cut");
  });
});
