import { randomBytes } from "node:crypto";
import { createSocket, type Socket } from "node:dgram";
import { writeSipOffer } from "#core/sdp/sip-offer.ts";
import type { Clock, DialRequest, Log, SipLegEvents } from "#engine/ports.ts";
import { systemClock } from "#engine/system-clock.ts";
import { SipConnection } from "#sip/connection.ts";
import { SipEdge, type SipEdgeOptions, type SipLimits } from "#sip/edge.ts";
import type { Answer, IncomingRequest } from "#sip/message.ts";
import type { TrunkOptions } from "#sip/trunk.ts";
import { SipAgent, type SipAgentOptions } from "#sip-agent/agent.ts";
import { quietLog } from "#test/support/quiet-log.ts";

export const SECRET = "between us";

/** A clock that runs several times as fast as the machine's. */
export function fastClock(factor: number): Clock {
  return {
    now: () => Date.now() * factor,
    after(afterMs, task) {
      const timer = setTimeout(task, afterMs / factor);
      return () => clearTimeout(timer);
    },
  };
}

/** A clock that counts what is left of it. */
export function countedClock(): Clock & { readonly pending: number } {
  const open = new Set<object>();
  return {
    now: () => systemClock.now(),
    after(afterMs, task) {
      const ticket = {};
      open.add(ticket);
      const cancel = systemClock.after(afterMs, () => {
        open.delete(ticket);
        task();
      });
      return () => {
        open.delete(ticket);
        cancel();
      };
    },
    get pending() {
      return open.size;
    },
  };
}

/** Closes what a test has opened, last first. */
export class Cleanup {
  readonly #tasks: (() => unknown)[] = [];

  add<T>(thing: T, close: (thing: T) => unknown): T {
    this.#tasks.push(() => close(thing));
    return thing;
  }

  async run(): Promise<void> {
    for (let task = this.#tasks.pop(); task !== undefined; task = this.#tasks.pop()) await task();
  }
}

export interface World {
  readonly edge: SipEdge;
  readonly agent: SipAgent;
  readonly clock: { readonly pending: number };
  readonly log: ReturnType<typeof quietLog>;
  /** Where the agent takes SIP. */
  readonly sip: { readonly host: string; readonly port: number };
}

/** A SIP edge on an embedded agent, with one trunk. */
export async function startEdge(
  cleanup: Cleanup,
  trunk: Partial<TrunkOptions>,
  limits: Partial<SipLimits> = {},
  more: Pick<Partial<SipEdgeOptions>, "isPeer" | "lookUp"> & {
    readonly peers?: readonly string[];
    readonly agentClock?: SipAgentOptions["clock"];
  } = {},
): Promise<World> {
  const { peers = ["127.0.0.1"], agentClock, ...edgeOptions } = more;
  const agent = cleanup.add(
    new SipAgent({
      control: { secret: SECRET },
      udp: [{ host: "127.0.0.1", port: 0 }],
      tcp: [{ host: "127.0.0.1", port: 0 }],
      peers,
      ...(agentClock === undefined ? {} : { clock: agentClock }),
    }),
    (each) => each.stop(),
  );
  const { control, sip } = await agent.start();
  const clock = countedClock();
  const log = quietLog();
  const edge = cleanup.add(
    new SipEdge({
      engine: { ...control, secret: SECRET },
      trunks: [trunkAt(trunk)],
      clock,
      log,
      limits,
      onTrunkAddresses: (addresses) => agent.setPeers([...peers, ...addresses]),
      ...edgeOptions,
    }),
    (each) => each.stop(),
  );
  await edge.start();
  return { edge, agent, clock, log, sip: { host: "127.0.0.1", port: sip[0]?.port ?? 0 } };
}

export function trunkAt(change: Partial<TrunkOptions>): TrunkOptions {
  return {
    name: "pbx",
    host: "127.0.0.1",
    port: 5060,
    transport: "udp",
    callerIdentity: "both",
    optionsIntervalMs: 0,
    ...change,
  };
}

export const ourOffer = writeSipOffer({
  address: "127.0.0.1",
  port: 40_008,
  codecs: ["opus", "PCMU", "PCMA"],
  sessionId: "1",
  version: 0,
  direction: "sendrecv",
});

export function dialRequest(target: string, change: Partial<DialRequest> = {}): DialRequest {
  return { callId: "call-1", trunk: "pbx", target, sdp: ourOffer, headers: { "X-Ponte-Call": "call-1" }, ...change };
}

/** Writes down what a leg tells, and lets a test wait for it. */
export class Told implements SipLegEvents {
  readonly lines: string[] = [];
  /** Answers to offers of the PBX, by a function of the offer. */
  answerOffer: (sdp: string) => Promise<string | undefined> = async () => ourOffer;
  onLine: (line: string) => void = () => undefined;
  sdp = "";
  readonly #waiting: { readonly pattern: RegExp; readonly resolve: (line: string) => void }[] = [];

