import { createHmac } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import type { Delivery } from "#sandbox/wpp/webhooks.ts";
import { settle, WppBench } from "./bench.ts";

let bench: WppBench;

beforeEach(async () => {
  bench = new WppBench();
  await bench.connected();
});

const delivery = (subject: string, chat = "a@c.us"): Delivery => ({
  event: "message",
  channel: "clinic",
  at: 1,
  data: { id: subject },
  subject,
  chat,
});

test("repeats the same bytes after a refusal and after silence, then gives up", async () => {
  bench.answers.push(503, "silence", 500);
  const delivered = bench.webhooks.deliver(delivery("one"));
  await settle();
  bench.clock.advance(1_000);
  await settle();
  bench.clock.advance(10_000);
  await settle();
  bench.clock.advance(5_000);
  expect(await delivered).toBe(false);
  expect(bench.log.webhooks().map(({ attempt, status }) => [attempt, status])).toEqual([
    [1, 503],
    [2, 0],
    [3, 500],
  ]);
  expect(new Set(bench.posts.map(({ body }) => body)).size).toBe(1);
  expect(bench.log.lost()).toEqual(["message one"]);
  expect(bench.log.taken()).toEqual(new Set());
  expect(bench.clock.pending).toBe(0);
});

test("keeps the order of a chat through repetitions, and lets other chats pass", async () => {
  bench.answers.push(500);
  void bench.webhooks.deliver(delivery("a1"));
  void bench.webhooks.deliver(delivery("a2"));
  void bench.webhooks.deliver(delivery("b1", "b@c.us"));
  await settle();
  bench.clock.advance(1_000);
  await bench.webhooks.idle();
  expect(bench.documents().map(({ data }) => (data as { id: string }).id)).toEqual(["a1", "b1", "a1", "a2"]);
});

test("without order a repetition is overtaken", async () => {
  bench.modes = { ...bench.modes, order: "none" };
  bench.answers.push(500);
  void bench.webhooks.deliver(delivery("a1"));
  void bench.webhooks.deliver(delivery("a2"));
  await settle();
  bench.clock.advance(1_000);
  await bench.webhooks.idle();
  expect(bench.documents().map(({ data }) => (data as { id: string }).id)).toEqual(["a1", "a2", "a1"]);
});

test("doubles what was taken, and comes late when it shall", async () => {
  bench.modes = { ...bench.modes, duplicates: 2, lateMs: 60_000 };
  const delivered = bench.webhooks.deliver(delivery("one"));
  await settle();
  bench.clock.advance(59_999);
  await settle();
  expect(bench.posts).toEqual([]);
  bench.clock.advance(1);
  expect(await delivered).toBe(true);
  expect(bench.posts).toHaveLength(3);
  expect(new Set(bench.posts.map(({ body }) => body)).size).toBe(1);
  expect(bench.documents()[0]).toMatchObject({ timestamp: 1 });
});

test("shows the secret, or signs the bytes with it", async () => {
  await bench.webhooks.deliver(delivery("one"));
  expect(bench.posts[0]?.headers["x-gateway-secret"]).toBe("hook");
  bench.modes = { ...bench.modes, proof: "hmac" };
  await bench.webhooks.deliver(delivery("two"));
  const [, post] = bench.posts;
  const hex = createHmac("sha256", "hook")
    .update(post?.body ?? "")
    .digest("hex");
  expect(post?.headers).toMatchObject({ "x-webhook-signature": `sha256=${hex}` });
  expect(post?.headers["x-gateway-secret"]).toBeUndefined();
});

test("a channel's own address comes before everybody's, and without any nobody hears", async () => {
  bench.channels.create("other");
  await settle();
  expect(bench.log.lost()).toEqual(["connection.update qr"]);
  bench.webhooks.setTarget({ url: "http://ponte.test/everybody" });
  await bench.webhooks.deliver({ ...delivery("one"), channel: "other" });
  await bench.webhooks.deliver(delivery("two"));
  expect(bench.posts.map(({ url }) => url)).toEqual(["http://ponte.test/everybody", "http://ponte.test/hook"]);
});

test("the address may change between two attempts", async () => {
  bench.answers.push(500);
  const delivered = bench.webhooks.deliver(delivery("one"));
  await settle();
  bench.webhooks.setTarget({ url: "http://ponte.test/new" }, "clinic");
  bench.clock.advance(1_000);
  expect(await delivered).toBe(true);
  expect(bench.posts.map(({ url }) => url)).toEqual(["http://ponte.test/hook", "http://ponte.test/new"]);
});

test("stopping ends what is under way and what waits, and leaves no timer", async () => {
  bench.answers.push("silence");
  const all = [
    bench.webhooks.deliver(delivery("one")),
    bench.webhooks.deliver(delivery("two")),
    bench.webhooks.deliver(delivery("three", "b@c.us")),
  ];
  await settle();
  bench.webhooks.stop();
  expect(await Promise.all(all)).toEqual([false, false, true]);
  await bench.webhooks.idle();
  expect(bench.clock.pending).toBe(0);
  expect(bench.log.lost()).toEqual([]);
});

test.each([
  ["empty", ""],
  ["not_json", "event=message&from=5511987654321"],
  ["truncated", expect.stringMatching(/^\{"event":"message"[^}]*$/)],
  ["too_deep", expect.stringMatching(/\[{20000}/)],
  ["oversized", expect.objectContaining({ length: expect.any(Number) })],
  ["other_channel", expect.stringContaining('"channel":"somebody-else"')],
  ["unknown_event", expect.stringContaining('"event":"party"')],
  ["wrong_types", expect.stringContaining('"id":7')],
] as const)("forges a body: %s, once, whatever the answer", async (kind, body) => {
  bench.answers.push(500);
  expect(await bench.webhooks.forge("clinic", kind, delivery("one"))).toBe(500);
  expect(bench.posts).toHaveLength(1);
  if (kind === "oversized") expect(bench.posts[0]?.body?.length).toBeGreaterThan(20_000_000);
  else expect(bench.posts[0]?.body).toEqual(body);
  expect(bench.posts[0]?.headers["x-gateway-secret"]).toBe("hook");
  expect(bench.clock.pending).toBe(0);
});

test.each([
  ["wrong_secret", "not hook"],
  ["no_secret", undefined],
] as const)("forges where it comes from: %s", async (kind, secret) => {
  await bench.webhooks.forge("clinic", kind, delivery("one"));
  expect(bench.posts[0]?.headers["x-gateway-secret"]).toBe(secret);
});
