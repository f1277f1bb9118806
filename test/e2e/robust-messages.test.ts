import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { withDatabase } from "#test/support/database.ts";
import { MessageOutside, type Row } from "#test/support/message-outside.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { eventually } from "#test/support/world.ts";
import { expectAllDone, Stream } from "./robust-messages.ts";

/** A world for one test, so that those that wait do it together. */
async function inWorld(work: (outside: MessageOutside, databaseUrl: string) => Promise<void>): Promise<void> {
  const [outside, database] = await Promise.all([MessageOutside.start(), withDatabase()]);
  try {
    await work(outside, database.url);
  } catch (cause) {
    throw new Error(`${cause}: ${JSON.stringify(outside.story())}`, { cause });
  } finally {
    await outside.stop();
    await database.drop();
  }
}

describe.concurrent("somebody is away for a while, and everything arrives when they are back, in its order", () => {
  test("the gateway", () =>
    inWorld(async (outside, url) => {
      await outside.startDaemon({ url });
      await outside.onboard();
      await outside.gateway.goDown();
      const stream = new Stream(outside);
      await outside.said("a message was not sent; trying again");
      expect(outside.gateway.outbox.sent()).toEqual([]);
      await outside.gateway.comeBack();
      await stream.stop();
      const { sent, unsure } = await expectAllDone(outside, stream);
      expect(unsure).toBe(0);
      expect(sent).toBe([...stream.said.values(), ...stream.ordered.values()].flat().length);
    }));

  test("a webhook's target; what was given up is delivered when it is asked for", () =>
    inWorld(async (outside, url) => {
      const [ana, bia] = ["5511970000001", "5511970000002"];
      const { hook, gateway } = outside;
      for (const number of [ana, bia]) gateway.phone(number);
      await outside.startDaemon({ url });
      const { endpointId } = await outside.onboard();
      const told = (customer: string) =>
        hook.documents().flatMap((each) => {
          const payload = each["payload"] as Row;
          return payload["customer"] === customer ? [payload["text"]] : [];
        });
      hook.answers.push(503);
      await outside.order({ customer: ana, text: "a0" });
      await eventually("the refusal", async () => (hook.requests.length > 0 ? true : undefined));
      for (const text of ["a1", "a2"]) await outside.order({ customer: ana, text });
      for (const text of ["b0", "b1"]) await outside.order({ customer: bia, text });
      await outside.settled();
      // What waits holds up its own conversation, and no other.
      expect(told(ana)).toEqual(["a0", "a0", "a1", "a2"]);
      expect(told(bia)).toEqual(["b0", "b1"]);
      expect(hook.documents().findLastIndex((each) => (each["payload"] as Row)["text"] === "a0")).toBeGreaterThan(1);
      expect(new Set(hook.documents().map(({ id }) => id)).size).toBe(5);

      hook.answers.push(410);
      await outside.order({ customer: bia, text: "b2" });
      await outside.settled();
      await outside.order({ customer: bia, text: "b3" });
      const settled = await outside.settled();
      expect(settled.flatMap(({ external_id: id, status }) => (status === "dead" ? [id] : []))).toEqual(["b2"]);
      const [dead, ...others] = await outside.all(`/v1/deliveries?state=dead&endpoint_id=${endpointId}`, "deliveries");
      expect(others).toEqual([]);
      expect(await outside.api("POST", `/v1/deliveries/${dead?.["id"]}/replay`)).toEqual({ replayed: 1 });
      await eventually("the delivery", async () => (told(bia).length === 5 ? true : { missing: told(bia) }));
      expect(told(bia)).toEqual(["b0", "b1", "b2", "b3", "b2"]);
      const after = await outside.settled();
      expect(after.filter(({ status }) => status === "dead")).toEqual([]);
      expect(outside.sentTo(bia)).toEqual(["b0", "b1", "b2", "b3"]);
    }));

  test("a customer's phone: the message that was given up is sent by a replay, and nothing else again", () =>
    inWorld(async (outside, url) => {
      const number = "5511970000009";
      await outside.startDaemon({ url });
      await outside.onboard();
      await outside.order({ customer: number, text: "early" });
      const [dead] = (await outside.settled()).filter(({ status }) => status === "dead");
      expect(dead).toMatchObject({ external_id: "early", type: "order.paid" });
      outside.gateway.phone(number);
      expect(await outside.api("POST", `/v1/event-log/${dead?.["event_id"]}/replay`, {})).toEqual({ replayed: 1 });
      await eventually("the message", async () => (outside.sentTo(number).length > 0 ? true : undefined));
      expect((await outside.settled()).filter(({ status }) => status === "dead")).toEqual([]);
      expect(outside.sentTo(number)).toEqual(["early"]);
      expect(outside.hook.requests.length).toBe(1);
      // Again: there is nothing left to do.
      expect(await outside.api("POST", `/v1/event-log/${dead?.["event_id"]}/replay`, {})).toEqual({ replayed: 1 });
      await outside.settled();
      expect(outside.sentTo(number)).toEqual(["early"]);
      expect(outside.hook.requests.length).toBe(1);
    }));

  test("the database: nothing is acknowledged meanwhile", () =>
    inWorld(async (outside) => {
      const folder = mkdtempSync(join(tmpdir(), "ponte-away-"));
      chmodSync(folder, 0o755);
      const startServer = () =>
        startEmbedded({ dataDir: folder, log: quietLog(), durable: false, mayCreateUser: false });
      let server: EmbeddedServer = await startServer();
      try {
        await outside.startDaemon({ url: server.url });
        await outside.onboard();
        const stream = new Stream(outside);
        await eventually("some messages", async () => (outside.gateway.outbox.sent().length > 10 ? true : undefined));
        await server.stop();
        const refused = () => outside.gateway.log.webhooks().filter(({ status }) => status === 503).length;
        await eventually(
          "some refusals",
          async () => (outside.refusals > 0 && refused() > 0 ? true : undefined),
          20_000,
        );
        server = await startServer();
        await stream.stop();
        const { sent, unsure } = await expectAllDone(outside, stream);
        expect(unsure).toBe(0);
        expect(sent).toBe([...stream.said.values(), ...stream.ordered.values()].flat().length);
      } finally {
        await outside.killDaemon();
        await server.stop();
        rmSync(folder, { recursive: true, force: true });
      }
    }));
});
