import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { expect, test } from "vitest";
import { type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { withDatabase } from "#test/support/database.ts";
import { MessageOutside } from "#test/support/message-outside.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import { eventually } from "#test/support/world.ts";
import { expectAllDone, Stream } from "./robust-messages.ts";

/** A world for one test, so that those that wait do it together. */
export async function inWorld(work: (outside: MessageOutside, databaseUrl: string) => Promise<void>): Promise<void> {
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

/** What piled up meanwhile takes its time. */
const timeoutMs = (forMs: number): number => 60_000 + 4 * forMs;

/** The gateway is down for so long, and at least until a message could not be sent. */
export function gatewayAway(forMs: number): void {
  test(`the gateway, for ${forMs} ms`, { timeout: timeoutMs(forMs) }, () =>
    inWorld(async (outside, url) => {
      await outside.startDaemon({ url });
      await outside.onboard();
      await outside.gateway.goDown();
      const stream = new Stream(outside);
      await pause(forMs);
      await outside.said("a message was not sent; trying again");
      expect(outside.gateway.outbox.sent()).toEqual([]);
      await outside.gateway.comeBack();
      await stream.stop();
      const { sent, unsure } = await expectAllDone(outside, stream);
      expect(unsure).toBe(0);
      expect(sent).toBe([...stream.said.values(), ...stream.ordered.values()].flat().length);
    }),
  );
}

/** The database is down for so long, and at least until something was refused. */
export function databaseAway(forMs: number): void {
  test(`the database, for ${forMs} ms: nothing is acknowledged meanwhile`, { timeout: timeoutMs(forMs) }, () =>
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
        await pause(forMs);
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
    }),
  );
}
