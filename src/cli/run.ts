import { execFile } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Config } from "#config/schema.ts";
import type { Log } from "#engine/ports.ts";
import { Daemon } from "#src/daemon.ts";
import { createLog } from "#src/log.ts";
import { pagesFolder } from "#src/pages/build.ts";
import { SandboxWorld } from "#src/sandbox-world.ts";
import { configPath, readConfig, readEnvironment } from "./config-file.ts";
import type { Command } from "./main.ts";
import { version } from "./version.ts";

const buildScript = fileURLToPath(new URL("../pages/build.ts", import.meta.url));
/** It takes about a second. */
const BUILD_LIMIT_MS = 60_000;

/** `ponte run`: the daemon on its configuration, or the sandbox where there is none. Ends on SIGINT or SIGTERM. */
export const run: Command = async (words) => {
  const path = words.includes("--sandbox") ? undefined : configPath(undefined);
  if (path !== undefined) return runDaemon(readConfig(path));
  return runSandbox();
};

async function runDaemon(config: Config): Promise<number> {
  const log = logOf(config);
  const daemon = new Daemon({ config, log, version, pagesFolder: await pages(log), onNewApiKey: showKey });
  await daemon.start();
  return untilTold(log, () => daemon.stop());
}

/** Settings that make sense in a sandbox come from the environment: where to listen and what to log. */
async function runSandbox(): Promise<number> {
  const { http, database, log: usual, sandbox } = readEnvironment();
  // The page shows what happens, and one line shall show where the page is.
  const logging = process.env["PONTE_LOG_LEVEL"] === undefined ? { ...usual, level: "warn" as const } : usual;
  const log = logOf({ log: logging });
  const world = new SandboxWorld({
    log,
    version,
    settings: { http, database, log: logging },
    page: sandbox,
    pagesFolder: await pages(log),
    onNewApiKey: showKey,
  });
  const addresses = await world.start();
  console.log(
    `ponte's sandbox: open ${addresses.pageUrl} and press Call; inbox, events and rules are at ${addresses.httpUrl}`,
  );
  return untilTold(log, () => world.stop());
}

/**
 * Built where they are missing or old, in a process of its own; a production install has no builder, and brings them built.
 * Returns their folder.
 */
async function pages(log: Log): Promise<string> {
  try {
    await promisify(execFile)(process.execPath, [buildScript], { timeout: BUILD_LIMIT_MS });
  } catch (error) {
    log.warn({ err: error }, "the pages could not be built; those of an earlier build are served, if there are any");
  }
  return pagesFolder;
}

function showKey(key: string): void {
  console.log(`API key, shown this once: ${key}`);
}

/** The log as configured: pretty in a terminal, JSON elsewhere, unless told otherwise. */
function logOf({ log }: Pick<Config, "log">): Log {
  const terminal = process.stdout.isTTY === true;
  const pretty = log.format === "pretty" || (log.format === "auto" && terminal);
  return createLog({
    level: log.level,
    pretty: pretty ? { colours: terminal } : false,
    redact: { phoneNumbers: log.phone_numbers },
  });
}

/**
 * Stops on the first signal and ends at once on the second. A bug that nobody caught is told and ends the process: what it
 * left behind is unknown, and the next start cleans up.
 */
async function untilTold(log: Log, stop: () => Promise<void>): Promise<number> {
  process.on("uncaughtException", (error) => {
    log.error({ err: error }, "uncaught exception");
    process.exit(70);
  });
  // A connection that breaks can reject a promise inside a library that nobody was given; that must not end the calls.
  process.on("unhandledRejection", (error) => log.error({ err: error }, "unhandled rejection"));
  await Promise.race([once(process, "SIGINT"), once(process, "SIGTERM")]);
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
  await stop();
  return 0;
}
