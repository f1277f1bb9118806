import { expect } from "vitest";
import type { Log } from "#engine/ports.ts";
import type { CallRequest } from "#sandbox/meta/calls.ts";
import type { MetaOptions, SimulatedMeta } from "#sandbox/meta/meta.ts";
import { DemoPbx } from "#sandbox/pbx/demo-pbx.ts";
import type { DemoNumber } from "#sandbox/phone/protocol.ts";
import { type SyntheticCallRequest, SyntheticUsers } from "#sandbox/phone/synthetic-user.ts";
import type { UserCall } from "#sandbox/phone/user-call.ts";
import type { RelayPort } from "#sandbox/relay/ports.ts";
import type { GatewayOptions } from "#sandbox/wpp/gateway.ts";
import { type SandboxAddresses, SandboxWorld } from "#src/sandbox-world.ts";
import { type TestDatabase, withDatabase } from "#test/support/database.ts";
import { expectCleanLog } from "#test/support/leaks.ts";
import { activeResources, nothingMoreThan } from "#test/support/leftovers.ts";
import { type CollectedLog, collectLog } from "#test/support/log.ts";
import { SipWire, type WireMessage } from "#test/support/sip-wire.ts";
import { WrtcUser } from "#test/support/wrtc-user.ts";

/** A PBX for a test file: the demo one, or a real one. */
export interface TestPbx {
  readonly host: string;
  /** Its SIP port, UDP. */
  readonly port: number;
  /** The port that ponte has to listen on, where the PBX must know it before; else any. */
  readonly pontePort?: number;
  /** Calls that it has. */
  calls(): Promise<number>;
  stop(): Promise<void>;
}

/** A business number of the test's making. */
export interface TestNumber {
  /** What is dialled on the PBX. */
  readonly target: string;
  /** `any`, the default, offers all formats; the others offer one. */
  readonly trunk?: keyof typeof codecsOfTrunk;
  readonly handler?: "bridge" | "reject";
  /** Meta has the number, ponte has no channel for it. */
  readonly unknown?: boolean;
}

const codecsOfTrunk = {
  any: ["opus", "PCMU", "PCMA"],
  opus: ["opus"],
  pcmu: ["PCMU"],
  pcma: ["PCMA"],
  g711: ["PCMU", "PCMA"],
} as const;

export interface TestWorldOptions {
  /** Default: a demo PBX of its own. */
  readonly pbx?: TestPbx;
  /** By any name; a call is placed to that name. */
  readonly numbers: Readonly<Record<string, TestNumber>>;
  /** Over the sandbox's own settings. */
  readonly settings?: Readonly<Record<string, object>>;
  readonly meta?: Partial<MetaOptions>;
  readonly relay?: RelayPort;
  /** Over the simulated gateway's own options. */
  readonly gateway?: Partial<GatewayOptions>;
  /** Of the built pages; without it there are none. */
  readonly pagesFolder?: string;
}

type Row = Readonly<Record<string, unknown>>;

/** Everything that is on record of one call that has ended, from everybody who took part. */
export interface Story {
  /** The row of `whatsapp_calls`, as the API shows it. */
  readonly row: Row;
  readonly events: readonly { readonly at: string; readonly type: string; readonly data: Row }[];
  /** ponte's Graph requests about this call, in order: `pre_accept 200`. */
  readonly graph: readonly string[];
  /** SDPs that Meta was given. */
  readonly answers: readonly string[];
  /** Meta's webhooks of this call, in order: `connect 200`. */
  readonly webhooks: readonly string[];
  /** What the user's phone showed. */
  readonly phone: readonly string[];
  readonly sip: readonly WireMessage[];
}

/** Media workers and sockets close within this time; a busy machine has it to itself by then. */
const SETTLE_MS = 8_000;
const PAGE_SIZE = 200;

