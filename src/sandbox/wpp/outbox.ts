import type { GatewayChannel } from "./channels.ts";
import type { Chats } from "./chats.ts";
import type { GatewayModes } from "./modes.ts";
import type { Carried } from "./payload.ts";
import { text as textSaid } from "./said.ts";

/** A message that went out because somebody asked the API for it. */
export interface Sent {
  readonly channel: string;
  /** The recipient's address, as WhatsApp knows it. */
  readonly chat: string;
  readonly text: string;
  readonly messageId: string;
  readonly idempotencyKey?: string;
  readonly at: number;
}

export interface SendOrder {
  readonly channel: GatewayChannel;
  readonly to: string;
  readonly text: string;
  readonly idempotencyKey: string | undefined;
  readonly quoted: string | undefined;
}

/** Sends for the API, and counts every one: what people get twice shows here. */
export class Outbox {
  readonly #chats: Chats;
  readonly #modes: () => GatewayModes;
  readonly #sent: Sent[] = [];
  readonly #byKey = new Map<string, Carried>();

  constructor(chats: Chats, modes: () => GatewayModes) {
    this.#chats = chats;
    this.#modes = modes;
  }

  /** Undefined: nobody is there. `depart` is for the moment of the answer. */
  send(order: SendOrder): { readonly message: Carried; readonly depart: () => void } | undefined {
    const { channel, to, text, idempotencyKey, quoted } = order;
    const key = idempotencyKey === undefined ? undefined : `${channel.id}/${idempotencyKey}`;
    const known = key === undefined || !this.#modes().knowsRepeats ? undefined : this.#byKey.get(key);
    if (known !== undefined) return { message: known, depart: () => undefined };
    const recipient = this.#chats.find(to);
    if (recipient === undefined) return undefined;
    const message = this.#chats.write(channel, recipient, textSaid(text), quoted);
    if (key !== undefined) this.#byKey.set(key, message);
    this.#sent.push({
      channel: channel.id,
      chat: message.chat,
      text,
      messageId: message.id,
      at: message.at,
      ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    });
    const depart = (): void => this.#chats.depart(message, { echo: this.#modes().echoesSends });
    if (!this.#modes().ackBeforeAnswer) return { message, depart };
    depart();
    return { message, depart: () => undefined };
  }

  /** In their order. */
  sent(): readonly Sent[] {
    return this.#sent;
  }

  /** How often each idempotency key was sent; what came without one counts by channel, chat and text. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { channel, chat, text, idempotencyKey } of this.#sent) {
      const key = idempotencyKey ?? `${channel} ${chat} ${text}`;
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    return counts;
  }

  /** Keys that went out more than once: people got the same message again. */
  repeated(): readonly string[] {
    return [...this.counts()].filter(([, count]) => count > 1).map(([key]) => key);
  }
}
