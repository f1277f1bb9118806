import type { PhoneNotice, PhoneRequest } from "#sandbox/phone/protocol.ts";

/** After a lost connection the next attempt comes after this; the server is on the same machine more often than not. */
const RECONNECT_MS = 1_000;

/** Where the tab keeps the number of its phone, so that it has its chats again after a reload. */
const NUMBER_KEY = "ponte-phone-number";

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
    const number = sessionStorage.getItem(NUMBER_KEY);
    if (number !== null) url.searchParams.set("number", number);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    socket.addEventListener("message", (event) => {
      const notice = JSON.parse(String(event.data)) as PhoneNotice;
      if (notice.type === "welcome") sessionStorage.setItem(NUMBER_KEY, notice.user.number);
      this.#onNotice(notice);
    });
    socket.addEventListener("close", () => {
      this.#onLost();
      setTimeout(() => this.open(), RECONNECT_MS);
    });
  }

  send(request: PhoneRequest): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request));
  }
}
