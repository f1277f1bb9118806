import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Server, type Socket as TcpSocket } from "node:net";

/** A SIP message as a test sees it: text, taken apart by other code than the agent's. */
export class Message {
  readonly text: string;
  readonly start: string;
  readonly body: string;
  readonly #lines: readonly string[];

  constructor(text: string) {
    this.text = text;
    const [head = "", ...rest] = text.split("\r\n\r\n");
    const [start = "", ...lines] = head.split("\r\n");
    this.start = start;
    this.#lines = lines;
    this.body = rest.join("\r\n\r\n");
  }

  all(name: string): string[] {
    const prefix = `${name.toLowerCase()}:`;
    return this.#lines
      .filter((line) => line.toLowerCase().startsWith(prefix))
      .map((line) => line.slice(prefix.length).trim());
  }

  get(name: string): string {
    const [value] = this.all(name);
    if (value === undefined) throw new Error(`no ${name} in ${this.start}`);
    return value;
  }

  get status(): number {
    return Number(/^SIP\/2\.0 (\d+)/.exec(this.start)?.[1] ?? 0);
  }

  get method(): string {
    return this.status === 0 ? (this.start.split(" ")[0] ?? "") : "";
  }

  get uri(): string {
    return this.start.split(" ")[1] ?? "";
  }

  get branch(): string {
    return /branch=([^;,\s]+)/.exec(this.get("Via"))?.[1] ?? "";
  }

  tag(name: "From" | "To"): string {
    return /;tag=([^;\s]+)/.exec(this.get(name))?.[1] ?? "";
  }

  contact(): string {
    return /<([^>]+)>/.exec(this.get("Contact"))?.[1] ?? this.get("Contact");
  }
}

/** On loopback everything comes in milliseconds; on a busy machine, in seconds. */
const LONGEST_WAIT_MS = 8_000;

type Waiter = { readonly wanted: (message: Message) => boolean; readonly resolve: (message: Message) => void };

/** What tests do with a peer, whatever its transport. */
export abstract class Peer {
  /** Everything that arrived, in order. */
  readonly log: Message[] = [];
  readonly #waiting: Waiter[] = [];
  #unread: Message[] = [];
  #sequence = 0;

  abstract readonly port: number;
  abstract readonly transport: "UDP" | "TCP";
  abstract write(text: string): void;
  abstract close(): Promise<void>;

  protected arrived(text: string): void {
    const message = new Message(text);
    this.log.push(message);
    const at = this.#waiting.findIndex((waiter) => waiter.wanted(message));
    const [waiter] = at === -1 ? [] : this.#waiting.splice(at, 1);
    if (waiter === undefined) this.#unread.push(message);
    else waiter.resolve(message);
  }

