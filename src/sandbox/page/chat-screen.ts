import type { ChatMessage, LinkedChannel } from "#sandbox/phone/protocol.ts";
import { byId, make } from "./screen.ts";

/** A line of the list of chats. */
export interface ChatLine {
  readonly channel: LinkedChannel;
  readonly last: ChatMessage | undefined;
  readonly unread: number;
}

interface Handlers {
  readonly onOpen: (channel: LinkedChannel) => void;
  readonly onScan: (channel: LinkedChannel) => void;
  readonly onUnlink: (channel: LinkedChannel) => void;
}

export function showTab(tab: "chats" | "calls"): void {
  byId("title", HTMLHeadingElement).textContent = tab === "chats" ? "Chats" : "Calls";
  for (const each of ["chats", "calls"]) {
    byId(`${each}-tab`, HTMLButtonElement).ariaSelected = String(each === tab);
    byId(`${each}-panel`, HTMLDivElement).hidden = each !== tab;
  }
}

export function showUnread(count: number): void {
  const badge = byId("unread", HTMLSpanElement);
  badge.hidden = count === 0;
  badge.textContent = count === 0 ? "" : String(count);
}

export function showChannels(
  channels: readonly LinkedChannel[],
  chats: readonly ChatLine[],
  { onOpen, onScan, onUnlink }: Handlers,
): void {
  byId("chats", HTMLUListElement).replaceChildren(...chats.map((chat) => chatLine(chat, onOpen)));
  byId("devices", HTMLUListElement).replaceChildren(
    ...(channels.length === 0 ? [make("li", "dim", "No channel yet: create one in ponte.")] : []),
    ...channels.map((channel) => device(channel, onScan, onUnlink)),
  );
}

function chatLine({ channel, last, unread }: ChatLine, onOpen: Handlers["onOpen"]): HTMLElement {
  const words = make("small", "words", ...(last?.from === "user" ? [ticks(last.state), " "] : []), last?.text ?? "");
  const side = make("span", "side", make("time", "", last === undefined ? "" : timeOf(last.at)));
  if (unread > 0) side.append(make("span", "badge", String(unread)));
  const button = press("", () => onOpen(channel));
  button.append(face(make("span", "avatar"), channel), make("span", "", make("strong", "", channel.name), words), side);
  button.dataset["chat"] = channel.id;
  return make("li", "", button);
}

const states: Readonly<Record<LinkedChannel["state"], string>> = {
  new: "new",
  connecting: "connecting…",
  qr: "shows a code",
  connected: "connected",
  disconnected: "disconnected",
};

function device(channel: LinkedChannel, onScan: Handlers["onScan"], onUnlink: Handlers["onUnlink"]): HTMLElement {
  const state = make("small", "", describe(channel));
  const item = make("li", "", make("span", "", make("strong", "", channel.name), state));
  item.dataset["device"] = channel.id;
  item.dataset["state"] = channel.state;
  if (channel.state === "qr") item.append(press("Scan the code", () => onScan(channel)));
  if (channel.state === "connected") item.append(press("Disconnect", () => onUnlink(channel)));
  return item;
}

function describe({ phone, state }: LinkedChannel): string {
  return phone === undefined ? states[state] : `+${phone} · ${states[state]}`;
}

export function showChat(channel: LinkedChannel): void {
  face(byId("chat-face", HTMLSpanElement), channel);
  byId("chat-name", HTMLHeadingElement).textContent = channel.name;
  byId("chat-state", HTMLParagraphElement).textContent = describe(channel);
  byId("home", HTMLElement).hidden = true;
  byId("chat", HTMLElement).hidden = false;
}

/** A bubble: a new one at the end, or the one that is there already with its new ticks. */
export function showMessage(message: ChatMessage, quoted: ChatMessage | undefined): void {
  const list = byId("messages", HTMLOListElement);
  const bubble = make("li", `bubble ${message.from}`);
  bubble.dataset["message"] = message.id;
  bubble.dataset["state"] = message.state;
  if (quoted !== undefined) bubble.append(make("blockquote", "", quoted.text));
  const foot = make("span", "foot", make("time", "", timeOf(message.at)));
  if (message.from === "user") foot.append(" ", ticks(message.state));
  bubble.append(make("span", "words", message.text), foot);
  const known = [...list.children].find(
    (each) => each instanceof HTMLElement && each.dataset["message"] === message.id,
  );
  if (known !== undefined) {
    known.replaceWith(bubble);
    return;
  }
  list.append(bubble);
  list.scrollTop = list.scrollHeight;
}

function ticks(state: ChatMessage["state"]): HTMLElement {
  const element = make("span", `ticks ${state}`, state === "sent" ? "✓" : "✓✓");
  element.role = "img";
  element.ariaLabel = state;
  return element;
}

/** Each channel has its own colour. */
function face(element: HTMLElement, { id, name }: LinkedChannel): HTMLElement {
  element.textContent = name.slice(0, 1).toUpperCase();
  const sum = [...id].reduce((total, letter) => total * 31 + (letter.codePointAt(0) ?? 0), 7);
  element.style.setProperty("--hue", String(sum % 360));
  return element;
}

function press(label: string, onClick: () => void): HTMLButtonElement {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.addEventListener("click", onClick);
  return button;
}

function timeOf(at: number): string {
  return new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}
