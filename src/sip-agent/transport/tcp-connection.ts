import type { Socket } from "node:net";
import { StreamFramer } from "./stream-framer.ts";

export type TcpEvents = {
  readonly message: (bytes: Buffer, connection: TcpConnection) => void;
  readonly closed: (connection: TcpConnection, overflow: boolean) => void;
};

/** Bytes that may wait in one connection for a peer that does not read, before it is given up. */
const MAX_UNSENT_BYTES = 1_048_576;

/** One SIP connection over TCP, accepted or opened by us. Every write ends in success or in its `onError`, once. */
export class TcpConnection {
  readonly #socket: Socket;
  readonly #events: TcpEvents;
  readonly #framer: StreamFramer;
  /** Callers whose bytes are not known to have been handed to the kernel. */
  readonly #waiting = new Set<(error: Error) => void>();
  #error = new Error("connection closed");
  #closed = false;

  constructor(socket: Socket, maxMessageBytes: number, events: TcpEvents) {
    this.#socket = socket;
    this.#events = events;
    this.#framer = new StreamFramer(maxMessageBytes);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => {
      this.#error = error;
    });
    socket.on("close", () => this.#close());
  }

  get usable(): boolean {
    return !this.#closed && this.#socket.writable;
  }

  send(bytes: Buffer, onError: (error: Error) => void): void {
    if (!this.usable) {
      queueMicrotask(() => onError(this.#error));
      return;
    }
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#socket.destroy(new Error("the peer does not read"));
      queueMicrotask(() => onError(this.#error));
      return;
    }
    this.#waiting.add(onError);
    this.#socket.write(bytes, (error) => {
      if (error === undefined || error === null) this.#waiting.delete(onError);
    });
  }

  /** Cuts the connection; what follows from that has happened when this returns. */
  destroy(): void {
    this.#socket.destroy();
    this.#close();
  }

  #read(chunk: Buffer): void {
    for (const piece of this.#framer.push(chunk)) {
      if (piece.type === "message") this.#events.message(piece.bytes, this);
      else if (this.usable) this.#socket.write("\r\n");
    }
    if (this.#framer.overflow) this.#socket.destroy();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const onError of this.#waiting) onError(this.#error);
    this.#waiting.clear();
    this.#events.closed(this, this.#framer.overflow);
  }
}