/** Each process has its own hundreds of RTP ports, so that suites that run side by side do not meet. */
const firstRtpPort = 20_000 + (process.pid % 24) * 400;
const rtpPorts = { sip_port_min: firstRtpPort, sip_port_max: firstRtpPort + 399 };

/**
 * A sandbox world for a test file, on a database of the suite's server, with a log that is searched at the end. `stop` fails
 * the test when anything is left over, anything leaked or anything was logged as an error.
 */
export class TestWorld {
  readonly sandbox: SandboxWorld;
  readonly users: SyntheticUsers;
  readonly addresses: SandboxAddresses;
  readonly log: CollectedLog;
  readonly #parts: Parts;
  readonly #phones: WrtcUser[] = [];

  private constructor(parts: Parts, addresses: SandboxAddresses) {
    this.#parts = parts;
    this.sandbox = parts.sandbox;
    this.log = parts.log;
    this.addresses = addresses;
    this.users = new SyntheticUsers(parts.sandbox.meta);
  }

  static async start(options: TestWorldOptions): Promise<TestWorld> {
    const before = activeResources();
    const wire = new SipWire();
    wire.start();
    const log = collectLog();
    const pbxLog = collectLog();
    const pbx = options.pbx ?? (await demoPbx(pbxLog.log));
    const database = await withDatabase();
    const numbers = Object.entries(options.numbers).map(([name, number], index) => demoNumber(name, number, index));
    const sandbox = new SandboxWorld({
      log: log.log,
      version: "test",
      pbx,
      numbers,
      settings: settingsOf(options, numbers, pbx, database.url),
      page: { host: "127.0.0.1", port: 0 },
      ...(options.meta === undefined ? {} : { meta: options.meta }),
      ...(options.relay === undefined ? {} : { relay: options.relay }),
      ...(options.gateway === undefined ? {} : { gateway: options.gateway }),
      ...(options.pagesFolder === undefined ? {} : { pagesFolder: options.pagesFolder }),
    });
    const parts: Parts = {
      sandbox,
      wire,
      log,
      pbxLog,
      pbx,
      ownPbx: options.pbx === undefined,
      database,
      numbers,
      before,
    };
    try {
      return new TestWorld(parts, await sandbox.start());
    } catch (error) {
      await end(parts);
      throw error;
    }
  }

  get meta(): SimulatedMeta {
    return this.sandbox.meta;
  }

  get pbx(): TestPbx {
    return this.#parts.pbx;
  }

  /** Meta's phone number id of one of the numbers. */
  number(name: string): string {
    const number = this.#parts.numbers.find((each) => each.name === name);
    if (number === undefined) throw new RangeError(`the test has no number ${name}`);
    return number.id;
  }

  /** A call of a synthetic user. */
  call(name: string, request: Omit<SyntheticCallRequest, "phoneNumberId"> = {}): Promise<UserCall> {
    return this.users.call({ ...request, phoneNumberId: this.number(name) } satisfies Omit<CallRequest, "user">);
  }

  /** A phone with libwebrtc, connected as the page is. It is closed with the world. */
  async phone(): Promise<WrtcUser> {
    const phone = await WrtcUser.open(this.addresses.pageUrl ?? "");
    this.#phones.push(phone);
    return phone;
  }

  /** Asks the API, with the key. */
  async api(path: string, method: "GET" | "POST" = "GET"): Promise<{ readonly status: number; readonly body: Row }> {
    const response = await fetch(`${this.addresses.httpUrl}${path}`, {
      method,
      headers: { authorization: `Bearer ${this.addresses.newApiKey}` },
    });
    return { status: response.status, body: (await response.json()) as Row };
  }

  /** ponte's row of a call, alive or not; undefined before there is one. */
  async row(wacid: string): Promise<Row | undefined> {
    const { status, body } = await this.api(`/v1/calls?limit=${PAGE_SIZE}`);
    if (status !== 200) throw new Error(`the API says ${status}: ${JSON.stringify(body)}`);
    return (body["calls"] as readonly Row[]).find((each) => each["wacid"] === wacid);
  }

