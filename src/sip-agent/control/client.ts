import { createHash, timingSafeEqual } from "node:crypto";
import type { Socket } from "node:net";
import type { Counters } from "#sip-agent/counters.ts";
import { type Clock, type Log, type Random, randomUuid } from "#sip-agent/ports.ts";
import { Alarm } from "#sip-agent/ua/alarm.ts";
import type { Application, Delivery, Reply } from "#sip-agent/ua/application.ts";
import type { SipCommand } from "#sip-agent/ua/core.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { encodeAnswer, encodeDelivery, encodeEcho } from "./frames.ts";
import { parseSketch } from "./sketch.ts";

/** What a client connection needs of the agent. */
export type ClientContext = {
  readonly secret: string;
  readonly maxFrameBytes: number;
  readonly maxHeaders: number;
  readonly authenticateMs: number;
  /** Bytes that may wait for a client that does not read, before it counts as lost. */
  readonly maxUnsentBytes: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly counters: Counters;
  readonly log: Log;
  /** `udp/10.0.0.5:5060,…` with public and with local addresses. */
  readonly addresses: () => { readonly shown: string; readonly local: string };
  readonly command: (command: SipCommand, application: Application, reply: Reply) => void;
  readonly closed: (client: Client) => void;
};

/** The protocol version that clients look at before they ping. */
const VERSION = "v0.9.1";
/** RFC 3261 knows six methods and its extensions eight more; an application that routes hundreds is broken. */
const MAX_ROUTES = 64;

/** One control connection: frames in, frames out. Before `authenticate` it may do nothing else. */
export class Client implements Application {
  readonly #socket: Socket;
  readonly #context: ClientContext;
  readonly #decoder: FrameDecoder;
  readonly #routes = new Set<string>();
  readonly #deadline: Alarm;
  #authenticated = false;
  #alive = true;

  constructor(socket: Socket, context: ClientContext) {
    this.#socket = socket;
    this.#context = context;
    this.#decoder = new FrameDecoder(context.maxFrameBytes);
    this.#deadline = new Alarm(context.clock);
    this.#deadline.start(context.authenticateMs, () => this.#refuse("no secret in time"));
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 30_000);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => context.log.debug({ err: error }, "control connection failed"));
    socket.on("close", () => this.#close());
  }

  get alive(): boolean {
    return this.#alive;
  }

  get wantsTrying(): boolean {
    return this.wants("trying");
  }

  get authenticated(): boolean {
    return this.#authenticated;
  }

  wants(verb: string): boolean {
    return this.#alive && this.#routes.has(verb);
  }

  deliver(delivery: Delivery): void {
    const { clock, random } = this.#context;
    this.#write(encodeDelivery(randomUuid(random), delivery, clock.now()));
  }

  /** Cuts the connection; what follows from that has happened when this returns. */
  destroy(): void {
    this.#socket.destroy();
    this.#close();
  }

  #read(chunk: Buffer): void {
    for (const payload of this.#decoder.push(chunk)) {
      if (!this.#alive) return;
      this.#take(payload);
    }
    if (this.#decoder.fault !== undefined && this.#alive) this.#refuse(this.#decoder.fault);
  }

  #take(payload: Buffer): void {
    const cr = payload.indexOf("\r");
    const head = payload.toString("utf8", 0, cr === -1 ? payload.length : cr);
    const text = cr === -1 ? undefined : payload.subarray(cr + 2);
    const [id = "", kind = "", ...tokens] = head.split("|");
    if (/[\0\n]/.test(head) || id === "") {
      this.#refuse("a broken frame head");
      return;
    }
    if (!this.#authenticated && kind !== "authenticate") {
      this.#answer(id, "NO", "not authenticated");
      this.#refuse("a command before the secret");
      return;
    }
    switch (kind) {
      case "authenticate":
        this.#authenticate(id, tokens[0] ?? "");
        return;
      case "route":
        this.#route(id, tokens[0] ?? "");
        return;
      case "remove_route":
        this.#routes.delete(tokens[0] ?? "");
        this.#answer(id, "OK");
        return;
      case "ping":
        this.#answer(id, "OK", "pong");
        return;
      case "sip":
        this.#sip(id, tokens, text);
        return;
      case "proxy":
        this.#answer(id, "NOK", "not supported");
        return;
      default:
        this.#answer(id, "NO", "Unknown message type");
        this.#refuse("an unknown frame");
    }
  }

  #authenticate(id: string, secret: string): void {
    const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
    // Digests of equal length, so that the comparison tells nothing about the secret, not even how long it is.
    if (!timingSafeEqual(digest(secret), digest(this.#context.secret))) {
      this.#answer(id, "NO", "incorrect secret");
      this.#refuse("a wrong secret");
      return;
    }
    if (!this.#authenticated) this.#context.counters.add("clients_authenticated");
    this.#authenticated = true;
    this.#deadline.stop();
    const { shown, local } = this.#context.addresses();
    this.#answer(id, "OK", shown, VERSION, local);
  }

  #route(id: string, verb: string): void {
    // Clients repeat their routes, so this is a set. `trying` is no method: it asks for the 100 of placed calls. Call records (cdr:…) are accepted and never sent.
    if (!this.#routes.has(verb) && this.#routes.size >= MAX_ROUTES) {
      this.#answer(id, "NOK", "too many routes");
      return;
    }
    if (!/^[a-z0-9:_-]{1,32}$/.test(verb)) {
      this.#answer(id, "NOK", "not a method");
      return;
    }
    this.#routes.add(verb);
    this.#answer(id, "OK");
  }

  #sip(id: string, tokens: readonly string[], text: Buffer | undefined): void {
    const parsed = parseSketch(text ?? Buffer.alloc(0), this.#context.maxHeaders);
    if (!parsed.ok) {
      this.#answer(id, "NOK", parsed.reason);
      return;
    }
    if (parsed.dropped.length > 0) {
      this.#context.log.warn({ headers: parsed.dropped }, "header names of an application dropped");
    }
    const { sketch } = parsed;
    const [transactionId = "", dialogId = "", proxyUri = ""] = tokens;
    const command = { transactionId, dialogId, proxyUri: proxyUri === "" ? undefined : proxyUri, sketch };
    this.#context.command(command, this, (verdict) => {
      const { clock, random } = this.#context;
      if (!verdict.ok) return this.#answer(id, "NOK", verdict.reason);
      this.#write(encodeEcho(randomUuid(random), id, verdict.echo, sketch.kind === "response", clock.now()));
    });
  }

  #answer(id: string, ...tokens: readonly string[]): void {
    this.#write(encodeAnswer(randomUuid(this.#context.random), id, ...tokens));
  }

  #write(frame: Buffer): void {
    if (!this.#alive) return;
    if (this.#socket.writableLength > this.#context.maxUnsentBytes) {
      this.#context.log.warn({ unsent_bytes: this.#socket.writableLength }, "control client does not read");
      this.#socket.destroy();
    } else if (this.#socket.writable) this.#socket.write(frame);
  }

  #refuse(why: string): void {
    this.#context.counters.add("clients_refused");
    this.#context.log.warn({ why, remote: this.#socket.remoteAddress }, "control connection closed");
    this.#deadline.stop();
    // Ends after the answer that may still be on its way; a peer that does not close in turn is cut off.
    this.#socket.end();
    this.#socket.destroySoon();
  }

  #close(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#deadline.stop();
    if (this.#authenticated) this.#context.counters.add("clients_lost");
    this.#context.closed(this);
  }
}
