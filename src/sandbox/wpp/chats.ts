import { canonicalPhone, phoneDigits } from "#core/contact/phone.ts";
import { type Clock, Timers } from "#sandbox/clock.ts";
import { type Random, randomInteger } from "#sandbox/random.ts";
import type { Channels, GatewayChannel } from "./channels.ts";
import type { GatewayModes } from "./modes.ts";
import { type AckLevel, ackOf, type Carried, messageOf, newMessageId } from "./payload.ts";
import { type Carrier, Phone, type PhoneOptions, type Towards, type Typed } from "./phone.ts";
import type { Said } from "./said.ts";
import type { GatewayWebhooks } from "./webhooks.ts";

/** Several people and the business in one chat. */
export interface Group {
  /** With `@g.us`. */
  readonly id: string;
  readonly name: string;
  readonly members: readonly Phone[];
}

interface Recipient {
  readonly chat: string;
  readonly phones: readonly Phone[];
  readonly chatName?: string;
}

interface OpenMessage {
  readonly phones: readonly Phone[];
  /** Who has still to get it, and to read it. */
  readonly missing: { readonly 2: Set<Phone>; readonly 3: Set<Phone> };
}

interface Options {
  readonly clock: Clock;
  readonly random: Random;
  readonly webhooks: GatewayWebhooks;
  readonly channels: Channels;
  readonly modes: () => GatewayModes;
}

/** WhatsApp itself: phones, groups, and what travels between them and the channels. */
export class Chats implements Carrier {
  readonly #options: Options;
  readonly #timers: Timers;
  /** By number, in the one form that stands for all equivalent ones. */
  readonly #phones = new Map<string, Phone>();
  readonly #groups = new Map<string, Group>();
  /** For channels that are not connected. */
  readonly #held = new Map<string, (() => void)[]>();
  /** The business's messages that are not read yet. */
  readonly #open = new Map<string, OpenMessage>();
  readonly #blocked = new Set<Phone>();

  constructor(options: Options) {
    this.#options = options;
    this.#timers = new Timers(options.clock);
  }

  /** The phone with this number, digits; made when there is none. */
  phone(number: string, options: PhoneOptions = {}): Phone {
    const key = canonicalPhone(number);
    const known = this.#phones.get(key);
    if (known !== undefined) return known;
    const { random } = this.#options;
    const lid = `${randomInteger(random, 1_000_000, 9_999_999)}${randomInteger(random, 10_000_000, 99_999_999)}`;
    const phone = new Phone(number, lid, this, options);
    this.#phones.set(key, phone);
    return phone;
  }

  group(name: string, members: readonly Phone[]): Group {
    const group = { id: `1203630${randomInteger(this.#options.random, 1e10, 9e10)}@g.us`, name, members };
    this.#groups.set(group.id, group);
    return group;
  }

  /** What is sent to this phone from now on fails: the channel hears of it with an ack of -1. */
  block(phone: Phone): void {
    this.#blocked.add(phone);
  }