  /** Waits until ponte's row of a live call is there, and gives its id. */
  async idOf(wacid: string): Promise<string> {
    const row = await eventually(`a row of ${wacid.slice(-8)}`, () => this.row(wacid));
    return String(row["id"]);
  }

  /** The row of an ended call as Postgres has it, also when the daemon has stopped. */
  async stored(wacid: string): Promise<Row> {
    return eventually("the stored end", async () => {
      const { sql } = this.#parts.database;
      const [row] = await sql<Row[]>`select * from whatsapp_calls where wacid = ${wacid} and state = 'ended'`;
      return row;
    });
  }

  /** How many rows some tables have. */
  async counts(tables: readonly string[]): Promise<Readonly<Record<string, number>>> {
    const { sql } = this.#parts.database;
    const counted = tables.map(async (table): Promise<[string, number]> => {
      const [row] = await sql<{ readonly count: number }[]>`select count(*)::int as count from ${sql(table)}`;
      return [table, row?.count ?? 0];
    });
    return Object.fromEntries(await Promise.all(counted));
  }

  /** Waits for the last word about a call: ponte has closed it, and Meta's own account of it was taken. */
  async story(wacid: string): Promise<Story> {
    const id = await this.idOf(wacid);
    const { call, events } = await eventually("the end of the record", async () => {
      const { body } = await this.api(`/v1/calls/${id}`);
      const shown = body as unknown as { readonly call: Row; readonly events: Story["events"] };
      const closed = shown.events.some((event) => event.type === "call.closed");
      return closed && typeof shown.call["meta_status"] === "string" ? shown : undefined;
    });
    const requests = this.meta.log.requests().filter((each) => each.wacid === wacid);
    const webhooks = this.meta.log.webhooks().filter((each) => each.wacids.includes(wacid));
    return {
      row: call,
      events,
      graph: requests.map((each) => `${each.action ?? each.method} ${each.status}`),
      answers: requests.flatMap((each) => sdpOf(each.body)),
      webhooks: webhooks.map((each) => `${each.event} ${each.status}`),
      phone: this.meta.log.calls(wacid).map((each) => each.step),
      sip: this.sip(wacid),
    };
  }

  /** SIP between ponte and the PBX about this call so far. */
  sip(wacid: string): readonly WireMessage[] {
    return this.#parts.wire.messagesOf(wacid, this.addresses.sip?.port ?? 0);
  }

  /** Waits until nobody has a call any more. SIP transactions live on for their timers (RFC 3261 §17). */
  async quiet(): Promise<void> {
    await eventually("nothing being left over", async () => {
      const { agent, ...counters } = await this.sandbox.daemon.counters();
      const left = {
        ...counters,
        agent: { dialogs: agent?.dialogs, pending: agent?.pending },
        meta: this.meta.liveCalls(),
        pbx: await this.#parts.pbx.calls(),
      };
      return same(left, nothing) ? left : { missing: left };
    });
  }

  /** Asserts that ponte has broken none of Meta's rules. Not in `stop`, because hostile tests make it break some. */
  expectRulesKept(): void {
    expect(this.meta.log.violations().map(({ rule, text }) => `${rule}: ${text}`)).toEqual([]);
  }

