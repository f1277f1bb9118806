import type { RemoteInfo, Socket } from "node:dgram";
import { subscribe, unsubscribe } from "node:diagnostics_channel";

/** One SIP message as it stood in a datagram. */
export interface WireMessage {
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly from: "ponte" | "pbx";
  /** `INVITE`, or `486` of a response. */
  readonly what: string;
  /** Method of the CSeq header: what a response answers. */
  readonly method: string;
  readonly callId: string;
  readonly text: string;
  /** First value of a header; `""` when it is absent. Compact forms are not written by anybody here. */
  header(name: string): string;
  readonly body: string;
}

/** Every UDP socket of the main thread is announced here when it is made (Node's diagnostics channel). */
const CHANNEL = "udp.socket";
const FIRST_LINE = /^(?:SIP\/2\.0 (\d{3}) |([A-Z]+) \S+ SIP\/2\.0\r\n)/;

/**
 * Listens on the wire between ponte and its PBX: whatever the socket on ponte's SIP port sends and receives. Begins before
 * the daemon starts, because it must see the socket being made.
 */
export class SipWire {
  readonly #messages: { readonly port: number; readonly sent: boolean; readonly bytes: Buffer; readonly at: number }[] =
    [];
  readonly #sockets = new Set<Socket>();
  readonly #onSocket = (message: unknown): void => this.#tap((message as { readonly socket: Socket }).socket);

  start(): void {
    subscribe(CHANNEL, this.#onSocket);
  }

  stop(): void {
    unsubscribe(CHANNEL, this.#onSocket);
  }

  /** UDP sockets of the main thread that were made since the start and are not closed. */
  get openSockets(): number {
    return this.#sockets.size;
  }

  /** The messages of the call that Meta knows by this id, in order; `sipPort` is ponte's. */
  messagesOf(wacid: string, sipPort: number): WireMessage[] {
    const all = this.#messages.flatMap(({ port, sent, bytes, at }) => {
      if (port !== sipPort) return [];
      const read = readMessage(bytes.toString(), sent ? "ponte" : "pbx", at);
      return read === undefined ? [] : [read];
    });
    const callIds = new Set(
      all.filter((each) => each.header("X-WhatsApp-Call-Id") === wacid).map((invite) => invite.callId),
    );
    return all.filter((each) => callIds.has(each.callId));
  }

  #tap(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once("close", () => this.#sockets.delete(socket));
    socket.on("message", (bytes: Buffer, _from: RemoteInfo) => this.#note(socket, false, bytes));
    const send = socket.send.bind(socket) as (...args: unknown[]) => void;
    socket.send = (...args: unknown[]): void => {
      if (Buffer.isBuffer(args[0])) this.#note(socket, true, args[0]);
      send(...args);
    };
  }

  /** RTP and STUN begin with a byte that no SIP message begins with. */
  #note(socket: Socket, sent: boolean, bytes: Buffer): void {
    const first = bytes[0] ?? 0;
    if (first < 0x41 || first > 0x5a) return;
    this.#messages.push({ port: socket.address().port, sent, bytes: Buffer.from(bytes), at: Date.now() });
  }
}

function readMessage(text: string, from: WireMessage["from"], at: number): WireMessage | undefined {
  const first = FIRST_LINE.exec(text);
  if (first === null) return undefined;
  const [head = "", ...rest] = text.split("\r\n\r\n");
  const header = (name: string): string => new RegExp(`^${name}\\s*:\\s*(.*)$`, "im").exec(head)?.[1]?.trim() ?? "";
  return {
    at,
    from,
    what: first[1] ?? first[2] ?? "",
    method: header("CSeq").split(/\s+/)[1] ?? "",
    callId: header("Call-ID"),
    text,
    header,
    body: rest.join("\r\n\r\n"),
  };
}
