import type { ChannelState } from "#core/channel/channel.ts";
import { type Random, randomBytes } from "#sandbox/random.ts";
import type { GatewayEventName } from "./log.ts";
import type { GatewayModes } from "./modes.ts";
import type { Said } from "./said.ts";

/** A message as WhatsApp carries it. Times are Unix milliseconds, people and groups are addresses with `@`. */
export interface Carried {
  /** `true_<chat>_<hex>`, in a group with `_<author>` behind it. */
  readonly id: string;
  readonly channel: string;
  readonly fromMe: boolean;
  /** The person on the other side, or the group. */
  readonly chat: string;
  readonly chatName?: string;
  /** Who wrote it, as WhatsApp shows them. */
  readonly author: Shown;
  /** The number of the channel. */
  readonly business: string;
  readonly said: Said;
  readonly at: number;
  readonly quoted?: string;
}

/** A person as others see them. `number`: shown beside a linked id. */
export interface Shown {
  readonly jid: string;
  readonly name?: string;
  readonly number?: string;
}

/** -1 failed, 1 sent, 2 delivered, 3 read. */
export type AckLevel = -1 | 1 | 2 | 3;

/** Ids of WhatsApp Web begin with 3EB0, those of an iPhone with 3A. */
export function newMessageId(random: Random, fromMe: boolean, chat: string, author?: string): string {
  const hex = (fromMe ? "3EB0" : "3A") + randomBytes(random, 9).toString("hex").toUpperCase();
  return `${fromMe}_${chat}_${hex}${author === undefined ? "" : `_${author}`}`;
}

/** WPPConnect's `onmessage`, as far as anybody looks at it. */
export function messageOf(carried: Carried): Readonly<Record<string, unknown>> {
  const { author, business, chat, fromMe } = carried;
  const isGroup = chat.endsWith("@g.us");
  const own = `${business}@c.us`;
  const sender = {
    id: author.jid,
    name: author.name,
    pushname: author.name,
    isMe: fromMe,
    ...(author.number === undefined ? {} : { phoneNumber: `${author.number}@c.us` }),
  };
  return {
    id: carried.id,
    viewed: false,
    t: Math.floor(carried.at / 1_000),
    notifyName: author.name,
    from: fromMe ? own : chat,
    to: fromMe ? chat : own,
    ...(isGroup ? { author: author.jid } : {}),
    ack: fromMe ? 1 : 0,
    isNewMsg: true,
    isForwarded: false,
    mentionedJidList: [],
    chatId: chat,
    fromMe,
    isGroupMsg: isGroup,
    isMedia: false,
    sender,
    ...(carried.chatName === undefined ? {} : { chat: { id: chat, name: carried.chatName, isGroup } }),
    ...(carried.quoted === undefined ? {} : { quotedMsgId: carried.quoted }),
    ...carried.said,
  };
}

/** WPPConnect's `onack`: the message again, its id as an object. */
export function ackOf(carried: Carried, ack: AckLevel, at: number): Readonly<Record<string, unknown>> {
  const hex = carried.id.split("_")[2] ?? "";
  return {
    id: { fromMe: carried.fromMe, remote: carried.chat, id: hex, _serialized: carried.id },
    ack,
    body: carried.said["body"],
    type: carried.said.type,
    t: Math.floor(carried.at / 1_000),
    from: `${carried.business}@c.us`,
    to: carried.chat,
    ackedAt: at,
  };
}

/** WPPConnect's words (`statusFind`) for states. */
const flatStates: Readonly<Record<ChannelState, string>> = {
  new: "notLogged",
  connecting: "qrReadSuccess",
  qr: "notLogged",
  connected: "inChat",
  disconnected: "disconnectedMobile",
};

const flatNames: Readonly<Record<GatewayEventName, string>> = {
  message: "onmessage",
  "message.ack": "onack",
  "connection.update": "status-find",
};

export interface Envelope {
  readonly event: GatewayEventName;
  readonly channel: string;
  readonly at: number;
  readonly data: Readonly<Record<string, unknown>>;
}

export function connectionOf(
  state: ChannelState,
  phone: string | undefined,
  reason: string | undefined,
): Envelope["data"] {
  return { state, ...(phone === undefined ? {} : { phone }), ...(reason === undefined ? {} : { reason }) };
}

/** The body of a webhook. */
export function bodyOf({ event, channel, at, data }: Envelope, style: GatewayModes["envelope"]): string {
  if (style === "nested") return JSON.stringify({ event, channel, timestamp: at, data });
  const { state, ...rest } = data;
  const facts = event === "connection.update" ? { ...rest, status: flatStates[state as ChannelState] } : data;
  return JSON.stringify({ event: flatNames[event], session: channel, ...facts });
}