  /** Stops everything and looks at what is left. May be called twice. */
  async stop(): Promise<void> {
    if (this.#parts.stopped === true) return;
    this.#parts.stopped = true;
    await Promise.all(this.#phones.map((phone) => phone.close()));
    const leftover = await this.quiet().catch((error: unknown) => error);
    await this.sandbox.stop();
    const written = this.meta.log.entries();
    await end(this.#parts);
    if (leftover instanceof Error) throw leftover;
    const { access_token, verify_token, app_secrets } = this.sandbox.config.meta;
    expectCleanLog(this.log, [access_token, verify_token, this.addresses.newApiKey, ...app_secrets], written);
    expect(this.#parts.pbxLog.lines().filter(({ level }) => level === "error")).toEqual([]);
  }
}

interface Parts {
  readonly sandbox: SandboxWorld;
  readonly wire: SipWire;
  readonly log: CollectedLog;
  readonly pbxLog: CollectedLog;
  readonly pbx: TestPbx;
  readonly ownPbx: boolean;
  readonly database: TestDatabase;
  readonly numbers: readonly DemoNumber[];
  readonly before: ReadonlyMap<string, number>;
  stopped?: boolean;
}

const nothing = {
  calls: 0,
  sip: { legs: 0, dialogs: 0, replies: 0 },
  media: { calls: 0, sessions: 0 },
  agent: { dialogs: 0, pending: 0 },
  meta: 0,
  pbx: 0,
};

async function end({ sandbox, wire, pbx, ownPbx, database, before }: Parts): Promise<void> {
  await sandbox.stop();
  if (ownPbx) await pbx.stop();
  await database.drop();
  wire.stop();
  expect(wire.openSockets).toBe(0);
  await nothingMoreThan(before);
}

/** What `eventually` waits for may say why it is not there yet. */
export interface NotYet {
  readonly missing: unknown;
}

/** Asks again and again until there is an answer other than undefined and `NotYet`; throws what is missing otherwise. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T>,
  timeoutMs: number = SETTLE_MS,
): Promise<Exclude<T, NotYet | undefined>> {
  const until = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    const notYet = typeof answer === "object" && answer !== null && "missing" in answer ? answer : undefined;
    if (answer !== undefined && notYet === undefined) return answer as Exclude<T, NotYet | undefined>;
    if (performance.now() > until) throw new Error(`waited in vain for ${what}: ${JSON.stringify(notYet?.missing)}`);
    await new Promise((next) => setTimeout(next, 20));
  }
}

function same(left: object, right: object): boolean {
  const sorted = (value: object): string =>
    JSON.stringify(value, (_, inner: unknown) =>
      typeof inner === "object" && inner !== null ? Object.fromEntries(Object.entries(inner).sort()) : inner,
    );
  return sorted(left) === sorted(right);
}

async function demoPbx(log: Log): Promise<TestPbx> {
  const pbx = new DemoPbx({ log });
  const { host, port } = await pbx.start();
  return { host, port, calls: async () => pbx.counters().calls, stop: () => pbx.stop() };
}

function demoNumber(name: string, number: TestNumber, index: number): DemoNumber {
  const id = `4366667195${String(20_000 + index)}`;
  return { id, display: `15550100${String(100 + index)}`, name, explanation: "", extension: number.target };
}

function settingsOf(
  { settings, numbers: wanted }: TestWorldOptions,
  numbers: readonly DemoNumber[],
  pbx: TestPbx,
  url: string,
): Readonly<Record<string, object>> {
  const channels = numbers.flatMap(({ id, name, extension }) => {
    const { trunk = "any", handler, unknown = false } = wanted[name] ?? { target: extension };
    return unknown
      ? []
      : [{ phone_number_id: id, target: extension, trunk, ...(handler === undefined ? {} : { handler }) }];
  });
  const { host, port } = pbx;
  const trunks = Object.entries(codecsOfTrunk).map(([name, codecs]) => ({
    name,
    host,
    port,
    codecs,
    options_interval_s: 0,
  }));
  return {
    channels,
    trunks,
    database: { url },
    ...settings,
    calling: { trunk: "any", drain_timeout_ms: 500, ...settings?.["calling"] },
    media: { workers: 1, ...rtpPorts, ...settings?.["media"] },
    sip: { port: pbx.pontePort ?? 0, ...settings?.["sip"] },
    http: { port: 0, ...settings?.["http"] },
  };
}

function sdpOf(body: unknown): string[] {
  const session = (body as { readonly session?: { readonly sdp?: unknown } } | null)?.session;
  return typeof session?.sdp === "string" ? [session.sdp] : [];
}
