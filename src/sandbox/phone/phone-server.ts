import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type WebSocket, WebSocketServer } from "ws";
import { PublicPort } from "#media/transport/public-port.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import type { Clock } from "#sandbox/clock.ts";
import type { SimulatedMeta } from "#sandbox/meta/meta.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import { type Random, randomInteger, seededRandom } from "#sandbox/random.ts";
import type { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import { ChatSession } from "./chat-session.ts";
import { type PageFile, pageFiles } from "./page-files.ts";
import { PhoneSession } from "./phone-session.ts";
import type { DemoNumber, PhoneNotice, PhoneRequest, TimelineLine } from "./protocol.ts";
import { isChatRequest, readRequest } from "./read-request.ts";
import { lineOfEntry, lineOfEvent, type Watch, type WatchedEvent } from "./timeline.ts";

export interface PhoneServerOptions {
  readonly meta: SimulatedMeta;
  readonly numbers: readonly DemoNumber[];
  /** Without it the page has calls only. */
  readonly gateway?: SimulatedGateway;
  readonly host?: string;
  /** 0, the default: any free one. */
  readonly port?: number;
  /** Address for the browser's media. */
  readonly mediaAddress?: string;
  /** UDP port for the browser's media; 0, the default: any free one. */
  readonly mediaPort?: number;
  /** ponte's own events, for the timeline. */
  readonly watch?: Watch;
  readonly clock?: Clock;
  readonly seed?: number;
}

/** Phones at once; each costs a socket and a session. */
const MAX_PHONES = 64;
/** An SDP of a few kilobytes is the largest message. */
const MAX_MESSAGE_BYTES = 64 * 1024;
/** A browser takes as long as its user needs to allow the microphone. */
const ICE_TIMEOUT_MS = 60_000;
/** Users who are remembered after their page has gone. */
const MAX_OWNERS = 256;
/** Calls whose phone, and whose id of ponte, is remembered for the timeline. */
const MAX_KNOWN_CALLS = 1_000;

const headers = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
};

/** What one phone does. */
interface Sessions {
  readonly calls: PhoneSession;
  readonly chats: ChatSession | undefined;
}

/** Somebody with a phone; they keep their number and chats when the page is loaded again. */
interface Owner {
  readonly user: WhatsAppUser;
  readonly chats: ChatSession | undefined;
  here: boolean;
}

/** Serves the phone page, and connects its phones to the simulated Meta and to the simulated gateway. */
export class PhoneServer {
  readonly #options: PhoneServerOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #phones = new Map<WebSocket, Sessions>();
  /** By number. */
  readonly #owners = new Map<string, Owner>();
  /** The phone whose call this is, also for what comes just after its end. */
  readonly #byWacid = new Map<string, WebSocket>();
  readonly #wacidOf = new Map<string, string>();
  readonly #unwatch: (() => void)[] = [];
  #files: ReadonlyMap<string, PageFile> = new Map();
  #server: Server | undefined;
  #sockets: WebSocketServer | undefined;
  #port: PublicPort | undefined;

  constructor(options: PhoneServerOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = seededRandom(options.seed ?? 6);
  }

  /** Resolves with the page's address. Rejects with the system's error when a port is taken. */
  async start(): Promise<{ readonly url: string }> {
    try {
      return await this.#start();
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
    for (const [socket, { calls, chats }] of this.#phones) {
      calls.close();
      chats?.close();
      socket.terminate();
    }
    this.#phones.clear();
    this.#sockets?.close();
    this.#sockets = undefined;
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    }
    await this.#port?.stop();
    this.#port = undefined;
  }

