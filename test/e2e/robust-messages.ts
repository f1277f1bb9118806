import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { seededRandom } from "#sandbox/random.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { CHANNEL, MessageOutside, type Row } from "#test/support/message-outside.ts";

const CUSTOMERS = ["5511970000001", "5511970000002", "5511970000003"];
const WRITERS = ["5511980000001", "5511980000002", "5511980000003"];
/** Between two events of one person. */
const EVERY_MS = 100;
/** The gateway thinks this long, so that each kill finds some messages on their way. */
const THINKING_MS = 25;

/** People who write and customers who order, each one thing after the other, until told to stop. */
export class Stream {
  readonly said = new Map<string, string[]>();
  readonly ordered = new Map<string, string[]>();
  /** The texts of what was written, by the gateway's ids. */
  readonly textOf = new Map<string, string>();
  readonly #outside: MessageOutside;
  readonly #taken: Promise<boolean>[] = [];
  readonly #running: Promise<void>[];
  #stopped = false;

  constructor(outside: MessageOutside) {
    this.#outside = outside;
    for (const number of CUSTOMERS) outside.gateway.phone(number);
    this.#running = [
      ...WRITERS.map((number) => this.#write(number)),
      ...CUSTOMERS.map((number) => this.#order(number)),
    ];
  }

  /** Resolves when all of it was acknowledged. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#running);
    await Promise.all(this.#taken);
    const { log } = this.#outside.gateway;
    const lost = new Set(log.lost());
    const attempts = log.webhooks().filter(({ event, subject }) => lost.has(`${event} ${subject}`));
    expect(
      Object.entries(Object.groupBy(attempts, ({ subject, status }) => `${status} ${subject}`)).map(
        ([what, all]) => `${all?.length} × ${what}`,
      ),
    ).toEqual([]);
  }

  async #write(number: string): Promise<void> {
    const phone = this.#outside.gateway.phone(number);
    const texts: string[] = [];
    this.said.set(number, texts);
    while (!this.#stopped && !this.#outside.ended) {
      const text = `message ${texts.length} of ${number}`;
      texts.push(text);
      const { id, taken } = phone.say(text);
      this.textOf.set(`${CHANNEL}/${id}`, text);
      this.#taken.push(taken);
      await pause(EVERY_MS);
    }
  }

  async #order(number: string): Promise<void> {
    const texts: string[] = [];
    this.ordered.set(number, texts);
    while (!this.#stopped && !this.#outside.ended) {
      const text = `order ${texts.length} of ${number}`;
      texts.push(text);
      await this.#outside.order({ customer: number, text });
      await pause(EVERY_MS);
    }
  }
}

/** The same kills with a Postgres that lives on, and with one that dies with the daemon; at once, each in a world of its own. */
export function killedUnderLoad(kills: number, timeoutMs: number): void {
  let database: TestDatabase;
  let folder: string;

  beforeAll(async () => {
    database = await withDatabase();
    folder = mkdtempSync(join(tmpdir(), "ponte-messages-"));
    chmodSync(folder, 0o755);
  });

  afterAll(async () => {
    await database?.drop();
    rmSync(folder, { recursive: true, force: true });
  });

  describe.concurrent(`kill -9, ${kills} times, under a stream of webhooks and events`, () => {
    test.for([
      ["Postgres that lives on", () => ({ url: database.url })],
      ["the embedded Postgres, which dies as well", () => ({ data_dir: folder })],
    ] as const)(
      "with %s: what was acknowledged is processed, nobody is sent anything twice",
      { timeout: timeoutMs },
      async ([, settings]) => {
        const outside = await MessageOutside.start();
        try {
          const stream = await killAgainAndAgain(outside, settings(), kills);
          const all = await expectAllDone(outside, stream);
          expect(outside.gateway.log.webhooks("message").filter(({ status }) => status === 0).length).toBeGreaterThan(
            0,
          );
          expect(outside.refusals, "events that a kill cut off").toBeGreaterThan(0);
          expect(all.unsure, "messages of which a kill left unknown whether they were sent").toBeLessThan(all.sent / 4);
        } finally {
          await outside.stop();
        }
      },
    );
  });
}

async function killAgainAndAgain(outside: MessageOutside, database: Row, kills: number): Promise<Stream> {
  const random = seededRandom(kills);
  await outside.startDaemon(database);
  await outside.onboard();
  outside.gateway.faults.always("send", { kind: "slow", delayMs: THINKING_MS });
  const stream = new Stream(outside);
  for (let kill = 0; kill < kills; kill += 1) {
    await pause(150 + random() * 350);
    await outside.killDaemon();
    await outside.startDaemon(database);
  }
  await stream.stop();
  outside.gateway.faults.clear();
  return stream;
}

/**
 * Waits until everything has come to an end, and expects that the gateway, the webhook's target and the inbox saw what should follow
 * from what was acknowledged. Of `unsure` messages ponte does not know whether they were sent.
 */
export async function expectAllDone(
  outside: MessageOutside,
  stream: Stream,
): Promise<{ readonly sent: number; readonly unsure: number }> {
  const events = await outside.settled();
  const byId = new Map(events.map((event) => [event["event_id"], event]));
  const ofMessages = events.filter(({ type }) => type === "whatsapp.inbound.message");
  const eventOf = new Map<string, Row | undefined>([
    ...[...outside.acknowledged].map(([text, id]) => [text, byId.get(id)] as const),
    ...ofMessages.map((event) => [stream.textOf.get(String(event["external_id"])) ?? "", event] as const),
  ]);
  expect(ofMessages.length).toBe([...stream.said.values()].flat().length);
  let unsure = 0;
  for (const [number, texts] of [...stream.said, ...stream.ordered]) {
    const sent = outside.sentTo(number);
    expect(sent.length, `${number} was sent something twice`).toBe(new Set(sent).size);
    expect(sent, `the order of what ${number} was sent`).toEqual(texts.filter((text) => sent.includes(text)));
    for (const text of texts) {
      const event = eventOf.get(text);
      if (event?.["status"] === "processed" && sent.includes(text)) continue;
      // What was on its way at a kill has arrived or not: nobody knows, so it is not sent again, and a person may look at it.
      expect(event?.["status"], text).toBe("dead");
      const { effects } = await outside.api("GET", `/v1/event-log/${event?.["event_id"]}`);
      const states = (effects as readonly Row[]).flatMap(({ kind, state }) => (kind === "send_message" ? [state] : []));
      expect(states, text).toEqual(["unknown"]);
      unsure += 1;
    }
  }
  expect(outside.gateway.outbox.repeated()).toEqual([]);

  const told = new Set(outside.hook.documents().map((document) => (document["payload"] as Row)["text"]));
  expect([...outside.acknowledged.keys()].filter((text) => !told.has(text))).toEqual([]);
  await expectInbox(outside, stream);
  return { sent: outside.gateway.outbox.sent().length, unsure };
}

/** Each message that was written is in its conversation, once. */
async function expectInbox(outside: MessageOutside, stream: Stream): Promise<void> {
  const conversations = await outside.all("/v1/conversations", "conversations");
  const inbox: string[] = [];
  for (const { id } of conversations) {
    const messages = await outside.all(`/v1/conversations/${id}/messages`, "messages");
    inbox.push(
      ...messages.flatMap(({ direction, content }) => (direction === "in" ? [String((content as Row)["text"])] : [])),
    );
  }
  expect(inbox.toSorted()).toEqual([...stream.said.values()].flat().toSorted());
}
