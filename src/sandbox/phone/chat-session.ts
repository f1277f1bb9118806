import type { Clock } from "#sandbox/clock.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import { type Random, randomInteger } from "#sandbox/random.ts";
import type { GatewayChannel } from "#sandbox/wpp/channels.ts";
import type { SimulatedGateway } from "#sandbox/wpp/gateway.ts";
import type { Phone, Received } from "#sandbox/wpp/phone.ts";
import type { ChatMessage, ChatRequest, LinkedChannel, PhoneNotice } from "./protocol.ts";

interface Options {
  readonly gateway: SimulatedGateway;
  readonly clock: Clock;
  readonly random: Random;
  readonly user: WhatsAppUser;
}

/** Characters of a text that the Cloud API carries as well; a person types less. */
const MAX_TEXT_LENGTH = 4_096;
/** Messages of one phone that no webhook was answered for yet: more than a person types while a daemon restarts. */
const MAX_UNDER_WAY = 200;
/** Typed messages that a page is told again when it comes back; the oldest are forgotten. */
const MAX_TYPED = 500;

/**
 * The chats of one phone, one with each channel that has a number. Of the business's own phone it plays only the menu of linked
 * devices. It outlives its WebSocket; while there is none the phone is offline.
 */
export class ChatSession {
  readonly #options: Options;
  readonly #phone: Phone;
  readonly #typed = new Map<string, ChatMessage>();
  /** Those that no webhook was answered for yet. */
  readonly #underWay = new Set<string>();
  readonly #unwatch: (() => void)[] = [];
  /** The chat on the screen. */
  #looksAt: string | undefined;
  #notify: ((notice: PhoneNotice) => void) | undefined;

  constructor(options: Options) {
    this.#options = options;
    const { number, profileName } = options.user;
    this.#phone = options.gateway.phone(number, { name: profileName });
  }

  /** Tells what there is, and from now on what changes. */
  open(tell: (notice: PhoneNotice) => void): void {
    this.#notify = tell;
    this.#unwatch.push(
      this.#options.gateway.log.watch((entry) => {
        if (entry.kind === "connection") this.#tellChannels();
      }),
      this.#phone.watch((received) => this.#arrived(received)),
    );
    this.#tellChannels();
    const messages = [...this.#typed.values(), ...this.#phone.received().map(messageOf)];
    for (const message of messages.sort((a, b) => a.at - b.at)) this.#tell(message);
    this.#phone.goOnline();
  }

  take(request: ChatRequest): void {
    if (request.type === "look" && request.channel === undefined) {
      this.#looksAt = undefined;
      return;
    }
    const channel = request.channel === undefined ? undefined : this.#options.gateway.channel(request.channel);
    if (channel === undefined) {
      this.#error("There is no such channel.");
      return;
    }
    switch (request.type) {
      case "scan":
        this.#scan(channel);
        break;
      case "unlink":
        if (channel.state === "connected") this.#options.gateway.disconnect(channel.id);
        else this.#error("This channel is not connected.");
        break;
      case "say":
        this.#say(channel, request.text);
        break;
      case "look":
        this.#looksAt = channel.id;
        this.#read(channel.id);
        break;
    }
  }

  /** May be called twice. */
  close(): void {
    this.#notify = undefined;
    this.#looksAt = undefined;
    for (const unwatch of this.#unwatch.splice(0)) unwatch();
    this.#phone.goOffline();
  }

  #scan(channel: GatewayChannel): void {
    const { gateway } = this.#options;
    const code = gateway.code(channel.id);
    if (channel.state !== "qr") this.#error("This channel shows no code.");
    else if (code === undefined)
      this.#error("Its code is on no screen now, or too old. Open the channel's code in ponte, then scan.");
    else gateway.scan(code, channel.phone ?? this.#newBusinessNumber());
  }

  /** A landline in São Paulo, so that nobody takes it for a mobile number with a digit missing. */
  #newBusinessNumber(): string {
    return `55113${randomInteger(this.#options.random, 1_000_000, 9_999_999)}`;
  }

  #say({ id: channel, phone, state }: GatewayChannel, text: string): void {
    if (phone === undefined) this.#error("Nobody has scanned this channel's code yet.");
    else if (text.trim() === "" || text.length > MAX_TEXT_LENGTH)
      this.#error(`A message has 1 to ${MAX_TEXT_LENGTH} characters.`);
    else if (this.#underWay.size >= MAX_UNDER_WAY) this.#error("Too many messages are under way.");
    else {
      const typed = this.#phone.say(text, { channel });
      const message: ChatMessage = {
        id: typed.id,
        channel,
        from: "user",
        text,
        at: this.#options.clock.now(),
        state: state === "connected" ? "delivered" : "sent",
      };
      this.#underWay.add(message.id);
      this.#keep(message);
      void typed.taken.then(() => {
        this.#underWay.delete(message.id);
        // Where nobody took it, the gateway at least has it.
        this.#keep({ ...message, state: typed.seen ? "read" : "delivered" });
      });
    }
  }

  #arrived(received: Received): void {
    this.#tell(messageOf(received));
    if (received.message.channel === this.#looksAt) this.#read(this.#looksAt);
  }

  #read(channel: string): void {
    const unread = this.#phone.received().filter(({ message, read }) => !read && message.channel === channel);
    this.#phone.read(channel);
    for (const received of unread) this.#tell(messageOf({ ...received, read: true }));
  }

  #tellChannels(): void {
    const channels = this.#options.gateway.channels();
    this.#notify?.({ type: "channels", channels: channels.map(linked) });
    // The device is there again, so what waited for it has come as far as that.
    for (const id of this.#underWay) {
      const message = this.#typed.get(id);
      const connected = channels.some((channel) => channel.id === message?.channel && channel.state === "connected");
      if (message?.state === "sent" && connected) this.#keep({ ...message, state: "delivered" });
    }
  }

  /** A message that was typed here, and each of its states. */
  #keep(message: ChatMessage): void {
    this.#typed.set(message.id, message);
    if (this.#typed.size > MAX_TYPED) this.#typed.delete(this.#typed.keys().next().value ?? "");
    this.#tell(message);
  }

  #tell(message: ChatMessage): void {
    this.#notify?.({ type: "message", message });
  }

  #error(text: string): void {
    this.#notify?.({ type: "error", text });
  }
}

function linked({ id, name, state, phone }: GatewayChannel): LinkedChannel {
  return { id, name: name ?? id, state, ...(phone === undefined ? {} : { phone }) };
}

/** A message of the business. What is no text shows as its kind. */
function messageOf({ message, read }: Received): ChatMessage {
  const { id, channel, said, at, quoted } = message;
  const { type, body, caption } = said;
  const text = type === "chat" ? body : (caption ?? `[${type}]`);
  return {
    id,
    channel,
    from: "business",
    text: String(text ?? ""),
    at,
    state: read ? "read" : "delivered",
    ...(quoted === undefined ? {} : { quoted }),
  };
}
