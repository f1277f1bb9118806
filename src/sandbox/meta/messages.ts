import type { Clock } from "#sandbox/clock.ts";
import { type Random, randomBytes } from "#sandbox/random.ts";
import type { BusinessNumber, WhatsAppUser } from "./numbers.ts";
import { type Change, envelope } from "./payload.ts";
import type { Delivery } from "./webhook-sender.ts";

/** A business message, as the phone of its recipient has it. */
export interface BusinessMessage {
  readonly id: string;
  readonly phoneNumberId: string;
  /** Number or business-scoped user id, as the request gave it. */
  readonly to: string;
  readonly type: MessageType;
  /** The text, or the name of the template. */
  readonly text: string;
  /** The message that it answers. */
  readonly replyTo?: string;
  /** False: Meta took it, and gave it up (outside of the window of 24 h). */
  readonly arrived: boolean;
  readonly opaque?: string;
}

const messageTypes = ["text", "template", "interactive"] as const;
type MessageType = (typeof messageTypes)[number];
export type MessageStatus = "sent" | "delivered" | "read" | "failed";
type Fields = Readonly<Record<string, unknown>>;

/** Free messages are for those who have written or called within this time. */
const WINDOW_MS = 24 * 3_600_000;
const MAX_TEXT_CHARACTERS = 4_096;

interface Options {
  readonly clock: Clock;
  readonly random: Random;
  readonly numbers: ReadonlyMap<string, BusinessNumber>;
  readonly deliver: (delivery: Delivery) => Promise<boolean>;
}

/**
 * Messages between users and business numbers: webhooks of the field `messages`, and what `POST /<id>/messages` asks for. Text,
 * templates and interactive messages; media are refused. Templates are not looked up: any name counts as approved.
 */
export class Messages {
  readonly #options: Options;
  readonly #sent: BusinessMessage[] = [];
  /** When somebody was last heard, by number id and address. */
  readonly #heard = new Map<string, number>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** In their order; also those that did not arrive. */
  sent(): readonly BusinessMessage[] {
    return this.#sent;
  }

  /** A user was heard, which opens the window. */
  heard(user: WhatsAppUser, phoneNumberId: string): void {
    const now = this.#options.clock.now();
    for (const address of [user.number, user.userId]) this.#heard.set(`${phoneNumberId} ${address}`, now);
  }

