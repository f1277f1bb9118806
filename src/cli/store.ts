import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "#config/schema.ts";
import { systemClock } from "#engine/system-clock.ts";
import { createLog } from "#src/log.ts";
import { defaultDataDir, urlOf } from "#store/embedded/cluster.ts";
import { behind, readPostmasterFile } from "#store/embedded/postmaster-file.ts";
import { openStore, type Store } from "#store/store.ts";
import { configPath, readConfig, readEnvironment } from "./config-file.ts";
import { version } from "./version.ts";

/** Opens the configured store for one command, also beside a daemon that is running, and closes it. */
export async function withStore<T>(work: (store: Store) => Promise<T>): Promise<T> {
  const { database } = configured();
  const dataDir = database.data_dir ?? defaultDataDir();
  const store = await openStore({
    log: createLog({ level: "error", pretty: false, redact: { phoneNumbers: "masked" } }),
    clock: systemClock,
    version,
    url: database.url ?? runningEmbedded(dataDir),
    dataDir,
    secretKey: database.secret_key,
  });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function configured(): Config {
  const path = configPath(undefined);
  return path === undefined ? readEnvironment() : readConfig(path);
}

/** The server of a daemon that is running on this directory; undefined: none is, and we start our own. */
function runningEmbedded(dataDir: string): string | undefined {
  const pgdata = join(dataDir, "pgdata");
  const file = readPostmasterFile(pgdata);
  if (file === undefined || !file.ready || behind(file.pid, pgdata) !== "postmaster") return undefined;
  // Lines 4 and 5 of postmaster.pid: the port and the socket directory.
  const [, , , port, host] = readFileSync(join(pgdata, "postmaster.pid"), "utf8").split("\n");
  if (port === undefined || host === undefined || host === "") return undefined;
  return urlOf({ host, port: Number(port), user: "ponte", database: "ponte" });
}