  onProgress(status: number, hasSdp: boolean): void {
    this.#tell(`progress ${status}${hasSdp ? " with sdp" : ""}`);
  }

  onAnswered(answered: { readonly sdp: string; readonly sipCallId: string }): void {
    this.sdp = answered.sdp;
    this.#tell(`answered ${codecOf(answered.sdp)}${answered.sipCallId === "" ? " without call-id" : ""}`);
  }

  onFailed(failure: { readonly status: number; readonly reason: string; readonly q850?: number }): void {
    this.#tell(`failed ${failure.status}${failure.q850 === undefined ? "" : ` q.850 ${failure.q850}`}`);
  }

  onEnded(end: { readonly by: "pbx" | "agent"; readonly q850?: number; readonly reason?: string }): void {
    this.#tell(`ended by ${end.by}${end.q850 === undefined ? "" : ` q.850 ${end.q850}`}`);
  }

  onReoffer(sdp: string): Promise<string | undefined> {
    this.#tell(`offered ${codecOf(sdp)} ${/a=(sendonly|recvonly|inactive)/.exec(sdp)?.[1] ?? "sendrecv"}`);
    return this.answerOffer(sdp);
  }

  async onReofferWanted(): Promise<string> {
    this.#tell("offer wanted");
    return ourOffer;
  }

  onReofferAnswered(sdp: string): void {
    this.#tell(`our offer answered ${codecOf(sdp)}`);
  }

  onDigit(digit: string, durationMs: number): void {
    this.#tell(`digit ${digit} ${durationMs}`);
  }

  /** The first line that matches, from now or from before. */
  until(pattern: RegExp): Promise<string> {
    const found = this.lines.find((line) => pattern.test(line));
    return found === undefined
      ? new Promise((resolve) => this.#waiting.push({ pattern, resolve }))
      : Promise.resolve(found);
  }

  end(): Promise<string> {
    return this.until(/^(failed|ended)/);
  }

  #tell(line: string): void {
    this.lines.push(line);
    for (const waiter of this.#waiting) if (waiter.pattern.test(line)) waiter.resolve(line);
    this.onLine(line);
  }
}

/** The first audio format of a description. */
export function codecOf(sdp: string): string {
  const type = /^m=audio \d+ \S+ (\d+)/m.exec(sdp)?.[1] ?? "";
  return new RegExp(`^a=rtpmap:${type} ([^/]+)/`, "m").exec(sdp)?.[1] ?? { 0: "PCMU", 8: "PCMA" }[type] ?? "none";
}

export const hungUp = { result: "completed", by: "caller", cause: "hangup" } as const;
export const gaveUp = { result: "cancelled", by: "caller", cause: "caller_gave_up" } as const;

/** A PBX that does what a test says, on an agent of its own, so that its timers are real. */
export class ScriptedPbx {
  readonly agent: SipAgent;
  /** Requests in the order in which they came. */
  readonly seen: IncomingRequest[] = [];
  port = 0;
  tcpPort = 0;
  onRequest: (request: IncomingRequest) => void = () => undefined;
  #connection: SipConnection | undefined;
  #listener: (() => void) | undefined;

