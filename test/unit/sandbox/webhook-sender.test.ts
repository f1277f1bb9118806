import { beforeEach, expect, test } from "vitest";
import type { HttpAnswer, HttpRequest } from "#sandbox/http-client.ts";
import { MetaLog } from "#sandbox/meta/log.ts";
import { type Delivery, signBody, WebhookSender } from "#sandbox/meta/webhook-sender.ts";
import { seededRandom } from "#sandbox/random.ts";
import { FakeClock } from "#test/support/fake-clock.ts";

const target = { url: "http://ponte.test/webhooks/meta?x=1", verifyToken: "verify", appSecret: "secret" };
const delivery: Delivery = { event: "connect", wacids: ["wacid.1"], body: { text: "é/" }, signature: "right" };

let clock: FakeClock;
let log: MetaLog;
let posts: HttpRequest[];
let gets: HttpRequest[];
/** What the address answers to POST, one after the other, then 200; "silence" answers nothing. */
let answers: (number | "silence")[];
let challengeComesBack: boolean;
let sender: WebhookSender;

function send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  if (request.method === "GET") {
    gets.push(request);
    const body = challengeComesBack ? (new URL(request.url).searchParams.get("hub.challenge") ?? "") : "";
    return Promise.resolve({ status: 200, body });
  }
  posts.push(request);
  const answer = answers.shift() ?? 200;
  if (answer !== "silence") return Promise.resolve({ status: answer, body: "" });
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(new Error("aborted"))));
}

beforeEach(() => {
  clock = new FakeClock();
  log = new MetaLog(() => clock.now());
  posts = [];
  gets = [];
  answers = [];
  challengeComesBack = true;
  const timings = { delayMs: 0, timeoutMs: 20_000, retryDelaysMs: [1_000, 5_000] };
  sender = new WebhookSender({ clock, random: seededRandom(1), send, log, timings });
});

const settle = async (): Promise<void> => {
  for (let i = 0; i < 20; i += 1) await Promise.resolve();
};

test("W1: the address is verified before the first POST, with a challenge that must come back", async () => {
  expect(await sender.subscribe(target)).toBe(true);
  const url = new URL(gets[0]?.url ?? "");
  expect(Object.fromEntries(url.searchParams)).toEqual({
    x: "1",
    "hub.mode": "subscribe",
    "hub.challenge": expect.stringMatching(/^\d{9}$/),
    "hub.verify_token": "verify",
  });
  expect(await sender.deliver(delivery)).toBe(true);
  expect(gets).toHaveLength(1);
});

test("W1: an address that does not give it back gets nothing, and is asked again with the next event", async () => {
  challengeComesBack = false;
  expect(await sender.subscribe(target)).toBe(false);
  const delivered = sender.deliver(delivery);
  await settle();
  expect(posts).toEqual([]);
  challengeComesBack = true;
  clock.advance(1_000);
  expect(await delivered).toBe(true);
  expect(posts).toHaveLength(1);
  expect(
    log
      .entries()
      .filter((entry) => entry.kind === "verification")
      .map((entry) => entry.ok),
  ).toEqual([false, false, true]);
});

test("W2 and W3: signed over the bytes that go out", async () => {
  await sender.subscribe(target);
  await sender.deliver(delivery);
  expect(posts[0]?.body).toBe(String.raw`{"text":"\u00e9\/"}`);
  expect(posts[0]?.headers).toMatchObject({
    "content-type": "application/json",
    "user-agent": "facebookexternalua",
    "x-hub-signature-256": signBody(posts[0]?.body ?? "", "secret"),
  });
});

test.each(["wrong", "missing"] as const)("W2: a %s signature is sent once, and must be refused", async (signature) => {
  await sender.subscribe(target);
  answers = [401];
  await sender.deliver({ ...delivery, signature });
  expect(posts[0]?.headers["x-hub-signature-256"]).not.toBe(signBody(posts[0]?.body ?? "", "secret"));
  expect(posts[0]?.headers["x-hub-signature-256"] === undefined).toBe(signature === "missing");
  expect(log.violations()).toEqual([]);
  await sender.deliver({ ...delivery, signature });
  expect(log.violations("W2")).toHaveLength(1);
  expect(posts).toHaveLength(2);
  expect(clock.pending).toBe(0);
});

test("W5: repeated with the same bytes after 1 s and 5 s, then given up", async () => {
  await sender.subscribe(target);
  answers = [500, 503, 404];
  const delivered = sender.deliver(delivery);
  await settle();
  expect(posts).toHaveLength(1);
  clock.advance(999);
  await settle();
  expect(posts).toHaveLength(1);
  clock.advance(1);
  await settle();
  expect(posts).toHaveLength(2);
  clock.advance(5_000);
  expect(await delivered).toBe(false);
  expect(new Set(posts.map((post) => `${post.body} ${post.headers["x-hub-signature-256"]}`)).size).toBe(1);
  expect(log.webhooks("connect").map(({ attempt, status }) => [attempt, status])).toEqual([
    [1, 500],
    [2, 503],
    [3, 404],
  ]);
});

test("W5: 20 s without an answer count as a failure", async () => {
  await sender.subscribe(target);
  answers = ["silence"];
  const delivered = sender.deliver(delivery);
  await settle();
  clock.advance(19_999);
  await settle();
  expect(log.webhooks()).toEqual([]);
  clock.advance(1);
  await settle();
  expect(log.webhooks()).toMatchObject([{ status: 0, tookMs: 20_000 }]);
  clock.advance(1_000);
  expect(await delivered).toBe(true);
});

test("stopping ends what is under way and leaves no timer", async () => {
  await sender.subscribe(target);
  answers = ["silence", 500];
  const delivered = [sender.deliver(delivery), sender.deliver(delivery)];
  await settle();
  sender.stop();
  expect(await Promise.all(delivered)).toEqual([false, false]);
  await sender.idle();
  expect(clock.pending).toBe(0);
});
