import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { SimulatedMeta } from "#sandbox/meta/meta.ts";
import { MediaRelay } from "#sandbox/relay/media-relay.ts";
import { BusinessLeg, type ConnectEvent, number, openSandbox, type Sandbox } from "./business.ts";

const user = { number: "5511987654321", profileName: "Ana 👋/São", userId: "BR.1" };
const none = (): void => undefined;
const phone = { onRinging: none, onPickedUp: none, onEnded: none, onRtp: none };

let sandbox: Sandbox;
let graphUrl: string;

beforeEach(async () => {
  sandbox = await openSandbox({ meta: { webhookTimings: { retryDelaysMs: [5, 5] } } });
  graphUrl = sandbox.graphUrl;
});

afterEach(() => sandbox.stop());

function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const headers = { authorization: "Bearer token", connection: "close", ...init.headers };
  return fetch(`${graphUrl}${path}`, { ...init, headers });
}

function connected(): Promise<ConnectEvent> {
  const { promise, resolve } = Promise.withResolvers<ConnectEvent>();
  sandbox.business.onConnect = resolve;
  sandbox.meta.placeCall({ user, phoneNumberId: number.phoneNumberId }, phone);
  return promise;
}

describe("the Graph API over HTTP", () => {
  const calls = `/v23.0/${number.phoneNumberId}/calls`;

  test.each([
    ["nothing at all", undefined, "text/plain"],
    ["broken JSON", "{", "application/json"],
    ["bytes that are no text", "\u0000\u0001", "application/octet-stream"],
    ["a form", "messaging_product=whatsapp", "application/x-www-form-urlencoded"],
  ])("answers %s with code 100", async (_name, body, type) => {
    const init = body === undefined ? {} : { body, headers: { "content-type": type } };
    const response = await ask(calls, { method: "POST", ...init });
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { code: 100, type: "OAuthException" } });
  });

  test("answers 401 without a token, and code 2500 where there is nothing", async () => {
    const stranger = await ask(calls, { method: "POST", body: "{}", headers: { authorization: "Basic x" } });
    expect(stranger.status).toBe(401);
    const nowhere = await ask("/nowhere");
    expect(nowhere.status).toBe(400);
    expect(await nowhere.json()).toMatchObject({ error: { code: 2500 } });
  });

  test("does not read a body without end", async () => {
    const response = await ask(calls, {
      method: "POST",
      body: "x".repeat(300_000),
      headers: { "content-type": "text/plain" },
    });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: { code: 1, type: "OAuthException" } });
  });

  test("shows and takes the settings that the rules look at", async () => {
    const path = `/v23.0/${number.phoneNumberId}/settings`;
    expect(await (await ask(path)).json()).toMatchObject({
      calling: { status: "ENABLED", sip: { status: "DISABLED" } },
    });
    const body = JSON.stringify({ calling: { status: "DISABLED" } });
    expect(await (await ask(path, { method: "POST", body })).json()).toEqual({ success: true });
    expect(sandbox.meta.settingsOf(number.phoneNumberId)).toEqual({ status: "DISABLED", sip: "DISABLED" });
    expect((await ask("/v23.0/1/settings")).status).toBe(400);
  });

  test("G34: an answer that is lost, a request that is lost, and an answer that is slow", async () => {
    const { id, sdp } = await connected();
    const leg = new BusinessLeg(sandbox.business.port, sdp);
    sandbox.meta.faults.next("pre_accept", { kind: "request_lost" });
    await expect(sandbox.business.act("pre_accept", id, leg.answer)).rejects.toThrow();
    sandbox.meta.faults.next("pre_accept", { kind: "slow", delayMs: 80 });
    const startedAt = performance.now();
    expect((await sandbox.business.act("pre_accept", id, leg.answer)).status).toBe(200);
    expect(performance.now() - startedAt).toBeGreaterThan(75);
    sandbox.meta.faults.next("accept", { kind: "answer_lost" });
    await expect(sandbox.business.act("accept", id, leg.answer)).rejects.toThrow();
    expect((await sandbox.business.act("accept", id, leg.answer)).status).toBe(400);
    leg.session.close();
  });

  test("G34: silence lasts until the client gives up, and does not keep Meta from stopping", async () => {
    const { id } = await connected();
    sandbox.meta.faults.next("reject", { kind: "silent" });
    await expect(
      ask(calls, {
        method: "POST",
        body: JSON.stringify({ messaging_product: "whatsapp", call_id: id, action: "reject" }),
        signal: AbortSignal.timeout(80),
      }),
    ).rejects.toThrow(/timeout/i);
    sandbox.meta.faults.next("reject", { kind: "silent" });
    const hanging = sandbox.business.act("reject", id).catch(() => "closed");
    await expect.poll(() => sandbox.meta.log.requests("reject").length).toBe(2);
    await sandbox.meta.stop();
    expect(await hanging).toBe("closed");
  });
});

describe("webhooks over HTTP", () => {
  test("W5: come again with the same bytes after an error, and the signature fits the bytes", async () => {
    sandbox.business.statuses.push(503, 500);
    const { id } = await connected();
    await sandbox.meta.idle();
    expect(sandbox.business.bodies).toHaveLength(3);
    expect(new Set(sandbox.business.bodies).size).toBe(1);
    expect(sandbox.business.bodies[0]).toContain(String.raw`Ana \ud83d\udc4b\/S\u00e3o`);
    expect(sandbox.meta.log.webhooks("connect").map((entry) => entry.status)).toEqual([503, 500, 200]);
    expect(sandbox.business.events.map((event) => event["id"])).toEqual([id]);
  });

  test("W2: without a right signature nothing arrives", async () => {
    for (const signature of ["wrong", "missing"] as const) {
      sandbox.meta.placeCall({ user, phoneNumberId: number.phoneNumberId, modes: { signature } }, phone);
    }
    await sandbox.meta.idle();
    expect(sandbox.business.bodies).toEqual([]);
    expect(sandbox.meta.log.webhooks().map((entry) => entry.status)).toEqual([401, 401]);
    expect(sandbox.meta.log.violations()).toEqual([]);
  });

  test("W1: an address that refuses the challenge gets none", async () => {
    const { url } = sandbox.business;
    expect(await sandbox.meta.subscribe({ url, verifyToken: "other", appSecret: "secret" })).toBe(false);
    sandbox.meta.placeCall({ user, phoneNumberId: number.phoneNumberId }, phone);
    await sandbox.meta.idle();
    expect(sandbox.business.bodies).toEqual([]);
  });
});

test("a call to a number that is not here is the caller's mistake", () => {
  expect(() => sandbox.meta.placeCall({ user, phoneNumberId: "1" }, phone)).toThrow(RangeError);
});

test("a port that is taken is told, and nothing stays open", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const relay = new MediaRelay();
  const meta = new SimulatedMeta({ relay, numbers: [number], accessToken: "token", port });
  await expect(meta.start()).rejects.toThrow(/EADDRINUSE/);
  const events = { onConnected: none, onFirstRtp: none, onViolation: none, onDead: none, onRtp: none };
  expect(() => relay.open(meta.modes, events)).toThrow(/not started/);
  await new Promise((resolve) => server.close(resolve));
});
