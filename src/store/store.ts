import { randomBytes } from "node:crypto";
import { uuidV7 } from "#core/id.ts";
import type { Clock, Log } from "#engine/ports.ts";
import { ApiKeys } from "./api-keys.ts";
import { CallReader } from "./call-reader.ts";
import { CallStore } from "./calls.ts";
import { ChannelDirectory } from "./channels.ts";
import { connect } from "./client.ts";
import { DEFAULT_CONNECTIONS, shareConnections } from "./connection-shares.ts";
import { ContactStore } from "./contacts.ts";
import { Conversations } from "./conversations.ts";
import { type Database, openDatabase } from "./database.ts";
import { DeliveryStore } from "./deliveries.ts";
import { EffectLedger } from "./effects.ts";
import { EndpointStore } from "./endpoints.ts";
import { EventIntake } from "./event-intake.ts";
import { EventLog } from "./events.ts";
import { WebhookInbox } from "./inbox.ts";
import { CallJournal } from "./journal.ts";
import { migrate } from "./migrate.ts";
import { Node } from "./nodes.ts";
import { LaneQueue, WORKER_LOCK_TIMEOUT_MS } from "./queue.ts";
import { RuleStore } from "./rules.ts";
import { SecretBox } from "./secret-box.ts";
import { type OrphanedCall, sweepDead } from "./sweep.ts";
import { Tenants } from "./tenants.ts";
import { Wake } from "./wake.ts";

/** A stopping daemon waits this long for the queue's statements. */
const CLOSE_TIMEOUT_S = 2;

export interface StoreOptions {
  readonly log: Log;
  readonly clock: Clock;
  /** Of this build, for the table of nodes. */
  readonly version: string;
  /** Absent: Postgres of our own. */
  readonly url?: string | undefined;
  readonly dataDir?: string | undefined;
  /** At most so many, all in all; 28 when absent. */
  readonly connections?: number;
  /** Seals secrets of tenants, at least 16 characters; without it they are stored in clear. */
  readonly secretKey?: string | undefined;
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
  readonly tenants: Tenants;
  readonly intake: EventIntake;
  readonly events: EventLog;
  readonly queue: LaneQueue;
  readonly effects: EffectLedger;
  readonly rules: RuleStore;
  readonly channels: ChannelDirectory;
  readonly contacts: ContactStore;
  readonly conversations: Conversations;
  readonly endpoints: EndpointStore;
  readonly deliveries: DeliveryStore;
  /** Ends the calls of nodes that died, each for one caller only; to be asked at the start and every few seconds. */
  sweepDead(): Promise<readonly OrphanedCall[]>;
  /** Writes what waits, signs off, closes, and stops an embedded server. May be called twice. */
  close(): Promise<void>;
}

/** Opens the database, migrates it, registers this node and starts its heartbeat. */
export async function openStore(options: StoreOptions): Promise<Store> {
  const { log, clock } = options;
  const box = new SecretBox(options.secretKey);
  const connections = options.connections ?? DEFAULT_CONNECTIONS;
  const database = await openDatabase({
    ...options,
    connections: shareConnections(connections).common,
    allowed: connections,
  });
  try {
    await migrate({ url: database.url, log });
    const nodeId = uuidV7(clock.now(), randomBytes(16));
    const node = new Node({ url: database.url, nodeId, version: options.version, clock, log });
    await node.start();
    return assemble(options, database, node, box);
  } catch (error) {
    await database.close();
    throw error;
  }
}

function assemble(options: StoreOptions, database: Database, node: Node, box: SecretBox): Store {
  const { log, clock } = options;
  const { sql } = database;
  const random = () => randomBytes(16);
  const view = () => ({ sole: database.embedded, healthyForMs: node.healthyForMs() });
  const journal = new CallJournal({ store: new CallStore(sql, node.id), clock, log, random });
  const inbox = new WebhookInbox({ sql, nodeId: node.id, clock, log, random, recorded: () => journal.written() });
  const { stop, ...router } = assembleRouter(options, database, node, box);
  let closing: Promise<void> | undefined;
  const close = async () => {
    await Promise.all([journal.close(), inbox.close(), stop()]);
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
    tenants: new Tenants(sql),
    ...router,
    sweepDead: () => sweepDead(sql, node.id, view()),
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

/** What the event router needs, and what ends it. */
function assembleRouter({ log, clock, connections }: StoreOptions, { sql, url }: Database, node: Node, box: SecretBox) {
  const random = () => randomBytes(16);
  if (!box.seals) log.info({}, "secrets of tenants are stored in clear: no secret key is configured");
  const shares = shareConnections(connections ?? DEFAULT_CONNECTIONS);
  const worker = { url, lockTimeoutMs: WORKER_LOCK_TIMEOUT_MS };
  const workers = connect({ ...worker, connections: shares.workers });
  const hurriedWorkers = connect({ ...worker, connections: shares.hurriedWorkers, hurried: true });
  // What is written here is followed by a commit that waits for the disk, of the job or of the queue, and is done again without it.
  const hurried = connect({ url, connections: shares.inbox, hurried: true });
  const wake = new Wake({ url, sql, nodeId: node.id, clock, log });
  wake.start();
  const deliveries = new DeliveryStore({ sql, wake, random });
  return {
    intake: new EventIntake({ sql, wake }),
    events: new EventLog({ sql, deliveries, wake }),
    queue: new LaneQueue({ sql: workers, hurried: hurriedWorkers, nodeId: node.id, wake }),
    effects: new EffectLedger(sql),
    rules: new RuleStore(sql, random),
    channels: new ChannelDirectory({ sql, box, random }),
    contacts: new ContactStore(hurried, random),
    conversations: new Conversations(hurried, random),
    endpoints: new EndpointStore({ sql, box, random }),
    deliveries,
    stop: async () => {
      await wake.stop();
      await Promise.all([workers, hurriedWorkers, hurried].map((pool) => pool.end({ timeout: CLOSE_TIMEOUT_S })));
    },
  };
}