  /** A number in any form, or an address. Undefined: nobody there has WhatsApp. */
  find(to: string): Recipient | undefined {
    const group = this.#groups.get(to);
    if (group !== undefined) return { chat: group.id, phones: group.members, chatName: group.name };
    const [, user = to, server = "c.us"] = /^([^@]+)@(.+)$/.exec(to) ?? [];
    if (server === "lid") {
      const phone = [...this.#phones.values()].find(({ lid }) => lid === user);
      return phone && { chat: to, phones: [phone] };
    }
    const digits = server === "c.us" || server === "s.whatsapp.net" ? phoneDigits(user) : undefined;
    const phone = digits === undefined ? undefined : this.#phones.get(canonicalPhone(digits));
    // WhatsApp answers with the form that it knows, not the one that was asked for.
    return phone && { chat: `${phone.number}@c.us`, phones: [phone] };
  }

  submit(phone: Phone, said: Said, { channel: name, group: groupId, quoted }: Towards): Typed {
    const channel = this.#channelFor(name);
    const group = groupId === undefined ? undefined : this.#groups.get(groupId);
    if (groupId !== undefined && group?.members.includes(phone) !== true) {
      throw new RangeError(`${phone.number} is not in the group ${groupId}`);
    }
    const chat = group?.id ?? phone.shown.jid;
    const message = this.#message(channel, chat, { fromMe: false, said, quoted, author: phone.shown, group });
    let seen = false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    this.#whenConnected(channel.id, () => {
      void this.#tell(message).then((taken) => {
        if (taken && this.#options.modes().takenIsRead) seen = true;
        resolve(taken);
      });
    });
    return {
      id: message.id,
      taken: promise,
      get seen() {
        return seen;
      },
    };
  }

  /** A message of the business; nothing happens before `depart`. */
  write(channel: GatewayChannel, to: Recipient, said: Said, quoted?: string): Carried {
    const author = { jid: `${channel.phone}@c.us` };
    const message = this.#message(channel, to.chat, { fromMe: true, said, quoted, author, group: undefined });
    this.#open.set(message.id, { phones: to.phones, missing: { 2: new Set(to.phones), 3: new Set(to.phones) } });
    return message;
  }

  /** It is on its way: sent, delivered as soon as the phones are online, read as soon as somebody looks. */
  depart(message: Carried, { echo }: { readonly echo: boolean }): void {
    const { ackDelayMs } = this.#options.modes();
    const step = (task: () => void): void => {
      if (ackDelayMs === 0) task();
      else this.#timers.after(ackDelayMs, task);
    };
    if (echo) void this.#tell(message);
    const phones = this.#open.get(message.id)?.phones ?? [];
    step(() => {
      if (phones.some((phone) => this.#blocked.has(phone))) {
        this.#ack(message, -1);
        return;
      }
      this.#ack(message, 1);
      step(() => {
        for (const phone of phones) phone.deliver(message);
      });
    });
  }

  acked(phone: Phone, message: Carried, level: 2 | 3): void {
    const missing = this.#open.get(message.id)?.missing;
    missing?.[level].delete(phone);
    // In a group the gateway hears of it when everybody has it.
    if (missing === undefined || missing[level].size > 0) return;
    this.#ack(message, level);
    if (level === 3) this.#open.delete(message.id);
  }

  /** A message that nobody wrote. Throws RangeError when there is no such channel. */
  stray(channelId: string, chat: string, said: Said): Carried {
    const channel = this.#options.channels.find(channelId);
    if (channel === undefined) throw new RangeError(`the gateway has no channel ${channelId}`);
    return this.#message(channel, chat, {
      fromMe: false,
      said,
      author: { jid: chat },
      quoted: undefined,
      group: undefined,
    });
  }

  /** A channel is connected (again): what was held arrives. */
  release(channel: string): void {
    const held = this.#held.get(channel) ?? [];
    this.#held.delete(channel);
    for (const task of held) task();
  }

  stop(): void {
    this.#timers.cancelAll();
  }

  #message(
    channel: GatewayChannel,
    chat: string,
    facts: Pick<Carried, "fromMe" | "said" | "author"> & {
      readonly quoted: string | undefined;
      readonly group: Group | undefined;
    },
  ): Carried {
    const { random, clock } = this.#options;
    const { fromMe, said, author, quoted, group } = facts;
    return {
      id: newMessageId(random, fromMe, chat, group === undefined ? undefined : author.jid),
      channel: channel.id,
      fromMe,
      chat,
      ...(group === undefined ? {} : { chatName: group.name }),
      author,
      business: channel.phone ?? "",
      said,
      at: clock.now(),
      ...(quoted === undefined ? {} : { quoted }),
    };
  }

  #channelFor(name: string | undefined): GatewayChannel {
    const { channels } = this.#options;
    const able = channels.list().filter(({ id, phone }) => phone !== undefined && (name === undefined || id === name));
    const [channel] = able;
    if (channel === undefined || able.length > 1) {
      throw new RangeError(`which channel is written to? ${able.length} fit, ${name ?? "none was named"}`);
    }
    return channel;
  }

  #whenConnected(channel: string, task: () => void): void {
    if (this.#options.channels.find(channel)?.state === "connected") task();
    else this.#held.set(channel, [...(this.#held.get(channel) ?? []), task]);
  }

  #tell(message: Carried): Promise<boolean> {
    const { id, channel, chat, at } = message;
    const data = messageOf(message);
    return this.#options.webhooks.deliver({ event: "message", channel, at, data, subject: id, chat });
  }

  #ack(message: Carried, level: AckLevel): void {
    const { id, channel, chat } = message;
    const at = this.#options.clock.now();
    const data = ackOf(message, level, at);
    void this.#options.webhooks.deliver({ event: "message.ack", channel, at, data, subject: `${id} ${level}`, chat });
  }
}
