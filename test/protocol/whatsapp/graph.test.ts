import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { Clock, GraphOutcome } from "#engine/ports.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import type { GraphOptions } from "#whatsapp/graph.ts";
import { GraphClient } from "#whatsapp/graph.ts";

/** `GraphClient` against a server that misbehaves over loopback. Pauses and time limits are divided by ten. */

const SPEED = 10;
/** What is over at once, or at its deadline, is over before this even on a busy machine. */
const MUCH_LATER_MS = 15_000;
const token = "EAAtoken0123456789";
const wacid = "wacid.HBgNNTUxMTk4NzY1NDMyMQ+/==";
const sdp = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n";

/** Real time, ten times as fast, so that eight pauses fit into a test. */
class FastClock implements Clock {
  readonly #startedAt = performance.now();
  pending = 0;

  now(): number {
    return 1_760_681_506_000 + Math.round((performance.now() - this.#startedAt) * SPEED);
  }

  after(afterMs: number, task: () => void): () => void {
    this.pending++;
    let open = true;
    const close = () => {
      if (open) this.pending--;
      open = false;
    };
    const timer = setTimeout(() => {
      close();
      task();
    }, afterMs / SPEED);
    return () => {
      clearTimeout(timer);
      close();
    };
  }
}

type Behaviour = (response: ServerResponse, request: IncomingMessage) => void;
interface Seen {
  readonly method: string | undefined;
  readonly url: string | undefined;
  readonly authorization: string | undefined;
  readonly body: string;
}

let server: Server;
let script: Behaviour[];
let seen: Seen[];
let clock: FastClock;
let log: ReturnType<typeof quietLog>;
let client: GraphClient;
let running: number;
let mostRunning: number;

beforeEach(async () => {
  script = [];
  seen = [];
  running = 0;
  mostRunning = 0;
  server = createServer(async (request, response) => {
    mostRunning = Math.max(mostRunning, ++running);
    response.once("close", () => running--);
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += chunk;
    const { method, url, headers } = request;
    seen.push({ method, url, authorization: headers.authorization, body });
    const behave = script.length > 1 ? script.shift() : script[0];
    (behave ?? ok)(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  clock = new FastClock();
  log = quietLog();
  client = make();
});

afterEach(async () => {
  await client.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(clock.pending).toBe(0);
  expect(JSON.stringify(log.lines)).not.toContain(token);
});

function make(options: Partial<GraphOptions> = {}): GraphClient {
  const { port } = server.address() as AddressInfo;
  return new GraphClient(
    {
      baseUrl: `http://127.0.0.1:${port}/`,
      version: "v23.0",
      channels: new Map([["436666719526789", token]]),
      requestTimeoutMs: 20_000,
      ...options,
    },
    { clock, log, random: () => 0.5 },
  );
}

const channel = "436666719526789";
const preAccept = (budgetMs = 20_000) => client.preAccept(channel, wacid, sdp, clock.now() + budgetMs);
const accept = (budgetMs = 20_000) => client.accept(channel, wacid, sdp, clock.now() + budgetMs);

function json(status: number, document: object, headers: Record<string, string> = {}): Behaviour {
  return (response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(document));
  };
}
const ok: Behaviour = json(200, { messaging_product: "whatsapp", success: true });
const refusal = (status: number, code: number, details?: string, more: object = {}) =>
  json(status, {
    error: {
      message: `(#${code}) refused ${token}`,
      type: "OAuthException",
      code,
      fbtrace_id: "AbCdEf0123456789",
      ...(details === undefined ? {} : { error_data: { messaging_product: "whatsapp", details } }),
      ...more,
    },
  });
const silence: Behaviour = () => undefined;
const reset: Behaviour = (response) => void response.socket?.destroy();

function failureOf(outcome: GraphOutcome) {
  if (outcome.ok) throw new Error("expected a failure");
  return outcome.failure;
}

test("says what Meta's documentation says, byte for byte", async () => {
  const outcomes = [
    await preAccept(),
    await accept(),
    await client.reject(channel, wacid),
    await client.terminate(channel, wacid),
  ];
  expect(outcomes.map(({ ok: good, attempts }) => [good, attempts])).toEqual(Array(4).fill([true, 1]));
  expect(seen.map(({ method, url, authorization }) => `${method} ${url} ${authorization}`)).toEqual(
    Array(4).fill(`POST /v23.0/436666719526789/calls Bearer ${token}`),
  );
  const basics = { messaging_product: "whatsapp", call_id: wacid };
  const session = { sdp_type: "answer", sdp };
  expect(seen.map(({ body }) => JSON.parse(body))).toEqual([
    { ...basics, action: "pre_accept", session },
    { ...basics, action: "accept", session },
    { ...basics, action: "reject" },
    { ...basics, action: "terminate" },
  ]);
});

test.each<[string, Behaviour]>([
  ["500 with 138004", refusal(500, 138004)],
  ["500 with 138007", refusal(500, 138007)],
  ["500 with 131000", refusal(500, 131000)],
  ["503 with 131016", refusal(503, 131016)],
  ["429 with 130429", refusal(429, 130429)],
  ["429 with 4", refusal(429, 4)],
  ["400 that Meta calls transient", refusal(400, 131009, undefined, { is_transient: true })],
  ["a proxy's 502 page", (response) => void response.writeHead(502).end("<html>Bad Gateway</html>")],
  ["200 with garbage", (response) => void response.writeHead(200).end("ok?")],
  ["200 with nothing", (response) => void response.writeHead(200).end()],
  ["a reset", reset],
  [
    "half an answer",
    (response) => void response.writeHead(200, { "content-length": "50" }).write("{", () => response.destroy()),
  ],
])("repeats the same request after %s", async (_, behave) => {
  script = [behave, ok];
  expect(await preAccept()).toMatchObject({ ok: true, attempts: 2 });
  expect(seen[1]).toEqual(seen[0]);
});

test("repeats after silence, when a request had its time", async () => {
  client = make({ requestTimeoutMs: 2_000 });
  script = [silence, ok];
  const outcome = await preAccept();
  expect(outcome).toMatchObject({ ok: true, attempts: 2 });
  expect(outcome.ok && outcome.tookMs).toBeGreaterThanOrEqual(1_900);
});

test.each<[number, number, RegExp]>([
  [400, 100, /SDP/],
  [401, 190, /access token/],
  [401, 138000, /switch it on/],
  [400, 131055, /SIP mode/],
  [400, 138008, /fingerprint/],
  [400, 131044, /payment/],
])("takes status %i with code %i for an answer and tells what to do", async (status, code, hint) => {
  script = [refusal(status, code, "because", { error_subcode: 77 })];
  expect(await accept()).toEqual({
    ok: false,
    attempts: 1,
    failure: {
      code,
      subcode: 77,
      httpStatus: status,
      message: `(#${code}) refused [token]`,
      details: "because",
      fbtraceId: "AbCdEf0123456789",
      retryable: false,
      gone: false,
      hint: expect.stringMatching(hint),
    },
  });
});

test.each([
  ["302 to somebody else, without following it", 302, /redirection/],
  ["404 of a wrong path", 404, /graph_version/],
  ["success: false", 200, /error codes/],
])("takes %s for a refusal", async (_, status, hint) => {
  script = [json(status, { success: false }, { location: "http://127.0.0.1:1/" })];
  expect(await accept()).toMatchObject({ ok: false, attempts: 1, failure: { hint: expect.stringMatching(hint) } });
});

const inProgress = refusal(400, 100, "The call is already in progress, completed or failed");
const accepted = refusal(400, 100, "The call was already accepted");
const over = refusal(400, 100, "The call has already ended");
type Name = "preAccept" | "accept" | "reject" | "terminate";
const perform: Readonly<Record<Name, () => Promise<GraphOutcome>>> = {
  preAccept: () => preAccept(),
  accept: () => accept(),
  reject: () => client.reject(channel, wacid),
  terminate: () => client.terminate(channel, wacid),
};

test.each<[Name, string, Behaviour, boolean]>([
  ["preAccept", "already accepted", accepted, true],
  ["preAccept", "in progress", inProgress, true],
  ["preAccept", "over", over, false],
  ["accept", "already accepted", accepted, true],
  ["accept", "in progress", inProgress, true],
  ["accept", "over", over, false],
  ["reject", "already accepted", accepted, false],
  ["reject", "over", over, true],
  ["terminate", "in progress", inProgress, true],
  ["terminate", "over", over, true],
])("%s, repeated after a lost answer, hears that the call is %s", async (action, _, behave, good) => {
  script = [reset, behave];
  expect(await perform[action]()).toMatchObject({ ok: good, attempts: 2, ...(good ? {} : { failure: { code: 100 } }) });
});

test.each<[Name, Behaviour, boolean]>([
  ["preAccept", accepted, false],
  ["accept", inProgress, true],
  ["accept", over, true],
  ["reject", over, true],
  ["terminate", over, true],
])("%s that is refused at once has failed", async (action, behave, gone) => {
  script = [behave];
  expect(await perform[action]()).toMatchObject({ ok: false, attempts: 1, failure: { gone, retryable: false } });
});

test("a refusal by throttling was not obeyed, so its repetition proves nothing", async () => {
  script = [refusal(429, 130429), accepted];
  expect(await accept()).toMatchObject({ ok: false, attempts: 2, failure: { gone: false } });
});

test("an unknown phone number is not a call that has ended", async () => {
  script = [refusal(400, 100, "Object with ID '1' does not exist; no such call", { error_subcode: 33 })];
  expect(failureOf(await accept())).toMatchObject({ gone: false, hint: expect.stringContaining("phone_number_id") });
});

test("gives up at the deadline, with the last failure", async () => {
  script = [refusal(500, 131000)];
  const before = clock.now();
  const outcome = await preAccept(3_000);
  expect(failureOf(outcome)).toMatchObject({ code: 131000, httpStatus: 500, retryable: true });
  expect(outcome.attempts).toBeGreaterThanOrEqual(2);
  expect(outcome.attempts).toBeLessThan(8);
  expect(clock.now() - before).toBeLessThan(MUCH_LATER_MS);
});

test("a slow Meta cannot carry a request beyond the deadline", async () => {
  script = [silence];
  const before = clock.now();
  expect(failureOf(await preAccept(700))).toMatchObject({
    code: 0,
    httpStatus: 0,
    message: expect.stringMatching(/^no answer within (?:700|[56]\d\d) ms$/),
  });
  expect(clock.now() - before).toBeLessThan(MUCH_LATER_MS);
});

test("asks nothing when no time is left", async () => {
  expect(await preAccept(0)).toMatchObject({ ok: false, attempts: 0, failure: { retryable: false } });
  expect(seen).toEqual([]);
});

test("does not come back before Retry-After, nor wait for one beyond the deadline", async () => {
  const busy = json(429, { error: { code: 4, message: "busy" } }, { "retry-after": "3" });
  script = [busy, ok];
  const outcome = await preAccept();
  expect(outcome.ok && outcome.tookMs).toBeGreaterThanOrEqual(3_000);
  script = [busy];
  expect(await preAccept(2_000)).toMatchObject({ ok: false, attempts: 1, failure: { code: 4 } });
});

test("reject and terminate have an end of their own", async () => {
  script = [refusal(500, 131000)];
  const outcome = await client.terminate(channel, wacid);
  expect(outcome).toMatchObject({ ok: false, failure: { code: 131000 } });
  expect(outcome.attempts).toBe(8);
});

test("drops a huge answer without reading it to its end", async () => {
  script = [
    (response) => {
      response.writeHead(200, { "content-type": "application/json" });
      const more = () => void (response.destroyed || response.write(" ".repeat(16_384), () => setImmediate(more)));
      more();
    },
    ok,
  ];
  expect(await preAccept()).toMatchObject({ ok: true, attempts: 2 });
});

test("knows a closed port from a lost answer", async () => {
  const { port } = server.address() as AddressInfo;
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(await preAccept(3_000)).toMatchObject({
    ok: false,
    failure: { message: "ECONNREFUSED", hint: expect.stringContaining("graph_url") },
  });
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  script = [accepted];
  // Nothing had been sent, so "already accepted" was said of somebody else's answer.
  expect(await accept()).toMatchObject({ ok: false, attempts: 1 });
});

test("the text of a body that is not JSON does not come into the failure", async () => {
  script = [(response) => void response.writeHead(403).end(`no ${token}`)];
  expect(failureOf(await accept())).toMatchObject({ code: 0, httpStatus: 403, message: "HTTP status 403" });
});

test("has no more requests under way than allowed, and serves all", async () => {
  client = make({ maxConcurrent: 3 });
  script = [(response, request) => void setTimeout(() => ok(response, request), 5)];
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => client.terminate(channel, wacid)));
  expect(outcomes.every(({ ok: good }) => good)).toBe(true);
  expect(mostRunning).toBe(3);
});

test("does not let a line of waiting requests grow without end, nor wait in it beyond a deadline", async () => {
  client = make({ maxConcurrent: 1 });
  script = [silence];
  const first = preAccept(1_500);
  const late = preAccept(300);
  const others = Array.from({ length: 999 }, () => accept(1_000));
  expect(failureOf(await preAccept()).message).toContain("requests are waiting");
  expect(failureOf(await late).message).toContain("no time was left");
  await client.stop();
  expect((await Promise.all([first, ...others])).some(({ ok: good }) => good)).toBe(false);
});

test("stop gives up what is under way at once and refuses what comes later", async () => {
  script = [silence];
  const before = clock.now();
  const waiting = preAccept();
  while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
  await client.stop();
  expect(failureOf(await waiting).message).toBe("ponte is stopping");
  expect(failureOf(await accept()).message).toBe("ponte is stopping");
  expect(clock.now() - before).toBeLessThan(MUCH_LATER_MS);
  expect(seen).toHaveLength(1);
});

test("a channel without a token of its own uses the common one, and none is a failure with a hint", async () => {
  expect(failureOf(await client.reject("1", wacid))).toMatchObject({
    hint: expect.stringContaining("meta.access_token"),
  });
  client = make({ accessToken: "common" });
  expect(await client.reject("1", wacid)).toMatchObject({ ok: true });
  expect(seen.at(-1)).toMatchObject({ url: "/v23.0/1/calls", authorization: "Bearer common" });
});