  async #start(): Promise<{ readonly url: string }> {
    const { host = "127.0.0.1", port = 0, mediaAddress = "127.0.0.1", mediaPort = 0, meta, watch } = this.#options;
    this.#files = pageFiles();
    this.#port = new PublicPort({ port: mediaPort, bind4: mediaAddress, iceTimeoutMs: ICE_TIMEOUT_MS });
    await this.#port.start();
    const server = createServer((request, response) => this.#serve(request, response));
    this.#server = server;
    this.#sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES });
    server.on("upgrade", (request, socket, head) => {
      if (pathOf(request) !== "/phone" || !sameOrigin(request) || this.#full()) {
        socket.destroy();
        return;
      }
      this.#sockets?.handleUpgrade(request, socket, head, (phone) => this.#greet(phone, request));
    });
    this.#unwatch.push(meta.log.watch((entry) => this.#show(lineOfEntry(entry))));
    if (watch !== undefined) this.#unwatch.push(watch((event) => this.#showEvent(event)));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, resolve);
    });
    return { url: `http://${host.includes(":") ? `[${host}]` : host}:${(server.address() as AddressInfo).port}/` };
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const file = request.method === "GET" || request.method === "HEAD" ? this.#files.get(pathOf(request)) : undefined;
    if (file === undefined) response.writeHead(404, headers).end();
    else response.writeHead(200, { ...headers, "content-type": file.type }).end(file.body);
  }

  #full(): boolean {
    return this.#phones.size >= MAX_PHONES;
  }

  #greet(socket: WebSocket, request: IncomingMessage): void {
    const port = this.#port;
    if (port === undefined) {
      socket.terminate();
      return;
    }
    const { meta, numbers } = this.#options;
    const tell = (notice: PhoneNotice): void => {
      if (notice.type === "offer") this.#own(notice.wacid, socket);
      if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(notice));
    };
    const owner = this.#owner(numberIn(request));
    const { user, chats } = owner;
    const known = new Set(numbers.map((number) => number.id));
    const calls = new PhoneSession({ meta, port, clock: this.#clock, random: this.#random, user, known, tell });
    this.#phones.set(socket, { calls, chats });
    socket.on("message", (data) => {
      const wanted = readRequest(String(data));
      if (wanted === undefined) tell({ type: "error", text: "This message cannot be understood." });
      else take({ calls, chats }, wanted, tell);
    });
    socket.on("error", () => socket.terminate());
    socket.on("close", () => {
      this.#phones.delete(socket);
      calls.close();
      chats?.close();
      owner.here = false;
      for (const [wacid, owner] of this.#byWacid) if (owner === socket) this.#byWacid.delete(wacid);
    });
    tell({ type: "welcome", numbers, user: { name: user.profileName, number: user.number } });
    chats?.open(tell);
  }

  #own(wacid: string, socket: WebSocket): void {
    this.#byWacid.set(wacid, socket);
    if (this.#byWacid.size > MAX_KNOWN_CALLS) this.#byWacid.delete(this.#byWacid.keys().next().value ?? "");
    // What happened before the offer could be told, above all the call's being placed.
    for (const entry of this.#options.meta.log.calls(wacid)) this.#show(lineOfEntry(entry));
  }

  /** Who had this number, unless their phone is in use; or somebody new. */
  #owner(number: string | undefined): Owner {
    const known = this.#owners.get(number ?? "");
    if (known?.here === false) {
      known.here = true;
      return known;
    }
    const { gateway } = this.#options;
    const user = this.#newUser();
    const chats = gateway && new ChatSession({ gateway, clock: this.#clock, user, random: this.#random });
    const owner = { user, chats, here: true };
    this.#owners.set(user.number, owner);
    const [gone] = this.#owners.size > MAX_OWNERS ? [...this.#owners].filter(([, { here }]) => !here) : [];
    if (gone !== undefined) this.#owners.delete(gone[0]);
    return owner;
  }

  #newUser(): WhatsAppUser {
    const digits = String(randomInteger(this.#random, 10_000_000, 99_999_999));
    return { number: `55119${digits}`, profileName: "Ana Sandbox", username: "ana.s", userId: `BR.1349120${digits}` };
  }

  #show(told: { readonly wacids: readonly string[]; readonly line: TimelineLine } | undefined): void {
    for (const wacid of told?.wacids ?? []) {
      const socket = this.#byWacid.get(wacid);
      if (told !== undefined && socket?.readyState === socket?.OPEN) {
        socket?.send(JSON.stringify({ type: "timeline", line: told.line } satisfies PhoneNotice));
      }
    }
  }

  #showEvent(event: WatchedEvent): void {
    if (event.wacid !== undefined) {
      this.#wacidOf.set(event.callId, event.wacid);
      if (this.#wacidOf.size > MAX_KNOWN_CALLS) this.#wacidOf.delete(this.#wacidOf.keys().next().value ?? "");
    }
    const wacid = event.wacid ?? this.#wacidOf.get(event.callId);
    if (wacid !== undefined) this.#show({ wacids: [wacid], line: lineOfEvent(event) });
  }
}

/** While the sandbox stops, there is no relay to call through; a message that comes then must not end the process. */
function take({ calls, chats }: Sessions, request: PhoneRequest, tell: (notice: PhoneNotice) => void): void {
  try {
    if (!isChatRequest(request)) calls.take(request);
    else if (chats !== undefined) chats.take(request);
    else tell({ type: "error", text: "There are no chats here." });
  } catch (error) {
    tell({ type: "error", text: error instanceof Error ? error.message : "This is not possible now." });
  }
}

/** Without its query; empty for a target that is no path at all. */
function pathOf(request: IncomingMessage): string {
  const target = request.url ?? "";
  return URL.canParse(target, "http://phone") ? new URL(target, "http://phone").pathname : "";
}

/** The number that a page had before, `/phone?number=…`. */
function numberIn(request: IncomingMessage): string | undefined {
  return new URL(request.url ?? "", "http://phone").searchParams.get("number") ?? undefined;
}

/** Another site's script in the same browser must not place calls from here; programs send no Origin. */
function sameOrigin(request: IncomingMessage): boolean {
  const { origin, host } = request.headers;
  if (origin === undefined) return true;
  return URL.canParse(origin) && new URL(origin).host === host;
}
