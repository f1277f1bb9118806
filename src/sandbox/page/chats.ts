import type { ChatMessage, ChatRequest, LinkedChannel } from "#sandbox/phone/protocol.ts";
import { showChannels, showChat, showMessage, showTab, showUnread } from "./chat-screen.ts";
import { byId } from "./screen.ts";

/** The chats of this phone, and the linked devices of the business's. */
export class Chats {
  readonly #send: (request: ChatRequest) => void;
  readonly #messages = new Map<string, ChatMessage>();
  #channels: readonly LinkedChannel[] = [];
  #open: string | undefined;

  constructor(send: (request: ChatRequest) => void) {
    this.#send = send;
    for (const tab of ["chats", "calls"] as const) {
      byId(`${tab}-tab`, HTMLButtonElement).addEventListener("click", () => showTab(tab));
    }
    byId("leave", HTMLButtonElement).addEventListener("click", () => this.#leave());
    const words = byId("words", HTMLTextAreaElement);
    byId("composer", HTMLFormElement).addEventListener("submit", (event) => {
      event.preventDefault();
      this.#say(words);
    });
    words.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.#say(words);
    });
    // Nobody reads behind a hidden tab.
    document.addEventListener("visibilitychange", () => this.#look());
  }

  /** The channel whose chat is on the screen. */
  get looksAt(): string | undefined {
    return this.#open;
  }

  /** A new connection: everything is told again. */
  restart(): void {
    this.#messages.clear();
    byId("messages", HTMLOListElement).replaceChildren();
    this.#look();
  }

  setChannels(channels: readonly LinkedChannel[]): void {
    this.#channels = channels;
    byId("tabs", HTMLElement).hidden = false;
    byId("notice", HTMLParagraphElement).textContent = "";
    this.#showList();
    const open = channels.find(({ id }) => id === this.#open);
    if (open !== undefined) showChat(open);
  }

  take(message: ChatMessage): void {
    this.#messages.set(message.id, message);
    if (message.channel === this.#open) showMessage(message, this.#messages.get(message.quoted ?? ""));
    this.#showList();
  }

  #enter(channel: LinkedChannel): void {
    this.#open = channel.id;
    showChat(channel);
    byId("messages", HTMLOListElement).replaceChildren();
    for (const message of this.#of(channel.id)) showMessage(message, this.#messages.get(message.quoted ?? ""));
    byId("words", HTMLTextAreaElement).focus();
    this.#look();
  }

  #leave(): void {
    this.#open = undefined;
    byId("chat", HTMLElement).hidden = true;
    byId("home", HTMLElement).hidden = false;
    this.#look();
  }

  #look(): void {
    const seen = this.#open !== undefined && document.visibilityState === "visible";
    this.#send(seen && this.#open !== undefined ? { type: "look", channel: this.#open } : { type: "look" });
  }

  #say(words: HTMLTextAreaElement): void {
    byId("chat-notice", HTMLParagraphElement).textContent = "";
    if (this.#open === undefined || words.value.trim() === "") return;
    this.#send({ type: "say", channel: this.#open, text: words.value });
    words.value = "";
  }

  #showList(): void {
    const chats = this.#channels.flatMap((channel) => {
      if (channel.phone === undefined) return [];
      const messages = this.#of(channel.id);
      const unread = messages.filter(({ from, state }) => from === "business" && state !== "read").length;
      return [{ channel, last: messages.at(-1), unread }];
    });
    chats.sort((a, b) => (b.last?.at ?? 0) - (a.last?.at ?? 0));
    showChannels(this.#channels, chats, {
      onOpen: (channel) => this.#enter(channel),
      onScan: ({ id }) => this.#send({ type: "scan", channel: id }),
      onUnlink: ({ id }) => this.#send({ type: "unlink", channel: id }),
    });
    showUnread(chats.reduce((sum, { unread }) => sum + unread, 0));
  }

  #of(channel: string): readonly ChatMessage[] {
    return [...this.#messages.values()].filter((message) => message.channel === channel).sort((a, b) => a.at - b.at);
  }
}
