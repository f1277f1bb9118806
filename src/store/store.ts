import { randomBytes } from "node:crypto";
import { uuidV7 } from "#core/id.ts";
import type { Clock, Log } from "#engine/ports.ts";
import { ApiKeys } from "./api-keys.ts";
import { CallReader } from "./call-reader.ts";
import { CallStore } from "./calls.ts";
import { type Database, openDatabase } from "./database.ts";
import { WebhookInbox } from "./inbox.ts";
import { CallJournal } from "./journal.ts";
import { migrate } from "./migrate.ts";
import { Node } from "./nodes.ts";
import { type OrphanedCall, sweepDead } from "./sweep.ts";

export interface StoreOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Of this build, for the table of nodes. */
  readonly version: string;
  /** Absent: Postgres of our own. */
  readonly url?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly connections?: number;
}

/** Everything that ponte keeps, opened in order. */
export interface Store {
  readonly database: Database;
  readonly nodeId: string;
  /** Implements `CallJournalPort` and `CallMemoryPort`. */
  readonly journal: CallJournal;
  readonly inbox: WebhookInbox;
  readonly calls: CallReader;
  readonly apiKeys: ApiKeys;
  /** Ends the calls of nodes that died, each for one caller only; to be asked at the start and every few seconds. */
  sweepDead(): Promise<readonly OrphanedCall[]>;
  /** Writes what waits, signs off, closes, and stops an embedded server. May be called twice. */
  close(): Promise<void>;
}

/** Opens the database, migrates it, registers this node and starts its heartbeat. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { log, clock } = options;
  const database = await openDatabase(options);
  try {
    await migrate({ url: database.url, log });
    const nodeId = uuidV7(clock.now(), randomBytes(16));
    const node = new Node({ url: database.url, nodeId, version: options.version, clock, log });
    await node.start();
    return assemble(options, database, node);
  } catch (error) {
    await database.close();
    throw error;
  }
}

function assemble({ log, clock }: StoreOptions, database: Database, node: Node): Store {
  const { sql } = database;
  const random = () => randomBytes(16);
  const view = () => ({ sole: database.embedded, healthyForMs: node.healthyForMs() });
  const journal = new CallJournal({ store: new CallStore(sql, node.id), clock, log, random });
  const inbox = new WebhookInbox({ sql, nodeId: node.id, clock, log, random, recorded: () => journal.written() });
  let closing: Promise<void> | undefined;
  const close = async () => {
    await Promise.all([journal.close(), inbox.close()]);
    await node.stop();
    await database.close();
  };
  return {
    database,
    nodeId: node.id,
    journal,
    inbox,
    calls: new CallReader(database),
    apiKeys: new ApiKeys(sql),
    sweepDead: () => sweepDead(sql, node.id, view()),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
