import { randomBytes } from "node:crypto";
import { systemClock } from "#media/transport/system-clock.ts";
import { SipConnection } from "#sip/connection.ts";
import type { IncomingRequest } from "#sip/message.ts";
import { SipAgent } from "#sip-agent/agent.ts";
import { numbers, type PbxNumber, usualCodecs } from "./numbers.ts";
import { CallOver, type Clock, type Log, PbxCall } from "./pbx-call.ts";

/** Calls at once; a demo that is called more often is being tested, and says 503. */
const MAX_CALLS = 500;

/** The longest silence of a number: 646 says nothing for 120 s, and the agent must not answer in its place. */
const SILENT_INVITE_MS = 130_000;

/** A caller that does not take our goodbye within this time does not hold up the end. */
const GOODBYE_MS = 500;

const METHODS = ["invite", "options", "message", "subscribe", "register", "notify", "publish", "refer"] as const;

export interface DemoPbxOptions {
  readonly log: Log;
  /** Paces the scripts of the numbers and their tones. */
  readonly clock?: Clock;
  /** Where SIP and RTP are taken; 127.0.0.1 by default. */
  readonly host?: string;
  /** SIP port, UDP and TCP; a free one by default. */
  readonly port?: number;
  /** Who may call; only this machine by default. */
  readonly peers?: readonly string[];
}

export interface DemoPbxAddress {
  readonly host: string;
  /** SIP over UDP. */
  readonly port: number;
  /** SIP over TCP. */
  readonly tcpPort: number;
}

/**
 * A PBX to play with: a SIP user agent on the embedded engine, with numbers that echo, sing, read digits, refuse, hold and
 * hang up. See `numbers.ts`.
 */
export class DemoPbx {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #host: string;
  readonly #agent: SipAgent;
  readonly #secret = randomBytes(16).toString("hex");
  readonly #calls = new Set<PbxCall>();
  readonly #dialogs = new Map<string, PbxCall>();
  #connection: SipConnection | undefined;

  constructor(options: DemoPbxOptions) {
    this.#log = options.log;
    this.#clock = options.clock ?? systemClock;
    this.#host = options.host ?? "127.0.0.1";
    const listener = { host: this.#host, port: options.port ?? 0 };
    this.#agent = new SipAgent({
      control: { secret: this.#secret },
      udp: [listener],
      tcp: [listener],
      peers: options.peers ?? ["127.0.0.0/8", "::1"],
      patience: { silentInviteMs: SILENT_INVITE_MS },
      log: options.log,
    });
  }

  async start(): Promise<DemoPbxAddress> {
    const { control, sip } = await this.#agent.start();
    this.#connection = new SipConnection({
      engine: { host: control.host, port: control.port, secret: this.#secret },
      clock: systemClock,
      log: this.#log,
      methods: METHODS,
      onRequest: (request) => this.#requested(request),
    });
    await this.#connection.start();
    const port = (protocol: string): number => sip.find((each) => each.protocol === protocol)?.port ?? 0;
    return { host: this.#host, port: port("udp"), tcpPort: port("tcp") };
  }

  /** Hangs up what is left and forgets everything. May be called twice. */
  async stop(): Promise<void> {
    const goodbyes = Promise.all([...this.#calls].map((call) => call.stop()));
    let cancel: () => void = () => undefined;
    const patience = new Promise<void>((resolve) => {
      cancel = systemClock.after(GOODBYE_MS, resolve);
    });
    await Promise.race([goodbyes, patience]);
    cancel();
    this.#connection?.stop();
    this.#connection = undefined;
    await this.#agent.stop();
  }

  /** What is alive; zero when no call is. */
  counters(): { readonly calls: number; readonly dialogs: number } {
    return { calls: this.#calls.size, dialogs: this.#dialogs.size };
  }

  #requested(request: IncomingRequest): void {
    const call = this.#dialogs.get(request.dialogId);
    if (call !== undefined) call.handle(request);
    else if (request.method === "ACK") return;
    else if (request.inDialog) request.respond(481);
    else if (request.method === "OPTIONS") request.respond(200);
    else if (request.method === "INVITE") void this.#called(request);
    else request.respond(405, { headers: { Allow: "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE" } });
  }

  async #called(invite: IncomingRequest): Promise<void> {
    const dialled = /^sips?:([^@;]*)@/i.exec(invite.uri)?.[1] ?? "";
    for (const number of numbers) {
      const found = number.pattern.exec(dialled);
      if (found === null) continue;
      await this.#run(invite, number, found[1] ?? "");
      return;
    }
    invite.respond(404, { headers: { Reason: "Q.850;cause=1" } });
  }

  async #run(invite: IncomingRequest, number: PbxNumber, argument: string): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined || this.#calls.size >= MAX_CALLS) {
      invite.respond(503);
      return;
    }
    const parts = {
      connection,
      clock: this.#clock,
      log: this.#log,
      host: this.#host,
      onDialog: (dialogId: string, of: PbxCall) => this.#dialogs.set(dialogId, of),
      onOver: (of: PbxCall) => this.#forget(of),
    };
    const call = await PbxCall.create(parts, invite, number.codecs ?? usualCodecs).catch((error: unknown) => {
      this.#log.error({ error: String(error) }, "demo pbx: no port for rtp");
      return undefined;
    });
    if (call === undefined) {
      invite.respond(488, { headers: { Reason: "Q.850;cause=88" } });
      return;
    }
    if (this.#connection !== connection) {
      await call.stop();
      return;
    }
    this.#calls.add(call);
    this.#log.debug({ says: number.says, sip_call_id: invite.callId }, "demo pbx: called");
    try {
      await number.script(call, argument);
      await call.hangUp(16, "Normal call clearing");
    } catch (error) {
      if (error instanceof CallOver) return;
      this.#log.error({ error: String(error), says: number.says }, "demo pbx: number failed");
      await call.stop();
    }
  }

  #forget(call: PbxCall): void {
    this.#calls.delete(call);
    for (const [dialogId, of] of this.#dialogs) if (of === call) this.#dialogs.delete(dialogId);
  }
}
