import { afterEach, beforeEach, expect, test } from "vitest";
import { API_KEY, FakeHouse, type RunningHttp, startHttp } from "#test/support/http.ts";

let house: FakeHouse;
let http: RunningHttp;

beforeEach(async () => {
  house = new FakeHouse();
  http = await startHttp(house);
});

afterEach(async () => {
  await http.server.stop();
  expect([house.watchers.size, house.clock.pending]).toEqual([0, 0]);
});

/** Reads a stream piece by piece. */
class Listener {
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #text = "";

  constructor(response: Response) {
    this.response = response;
    if (response.body === null) throw new Error("no body");
    this.#reader = response.body.getReader();
  }

  /** Everything so far, once it ends with `end`. */
  async until(end: string): Promise<string> {
    while (!this.#text.endsWith(end)) {
      const { done, value } = await this.#reader.read();
      if (done) throw new Error(`ended with: ${this.#text}`);
      this.#text += Buffer.from(value).toString();
    }
    return this.#text;
  }

  /** Resolves when the server ends the stream. */
  async ended(): Promise<boolean> {
    for (;;) {
      const { done } = await this.#reader.read();
      if (done) return true;
    }
  }

  close(): Promise<void> {
    return this.#reader.cancel();
  }
}

async function listen(query = ""): Promise<Listener> {
  const listener = new Listener(await fetch(`${http.url}/v1/events${query}`, { headers: { "x-api-key": API_KEY } }));
  await listener.until(": connected\n\n");
  return listener;
}

const event = (type: string) => ({ at: 1_760_681_506_000, type, data: { text: "a\nb" } });

test("tells every timeline event as one message", async () => {
  const listener = await listen();
  expect(listener.response.headers.get("content-type")).toBe("text/event-stream");
  house.tell("c1", event("call.received"));
  house.tell("c2", event("leg_answered"));
  const text = await listener.until('"leg_answered","data":{"text":"a\\nb"}}\n\n');
  expect(text).toBe(
    "retry: 2000\n: connected\n\n" +
      'data: {"call_id":"c1","at":"2025-10-17T06:11:46.000Z","type":"call.received","data":{"text":"a\\nb"}}\n\n' +
      'data: {"call_id":"c2","at":"2025-10-17T06:11:46.000Z","type":"leg_answered","data":{"text":"a\\nb"}}\n\n',
  );
});

test("tells of one call alone when asked so", async () => {
  const listener = await listen("?call_id=c2");
  house.tell("c1", event("one"));
  house.tell("c2", event("two"));
  expect(await listener.until('"}}\n\n')).not.toContain('"c1"');
});

test("shows every 15 s that it is there", async () => {
  const listener = await listen();
  house.clock.advance(15_000);
  await listener.until(": still here\n\n");
  house.clock.advance(15_000);
  await listener.until(": still here\n\n: still here\n\n");
});

test("forgets who has left", async () => {
  const listener = await listen();
  expect(house.watchers.size).toBe(1);
  await listener.close();
  await expect.poll(() => [house.watchers.size, house.clock.pending]).toEqual([0, 0]);
});

test("ends every stream when it stops", async () => {
  const listeners = [await listen(), await listen()];
  await http.server.stop();
  expect(await Promise.all(listeners.map((listener) => listener.ended()))).toEqual([true, true]);
});

test("has room for 50", async () => {
  const listeners = await Promise.all(Array.from({ length: 50 }, () => listen()));
  const answer = await http.get("/v1/events");
  expect(answer).toMatchObject({ status: 503, json: { error: { code: "too_many_streams" } } });
  await listeners[0]?.close();
  await expect.poll(() => house.watchers.size).toBe(49);
  await listen();
});

test("cuts a listener that does not read", async () => {
  const listener = await listen();
  const big = { at: 0, type: "x", data: { text: "x".repeat(1_000_000) } };
  // The kernel's buffers take some megabytes before anything waits in ours.
  for (let i = 0; i < 100 && house.watchers.size > 0; i++) {
    house.tell("c1", big);
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(house.watchers.size).toBe(0);
  expect(house.collected.lines().some(({ msg }) => msg.startsWith("event stream cut"))).toBe(true);
  await listener.close().catch(() => undefined);
});
