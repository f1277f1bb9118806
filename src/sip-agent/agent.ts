import { ControlServer } from "./control/server.ts";
import { type CounterName, Counters } from "./counters.ts";
import type { SipRequest } from "./message/message.ts";
import { parseMessage } from "./message/parse.ts";
import { formatHostPort } from "./message/uri.ts";
import { parseVia } from "./message/values.ts";
import {
  DEFAULT_LIMITS,
  DEFAULT_MIN_SESSION_S,
  DEFAULT_PATIENCE,
  DEFAULT_TIMERS,
  type Limits,
  type SipAgentOptions,
} from "./options.ts";
import { type Clock, type Log, silentLog, systemClock, systemRandom } from "./ports.ts";
import { TransactionLayer } from "./transaction/layer.ts";
import { type Address, type Protocol, peerList } from "./transport/address.ts";
import { TransportLayer } from "./transport/layer.ts";
import type { Flow } from "./transport/listener.ts";
import { resolve, systemDns } from "./transport/resolve.ts";
import { type Application, type Reply, refusal } from "./ua/application.ts";
import { Core, type SipCommand } from "./ua/core.ts";

export type { SipAgentOptions } from "./options.ts";

export type SipAddress = Address & {
  readonly protocol: Protocol;
  /** What stands in Via and Contact towards peers that are not on this machine. */
  readonly advertised: Address;
};

export type SipAgentAddresses = {
  readonly control: Address;
  /** In the order of the options: UDP, then TCP. */
  readonly sip: readonly SipAddress[];
};

export type SipAgentCounters = Readonly<Record<CounterName, number>> & {
  /** What is there now. */
  readonly transactions: number;
  readonly dialogs: number;
  /** Requests that wait for an application or for a final response. */
  readonly pending: number;
  readonly connections: number;
  readonly clients: number;
};

/**
 * A SIP user agent that speaks the drachtio control protocol: applications connect with drachtio-srf, peers with SIP.
 *
 *     peer ⇄ transport ⇄ transactions ⇄ core (dialogs) ⇄ control ⇄ application
 */
export class SipAgent {
  readonly #log: Log;
  readonly #limits: Limits;
  readonly #counters = new Counters();
  #isPeer: (host: string) => boolean;
  readonly #transport: TransportLayer;
  readonly #transactions: TransactionLayer;
  readonly #core: Core;
  readonly #control: ControlServer;

  constructor(options: SipAgentOptions) {
    const clock = this.#guarded(options.clock ?? systemClock);
    const random = options.random ?? systemRandom;
    const log = options.log ?? silentLog;
    const limits = { ...DEFAULT_LIMITS, ...options.limits };
    const timers = { ...DEFAULT_TIMERS, ...options.timers };
    const patience = { ...DEFAULT_PATIENCE, ...options.patience };
    const shared = { clock, random, log, counters: this.#counters };
    if (options.control.secret === "") throw new Error("the control secret must not be empty");
    this.#log = log;
    this.#limits = limits;
    this.#isPeer = peerList(options.peers);
    if ((options.udp ?? []).length + (options.tcp ?? []).length === 0) throw new Error("no SIP listener");
    const transport = new TransportLayer({
      ...shared,
      ...limits,
      udp: options.udp ?? [],
      tcp: options.tcp ?? [],
      isPeer: (host) => this.#isPeer(host),
    });
    const transactions = new TransactionLayer({
      ...shared,
      timers,
      maxTransactions: limits.maxTransactions,
      send: (bytes, flow, onError) => {
        log.debug({ what: startOf(bytes), to: flow.remote.host, protocol: flow.listener.protocol }, "sip message sent");
        transport.send(bytes, flow, (error) => this.#guard("send error failed", () => onError(error)));
      },
    });
    this.#control = new ControlServer(
      { host: options.control.host ?? "127.0.0.1", port: options.control.port ?? 0, maxClients: limits.maxClients },
      {
        ...shared,
        ...limits,
        secret: options.control.secret,
        addresses: () => this.#hostPorts(),
        command: (command, application, reply) => this.#command(command, application, reply),
      },
      (application) => this.#guard("clean-up failed", () => this.#core.applicationLost(application)),
    );
    const dns = options.dns ?? systemDns;
    this.#core = new Core(
      {
        ...shared,
        timers,
        patience,
        transactions,
        maxDialogs: limits.maxDialogs,
        minSessionS: options.sessionTimer?.minSeconds ?? DEFAULT_MIN_SESSION_S,
        natCorrection: options.natCorrection ?? true,
        attempt: (what, run) => this.#guard(what, run),
        isOwn: (flow) => transport.isOwn(flow),
        resolve: (uri) =>
          resolve(uri, {
            choose: (protocol, host) => transport.choose(protocol, host),
            listeners: transport.listeners,
            dns,
          }),
      },
      this.#control,
    );
    this.#transport = transport;
    this.#transactions = transactions;
  }

