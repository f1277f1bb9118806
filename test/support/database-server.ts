import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { connect } from "#store/client.ts";
import { type EmbeddedServer, startEmbedded } from "#store/embedded/cluster.ts";
import { migrate } from "#store/migrate.ts";
import { quietLog } from "#test/support/quiet-log.ts";

declare module "vitest" {
  export interface ProvidedContext {
    /** Unix socket of the process that starts the test server for whoever asks first. */
    databaseAsk: string;
  }
}

/** Several files at once, some of which run several daemons at once; a killed one's connections live on for a moment. */
const CONNECTIONS = 300;

/** What a test process is told. */
export interface TestServer {
  /** The server's URL, with an administrative database. */
  readonly url: string;
  /** A migrated database to copy. */
  readonly template: string;
}

/**
 * Vitest's global setup: the suite's one Postgres. It is started when the first test asks for it, so that pure tests do
 * not pay for it, and belongs to vitest's own process, so that it ends with it whatever happens.
 */
export async function setup(project: TestProject): Promise<void> {
  const folder = mkdtempSync("/tmp/ponte-test-");
  // The server may run as another user than root.
  chmodSync(folder, 0o755);
  let starting: Promise<{ readonly server: EmbeddedServer | undefined; readonly told: TestServer }> | undefined;
  const ask = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    starting ??= start(join(folder, "data"));
    starting.then(
      ({ told }) => socket.end(JSON.stringify(told)),
      (error: unknown) => socket.end(JSON.stringify({ error: String(error) })),
    );
  });
  const path = join(folder, "ask");
  await once(ask.listen(path), "listening");
  project.provide("databaseAsk", path);
  undo = async () => {
    ask.close();
    const started = await starting?.catch(() => undefined);
    if (started !== undefined) await stop(started.server, started.told);
    rmSync(folder, { recursive: true, force: true });
  };
}

let undo: (() => Promise<void>) | undefined;

export async function teardown(): Promise<void> {
  await undo?.();
}

async function start(dataDir: string) {
  const given = process.env["PONTE_TEST_DATABASE_URL"];
  const server =
    given === undefined
      ? await startEmbedded({
          dataDir,
          log: quietLog(),
          durable: false,
          mayCreateUser: false,
          database: "admin",
          connections: CONNECTIONS,
        })
      : undefined;
  const url = given ?? server?.url ?? "";
  const template = `ponte_template_${randomBytes(4).toString("hex")}`;
  const admin = connect({ url, connections: 1 });
  await admin`create database ${admin(template)}`;
  await admin.end();
  await migrate({ url: databaseUrl(url, template), log: quietLog() });
  return { server, told: { url, template } };
}

async function stop(server: EmbeddedServer | undefined, told: TestServer): Promise<void> {
  if (server !== undefined) return server.stop();
  const admin = connect({ url: told.url, connections: 1 });
  await admin`drop database if exists ${admin(told.template)} with (force)`;
  await admin.end();
}

/** The same server, another database. */
export function databaseUrl(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.toString();
}
