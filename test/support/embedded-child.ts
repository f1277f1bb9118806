import { createInterface } from "node:readline";
import { systemClock } from "#engine/system-clock.ts";
import { startEmbedded } from "#store/embedded/cluster.ts";
import { openStore } from "#store/store.ts";
import { quietLog } from "#test/support/quiet-log.ts";

/**
 * A daemon to be killed: `node embedded-child.ts server <data dir>` starts an embedded Postgres; `inbox <url>` opens a
 * store and accepts webhooks as fast as it can, printing the number of each that was acknowledged. Ends when its standard
 * input does.
 */
/** Webhooks that wait for their commit at any time. */
const MAX_WAITING = 300;

const [mode, place = ""] = process.argv.slice(2);
const say = (line: object) => process.stdout.write(`${JSON.stringify(line)}\n`);
const ended = new Promise<void>((resolve) => createInterface({ input: process.stdin }).on("close", resolve));

if (mode === "server") {
  const server = await startEmbedded({ dataDir: place, log: quietLog(), durable: false, mayCreateUser: false });
  say({ url: server.url, pid: server.pid() });
  await ended;
  await server.stop();
} else if (mode === "inbox") {
  const store = await openStore({ url: place, log: quietLog(), clock: systemClock, version: "test" });
  let waiting = 0;
  for (let n = 0; ; n++) {
    waiting += 1;
    store.inbox.accept("meta", Buffer.from(JSON.stringify({ n }))).then(({ id }) => {
      waiting -= 1;
      say({ n });
      // Every third is worked off.
      if (n % 3 === 0) store.inbox.done(id);
    });
    while (waiting > MAX_WAITING) await new Promise(setImmediate);
  }
}
