import type { Carried, Shown } from "./payload.ts";
import { type Said, text } from "./said.ts";

/** How WhatsApp shows somebody to a business: the number, a linked id in its place, or both. */
export type Visibility = "number" | "lid" | "lid_and_number";

export interface PhoneOptions {
  readonly name?: string;
  readonly visibility?: Visibility;
}

/** Where a message goes. `channel` may be left out while the gateway has one only. */
export interface Towards {
  readonly channel?: string;
  /** A group's id, with `@g.us`. */
  readonly group?: string;
  /** The id of the message that this one answers. */
  readonly quoted?: string;
}

/** A message that was typed on a phone. */
export interface Typed {
  readonly id: string;
  /** Resolves when its webhook was answered with 2xx (true), or nobody took it (false). */
  readonly taken: Promise<boolean>;
  /** The writer sees that it was read. */
  readonly seen: boolean;
}

/** A message on a phone's screen. */
export interface Received {
  readonly message: Carried;
  readonly text: string | undefined;
  readonly read: boolean;
}

/** What a phone needs of WhatsApp. */
export interface Carrier {
  submit(phone: Phone, said: Said, towards: Towards): Typed;
  acked(phone: Phone, message: Carried, level: 2 | 3): void;
}

/** Somebody's phone, with WhatsApp on it. */
export class Phone {
  /** Digits, as WhatsApp knows them. */
  readonly number: string;
  readonly lid: string;
  readonly shown: Shown;
  readonly #carrier: Carrier;
  readonly #received: { message: Carried; read: boolean }[] = [];
  readonly #waiting: Carried[] = [];
  readonly #listeners = new Set<(received: Received) => void>();
  #online = true;
  #readsAtOnce = false;

  constructor(number: string, lid: string, carrier: Carrier, { name, visibility = "number" }: PhoneOptions) {
    this.number = number;
    this.lid = lid;
    this.#carrier = carrier;
    this.shown = {
      jid: visibility === "number" ? `${number}@c.us` : `${lid}@lid`,
      ...(name === undefined ? {} : { name }),
      ...(visibility === "lid_and_number" ? { number } : {}),
    };
  }

  say(words: string, towards: Towards = {}): Typed {
    return this.send(text(words), towards);
  }

  /** Anything of said.ts. */
  send(said: Said, towards: Towards = {}): Typed {
    return this.#carrier.submit(this, said, towards);
  }

  /** What has arrived, in its order. */
  received(): readonly Received[] {
    return this.#received.map(shown);
  }

  texts(): readonly (string | undefined)[] {
    return this.received().map((each) => each.text);
  }

  /** Calls the listener with each message that arrives; returns what ends that. */
  watch(listener: (received: Received) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Opens the chat with a channel, or all chats: everything in it is read. */
  read(channel?: string): void {
    for (const each of this.#received) {
      if (each.read || (channel !== undefined && each.message.channel !== channel)) continue;
      each.read = true;
      this.#carrier.acked(this, each.message, 3);
    }
  }

  /** From now on what arrives is read in the same instant. */
  keepOpen(open = true): void {
    this.#readsAtOnce = open;
    if (open) this.read();
  }

  get online(): boolean {
    return this.#online;
  }

  /** Without a network nothing arrives; it comes when there is one again. */
  goOffline(): void {
    this.#online = false;
  }

  goOnline(): void {
    this.#online = true;
    for (const message of this.#waiting.splice(0)) this.deliver(message);
  }

  /** A message has come as far as this phone's network. */
  deliver(message: Carried): void {
    if (!this.#online) {
      this.#waiting.push(message);
      return;
    }
    const received = { message, read: false };
    this.#received.push(received);
    this.#carrier.acked(this, message, 2);
    if (this.#readsAtOnce) this.read();
    for (const listener of this.#listeners) listener(shown(received));
  }
}

function shown({ message, read }: { readonly message: Carried; readonly read: boolean }): Received {
  const { body } = message.said;
  return { message, read, text: typeof body === "string" ? body : undefined };
}
