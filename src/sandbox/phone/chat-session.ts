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
  readonly tell: (notice: PhoneNotice) => void;
}

/** Characters of a text that the Cloud API carries as well; a person types less. */
const MAX_TEXT_LENGTH = 4_096;
/** Messages of one phone that no webhook was answered for yet: more than a person types while a daemon restarts. */
const MAX_UNDER_WAY = 200;

/**
 * The chats of one phone at its WebSocket, one with each channel that has a number. Of the business's own phone it plays only the
 * menu of linked devices. While nobody is connected the phone is offline.
 */
export class ChatSession {
  readonly #options: Options;
  readonly #phone: Phone;
  /** Typed here, and not yet seen as read. */
  readonly #underWay = new Map<string, ChatMessage>();
  readonly #unwatch: (() => void)[] = [];
  /** The chat on the screen. */
  #looksAt: string | undefined;
  #closed = false;

  constructor(options: Options) {
    this.#options = options;
    const { number, profileName } = options.user;
    this.#phone = options.gateway.phone(number, { name: profileName });
  }

  /** Tells what there is, and from now on what changes. */
  open(): void {
    this.#unwatch.push(
      this.#options.gateway.log.watch((entry) => {
        if (entry.kind === "connection") this.#tellChannels();
      }),
      this.#phone.watch((received) => this.#arrived(received)),
    );
    this.#tellChannels();
    for (const received of this.#phone.received()) this.#tell(messageOf(received));
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
    this.#closed = true;
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
      this.#underWay.set(message.id, message);
      this.#tell(message);
      void typed.taken.then(() => {
        this.#underWay.delete(message.id);
        // Where nobody took it, the gateway at least has it.
        this.#tell({ ...message, state: typed.seen ? "read" : "delivered" });
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
    this.#options.tell({ type: "channels", channels: channels.map(linked) });
    // The device is there again, so what waited for it has come as far as that.
    for (const message of this.#underWay.values()) {
      const connected = channels.some(({ id, state }) => id === message.channel && state === "connected");
      if (message.state !== "sent" || !connected) continue;
      const delivered: ChatMessage = { ...message, state: "delivered" };
      this.#underWay.set(message.id, delivered);
      this.#tell(delivered);
    }
  }

  #tell(message: ChatMessage): void {
    if (!this.#closed) this.#options.tell({ type: "message", message });
  }

  #error(text: string): void {
    this.#options.tell({ type: "error", text });
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