  /** A user writes. `taken` resolves with whether the webhook was answered with 2xx. Throws RangeError without such a number. */
  say(
    user: WhatsAppUser,
    phoneNumberId: string,
    words: string,
  ): { readonly id: string; readonly taken: Promise<boolean> } {
    const { clock, numbers } = this.#options;
    const number = numbers.get(phoneNumberId);
    if (number === undefined) throw new RangeError(`no business number has the id ${phoneNumberId}`);
    this.heard(user, phoneNumberId);
    const id = this.#newId();
    const from = user.hidesNumber === true ? {} : { from: user.number };
    const wa = user.hidesNumber === true ? {} : { wa_id: user.number };
    const username = user.username === undefined ? {} : { username: user.username };
    const value = {
      contacts: [{ profile: { name: user.profileName, ...username }, ...wa, user_id: user.userId }],
      messages: [
        {
          ...from,
          from_user_id: user.userId,
          id,
          timestamp: seconds(clock.now()),
          type: "text",
          text: { body: words },
        },
      ],
    };
    return { id, taken: this.#tell("message", number, value) };
  }

  /** The recipient has read it. Throws RangeError when there is no such message at anybody. */
  read(id: string): Promise<boolean> {
    const message = this.#sent.find((each) => each.id === id && each.arrived);
    if (message === undefined) throw new RangeError(`nobody has got the message ${id}`);
    return this.#status(message, "read");
  }

  /** What a request with good credentials comes to: the answer and what happens after it, or why it is refused. */
  take(
    phoneNumberId: string,
    fields: Fields,
  ): { readonly body: object; readonly onSent: () => void } | { readonly refused: string } {
    const { type = "text" } = fields;
    const known = messageTypes.find((each) => each === type);
    if (known === undefined) return { refused: `Param type must be one of {${messageTypes.join(", ").toUpperCase()}}` };
    const to = textOf(fields["to"])?.replace(/^\+/, "") ?? textOf(fields["recipient"]);
    if (to === undefined) return { refused: "The parameter to is required." };
    const text = contentOf(known, record(fields[known]));
    if (text === undefined) return { refused: `The parameter ${known} is missing or incomplete.` };
    const replyTo = textOf(record(fields["context"])?.["message_id"]);
    const opaque = textOf(fields["biz_opaque_callback_data"]);
    const message: BusinessMessage = {
      id: this.#newId(),
      phoneNumberId,
      to,
      type: known,
      text,
      arrived: known === "template" || this.#isOpen(phoneNumberId, to),
      ...(replyTo === undefined ? {} : { replyTo }),
      ...(opaque === undefined ? {} : { opaque }),
    };
    this.#sent.push(message);
    const body = {
      messaging_product: "whatsapp",
      contacts: [{ input: to, ...(/^\d+$/.test(to) ? { wa_id: to } : { user_id: to }) }],
      messages: [{ id: message.id, ...(known === "template" ? { message_status: "accepted" } : {}) }],
    };
    return { body, onSent: () => void this.#depart(message) };
  }

  async #depart(message: BusinessMessage): Promise<void> {
    if (!message.arrived) await this.#status(message, "failed");
    else if (await this.#status(message, "sent")) await this.#status(message, "delivered");
  }

  #isOpen(phoneNumberId: string, to: string): boolean {
    const heardAt = this.#heard.get(`${phoneNumberId} ${to}`);
    return heardAt !== undefined && this.#options.clock.now() - heardAt < WINDOW_MS;
  }

  #status(message: BusinessMessage, status: MessageStatus): Promise<boolean> {
    const number = this.#options.numbers.get(message.phoneNumberId);
    if (number === undefined) return Promise.resolve(false);
    const { id, to, opaque } = message;
    const entry = {
      id,
      status,
      timestamp: seconds(this.#options.clock.now()),
      ...(/^\d+$/.test(to) ? { recipient_id: to } : { recipient_user_id: to }),
      ...(opaque === undefined ? {} : { biz_opaque_callback_data: opaque }),
      ...(status === "failed" ? { errors: [windowClosed] } : {}),
    };
    return this.#tell(status, number, { statuses: [entry] });
  }

  #tell(event: string, number: BusinessNumber, value: Fields): Promise<boolean> {
    const { phoneNumberId, displayPhoneNumber, wabaId } = number;
    const metadata = { display_phone_number: displayPhoneNumber, phone_number_id: phoneNumberId };
    const change: Change = { field: "messages", value: { messaging_product: "whatsapp", metadata, ...value } };
    const body = envelope([{ wabaId, changes: [change] }]);
    return this.#options.deliver({ event, wacids: [], body, signature: "right" });
  }

  #newId(): string {
    return `wamid.${randomBytes(this.#options.random, 36).toString("base64")}`;
  }
}

/** Comes as a status, after the request was taken. */
const windowClosed = {
  code: 131047,
  title: "Re-engagement message",
  message: "Re-engagement message",
  error_data: {
    details:
      "Message failed to send because more than 24 hours have passed since the customer last replied to this number.",
  },
};

/** The text of a message; undefined when what Meta asks for is not there. */
function contentOf(type: MessageType, content: Fields | undefined): string | undefined {
  switch (type) {
    case "text": {
      const body = textOf(content?.["body"]);
      return body === undefined || body.length > MAX_TEXT_CHARACTERS ? undefined : body;
    }
    case "template":
      return textOf(record(content?.["language"])?.["code"]) === undefined ? undefined : textOf(content?.["name"]);
    case "interactive":
      return record(content?.["action"]) === undefined ? undefined : textOf(record(content?.["body"])?.["text"]);
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function record(value: unknown): Fields | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}

function seconds(at: number): string {
  return String(Math.floor(at / 1000));
}
