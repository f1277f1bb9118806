import type { PhoneNotice, PhoneRequest } from "#sandbox/phone/protocol.ts";

/** After a lost connection the next attempt comes after this; the server is on the same machine more often than not. */
const RECONNECT_MS = 1_000;

/** The WebSocket to the sandbox; it comes back by itself. */
export class Line {
  readonly #onNotice: (notice: PhoneNotice) => void;
  readonly #onLost: () => void;
  #socket: WebSocket | undefined;

  constructor(onNotice: (notice: PhoneNotice) => void, onLost: () => void) {
    this.#onNotice = onNotice;
    this.#onLost = onLost;
  }

  open(): void {
    const url = new URL("phone", location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("message", (event) => this.#onNotice(JSON.parse(String(event.data)) as PhoneNotice));
    socket.addEventListener("close", () => {
      this.#onLost();
      setTimeout(() => this.open(), RECONNECT_MS);
    });
  }

  send(request: PhoneRequest): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }
}