  constructor() {
    this.agent = new SipAgent({
      control: { secret: SECRET },
      udp: [{ host: "127.0.0.1", port: 0 }],
      tcp: [{ host: "127.0.0.1", port: 0 }],
      peers: ["127.0.0.1"],
    });
  }

  async start(): Promise<this> {
    const { control, sip } = await this.agent.start();
    this.port = sip[0]?.port ?? 0;
    this.tcpPort = sip[1]?.port ?? 0;
    this.#connection = new SipConnection({
      engine: { ...control, secret: SECRET },
      clock: systemClock,
      log: quietLog() satisfies Log,
      methods: ["invite", "options", "message"],
      onRequest: (request) => {
        if (request.method !== "OPTIONS" || request.inDialog) this.seen.push(request);
        this.onRequest(request);
        // Unless the test has answered it otherwise.
        if (request.method === "BYE") request.respond(200);
        this.#listener?.();
      },
    });
    await this.#connection.start();
    return this;
  }

  async stop(): Promise<void> {
    this.#connection?.stop();
    await this.agent.stop();
  }

  /** Sends a request and gives its final response; acknowledges a 2xx to INVITE, with `ackBody` through the same dialog. */
  ask(
    method: string,
    how: { dialogId?: string; uri?: string; headers?: Record<string, string>; body?: string; noAck?: boolean } = {},
  ): Promise<Answer> {
    const { noAck, ...rest } = how;
    return new Promise((resolve, reject) => {
      this.#connection?.send(
        { method, ...rest },
        {
          onFailed: (reason) => reject(new Error(reason)),
          onAnswer: (answer, acknowledge) => {
            if (answer.status < 200) return;
            if (method === "INVITE" && answer.status < 300 && noAck !== true) acknowledge();
            resolve(answer);
          },
        },
      );
    });
  }

  /** Sends a request that gets no response. */
  tell(method: string, dialogId: string, body: string): void {
    this.#connection?.send({ method, dialogId, body, headers: { "Content-Type": "application/sdp" } });
  }

  /** The `index`-th request of a method, waited for. */
  async request(method: string, index = 0): Promise<IncomingRequest> {
    for (;;) {
      const found = this.seen.filter((each) => each.method === method)[index];
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => {
        this.#listener = resolve;
      });
    }
  }

  /** Answers an INVITE; gives the dialog id. */
  answer(invite: IncomingRequest, sdp = pbxAnswer, headers: Record<string, string> = {}): Promise<string> {
    return new Promise((resolve, reject) => {
      invite.respond(200, { headers: { "Content-Type": "application/sdp", ...headers }, body: sdp }, (sent) =>
        sent === undefined ? reject(new Error("200 not sent")) : resolve(sent.dialogId),
      );
    });
  }
}

export const pbxAnswer = [
  "v=0",
  "o=pbx 7 1 IN IP4 127.0.0.1",
  "s=-",
  "c=IN IP4 127.0.0.1",
  "t=0 0",
  "m=audio 40010 RTP/AVP 0 101",
  "a=rtpmap:101 telephone-event/8000",
  "a=fmtp:101 0-16",
  "",
].join("\r\n");

/** A bare UDP socket that takes SIP and says nothing by itself. */
export async function silentPeer(cleanup: Cleanup): Promise<{ readonly socket: Socket; readonly port: number }> {
  const socket = cleanup.add(createSocket("udp4"), (each) => each.close());
  await new Promise<void>((resolve) => {
    socket.bind(0, "127.0.0.1", resolve);
  });
  return { socket, port: socket.address().port };
}

export function nonce(): string {
  return randomBytes(8).toString("hex");
}