  async start(): Promise<SipAgentAddresses> {
    const control = await this.#open();
    const sip = this.#transport.listeners.map((listener) => ({
      ...listener.bound,
      protocol: listener.protocol,
      advertised: listener.advertised(),
    }));
    this.#log.info(
      { control: formatHostPort(control.host, control.port), sip: this.#hostPorts().local },
      "sip agent started",
    );
    return { control, sip };
  }

  /** Binds everything or nothing. */
  async #open(): Promise<Address> {
    try {
      await this.#transport.start((bytes, flow) => this.#guard("sip message failed", () => this.#receive(bytes, flow)));
      return await this.#control.start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends at once: open calls are forgotten, not hung up. May be called twice. */
  async stop(): Promise<void> {
    this.#core.stop();
    this.#transactions.stop();
    await Promise.all([this.#control.stop(), this.#transport.stop()]);
  }

  /** Requests are taken from these from now on, as with `peers` of the options. Throws on what is no address or network. */
  setPeers(peers: readonly string[]): void {
    this.#isPeer = peerList(peers);
  }

  counters(): SipAgentCounters {
    return {
      ...this.#counters.snapshot(),
      transactions: this.#transactions.size,
      dialogs: this.#core.dialogCount,
      pending: this.#core.pendingCount,
      connections: this.#transport.connectionCount,
      clients: this.#control.clientCount,
    };
  }

  #command(command: SipCommand, application: Application, reply: Reply): void {
    let answered = false;
    const once: Reply = (verdict) => {
      answered = true;
      reply(verdict);
    };
    const done = this.#guard("command failed", () => this.#core.command(command, application, once));
    // The client waits for exactly one answer to every frame.
    if (!done && !answered) reply(refusal("internal error"));
  }

  #receive(bytes: Buffer, flow: Flow): void {
    // RFC 5626 §4.4.1: a datagram of line ends keeps a NAT binding open.
    if (bytes.length <= 4 && bytes.every((byte) => byte === 13 || byte === 10 || byte === 0)) return;
    this.#counters.add("messages_received");
    this.#log.debug(
      { what: startOf(bytes), from: flow.remote.host, protocol: flow.listener.protocol },
      "sip message received",
    );
    const isPeer = this.#isPeer(flow.remote.host);
    // A stranger may only answer us, so its requests are not even read.
    if (!isPeer && bytes.toString("latin1", 0, 4) !== "SIP/") {
      this.#counters.add("strangers_dropped");
      return;
    }
    const parsed = parseMessage(bytes, this.#limits);
    if (!parsed.ok) {
      this.#counters.add("messages_malformed");
      this.#log.debug({ reason: parsed.reason, remote: flow.remote.host }, "sip message not understood");
      if (isPeer && parsed.answerable !== undefined) {
        const request = stamped(parsed.answerable, flow);
        this.#transactions.refuse(request, answerFlow(request, flow), 400);
      }
    } else if (parsed.message.kind === "response") this.#transactions.receiveResponse(parsed.message, flow);
    else if (isPeer) {
      const request = stamped(parsed.message, flow);
      this.#transactions.receiveRequest(request, answerFlow(request, flow));
    }
  }

  /** A bug ends what it happened in, loudly, and leaves the others alone. Returns false if there was one. */
  #guard(what: string, run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      this.#log.error({ err: error }, what);
      return false;
    }
  }

  #guarded(clock: Clock): Clock {
    return {
      now: () => clock.now(),
      setTimeout: (run, ms) => clock.setTimeout(() => this.#guard("timer failed", run), ms),
      clearTimeout: (handle) => clock.clearTimeout(handle),
    };
  }

  #hostPorts(): { shown: string; local: string } {
    const list = (address: (listener: TransportLayer["listeners"][number]) => Address): string =>
      this.#transport.listeners
        .map((listener) => {
          const { host, port } = address(listener);
          return `${listener.protocol}/${formatHostPort(host, port)}`;
        })
        .join(",");
    return { shown: list((listener) => listener.advertised()), local: list((listener) => listener.bound) };
  }
}

/** The method or status: what can be logged without anybody's number in it. */
function startOf(bytes: Buffer): string {
  return /^(?:SIP\/2\.0 \d{3}|[A-Z]{1,16})/.exec(bytes.toString("latin1", 0, 16))?.[0] ?? "unreadable";
}

/** Notes in the topmost Via where the request really came from (RFC 3261 §18.2.1, RFC 3581 §4). */
function stamped(request: SipRequest, flow: Flow): SipRequest {
  const [top = "", ...others] = request.headers.list("Via");
  const via = parseVia(top);
  if (via === undefined) return request;
  const rest = top.replace(/;\s*(?:received|rport)\s*(?:=\s*[^;]*)?(?=;|$)/gi, "").trimEnd();
  const stamp = `${rest};received=${flow.remote.host};rport=${flow.remote.port}`;
  return { ...request, headers: request.headers.clone().setAll("Via", [stamp, ...others]) };
}

/** Over TCP, a response whose connection is gone goes to the address in Via (RFC 3261 §18.2.2). */
function answerFlow(request: SipRequest, flow: Flow): Flow {
  if (flow.connection === undefined) return flow;
  const via = parseVia(request.headers.list("Via")[0] ?? "");
  return { ...flow, fallback: { host: flow.remote.host, port: via?.port ?? 5060 } };
}