  /** The next message that nobody has taken yet and that fits: a status, a method or a test. */
  next(wanted: number | string | ((message: Message) => boolean)): Promise<Message> {
    const fits =
      typeof wanted === "function"
        ? wanted
        : (message: Message) => (typeof wanted === "number" ? message.status === wanted : message.method === wanted);
    const at = this.#unread.findIndex(fits);
    const [found] = at === -1 ? [] : this.#unread.splice(at, 1);
    if (found !== undefined) return Promise.resolve(found);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const seen = this.log.map((message) => message.start).join("; ");
        reject(new Error(`no ${typeof wanted === "function" ? "such message" : wanted} arrived; seen: ${seen}`));
      }, LONGEST_WAIT_MS);
      this.#waiting.push({
        wanted: fits,
        resolve: (message) => {
          clearTimeout(timer);
          resolve(message);
        },
      });
    });
  }

  /** Waits until the agent has worked off what was sent to it before: it answers a request that it has no use for. */
  async heard(): Promise<void> {
    const { branch } = this.request("OPTIONS", "sip:nobody@127.0.0.1");
    await this.next((message) => message.status >= 200 && message.branch === branch);
  }

  /** How often a message of that status or method arrived. */
  count(wanted: number | string): number {
    return this.log.filter((message) => message.status === wanted || message.method === wanted).length;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get contact(): string {
    return `<sip:peer@${this.host}${this.transport === "TCP" ? ";transport=tcp" : ""}>`;
  }

  branch(): string {
    this.#sequence += 1;
    return `z9hG4bKpeer${this.port}x${this.#sequence}`;
  }

  /** A request outside a dialog. `extra` are whole header lines. */
  request(method: string, uri: string, options: RequestOptions = {}): Message {
    const branch = options.branch ?? this.branch();
    const callId = options.callId ?? `call-${branch}`;
    const from = options.from ?? `<sip:peer@${this.host}>;tag=peer-${branch}`;
    const body = options.body ?? "";
    const lines = [
      `${method} ${uri} SIP/2.0`,
      `Via: SIP/2.0/${this.transport} ${this.host};branch=${branch}`,
      "Max-Forwards: 70",
      `From: ${from}`,
      `To: ${options.to ?? `<${uri}>`}`,
      `Call-ID: ${callId}`,
      `CSeq: ${options.cseq ?? 1} ${options.cseqMethod ?? method}`,
      ...(options.noContact === true ? [] : [`Contact: ${this.contact}`]),
      ...(options.extra ?? []),
      ...(body === "" || options.extra?.some((line) => /^content-type/i.test(line))
        ? []
        : ["Content-Type: application/sdp"]),
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    const text = `${lines.join("\r\n")}\r\n\r\n${body}`;
    this.write(text);
    return new Message(text);
  }

  /** The ACK of a 2xx, or of a failure when `branch` is that of the INVITE. */
  ack(invite: Message, answer: Message, branch = this.branch()): void {
    const target = answer.status < 300 ? answer.contact() : invite.uri;
    this.request("ACK", target, {
      branch,
      callId: invite.get("Call-ID"),
      from: invite.get("From"),
      to: answer.get("To"),
      cseq: Number(invite.get("CSeq").split(" ")[0]),
    });
  }

  cancel(invite: Message): void {
    this.request("CANCEL", invite.uri, {
      branch: invite.branch,
      callId: invite.get("Call-ID"),
      from: invite.get("From"),
      to: invite.get("To"),
      cseq: Number(invite.get("CSeq").split(" ")[0]),
    });
  }

  /** A response to a request that arrived. */
  reply(request: Message, status: number, options: ReplyOptions = {}): void {
    const to = request.get("To");
    const body = options.body ?? "";
    const lines = [
      `SIP/2.0 ${status} ${options.reason ?? "Reason"}`,
      ...request.all("Via").map((via) => `Via: ${via}`),
      `From: ${request.get("From")}`,
      `To: ${status === 100 || to.includes("tag=") ? to : `${to};tag=${options.tag ?? "peer-tag"}`}`,
      `Call-ID: ${request.get("Call-ID")}`,
      `CSeq: ${request.get("CSeq")}`,
      ...(options.noContact === true || status === 100 ? [] : [`Contact: ${this.contact}`]),
      ...(options.extra ?? []),
      ...(body === "" ? [] : ["Content-Type: application/sdp"]),
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    this.write(`${lines.join("\r\n")}\r\n\r\n${body}`);
  }
}

export type RequestOptions = {
  readonly branch?: string;
  readonly callId?: string;
  readonly from?: string;
  readonly to?: string;
  readonly cseq?: number;
  readonly cseqMethod?: string;
  readonly extra?: readonly string[];
  readonly body?: string;
  readonly noContact?: boolean;
};

export type ReplyOptions = {
  readonly tag?: string;
  readonly reason?: string;
  readonly extra?: readonly string[];
  readonly body?: string;
  readonly noContact?: boolean;
};

/** A peer on one UDP socket, which sends to `target`. */
export class UdpPeer extends Peer {
  readonly transport = "UDP";
  readonly #socket: Socket;
  #target: number;

  private constructor(socket: Socket, target: number) {
    super();
    this.#socket = socket;
    this.#target = target;
    socket.on("message", (bytes) => this.arrived(bytes.toString()));
  }

  static async open(target: number): Promise<UdpPeer> {
    const socket = createSocket("udp4");
    socket.bind(0, "127.0.0.1");
    await once(socket, "listening");
    return new UdpPeer(socket, target);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  write(text: string | Buffer): void {
    this.#socket.send(text, this.#target, "127.0.0.1");
  }

  aim(port: number): void {
    this.#target = port;
  }

  close(): Promise<void> {
    return new Promise((done) => this.#socket.close(() => done()));
  }
}

/** A peer on TCP: it listens, and talks over whatever connection exists last. */
export class TcpPeer extends Peer {
  readonly transport = "TCP";
  readonly #server: Server;
  readonly #sockets = new Set<TcpSocket>();
  #current: TcpSocket | undefined;
  #buffer = "";

  private constructor(server: Server) {
    super();
    this.#server = server;
    server.on("connection", (socket) => this.#adopt(socket));
  }

  static async open(): Promise<TcpPeer> {
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return new TcpPeer(server);
  }

  async connect(port: number): Promise<void> {
    const socket = connect(port, "127.0.0.1");
    await once(socket, "connect");
    this.#adopt(socket);
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#sockets.size;
  }

  write(text: string): void {
    this.#current?.write(text);
  }

  /** Cuts the connection in use. */
  drop(): void {
    this.#current?.destroy();
  }

  close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    return new Promise((done) => this.#server.close(() => done()));
  }

  #adopt(socket: TcpSocket): void {
    this.#current = socket;
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("data", (chunk: Buffer) => {
      this.#buffer += chunk.toString("latin1");
      for (;;) {
        const end = this.#buffer.indexOf("\r\n\r\n");
        if (end === -1) return;
        const length = Number(/content-length: *(\d+)/i.exec(this.#buffer.slice(0, end))?.[1] ?? 0);
        if (this.#buffer.length < end + 4 + length) return;
        const text = Buffer.from(this.#buffer.slice(0, end + 4 + length), "latin1").toString();
        this.#buffer = this.#buffer.slice(end + 4 + length);
        this.arrived(text);
      }
    });
  }
}
