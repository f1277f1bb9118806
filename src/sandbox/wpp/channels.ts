import type { ChannelState } from "#core/channel/channel.ts";
import type { Clock } from "#sandbox/clock.ts";
import { type Random, randomBytes } from "#sandbox/random.ts";
import type { GatewayLog } from "./log.ts";
import { connectionOf } from "./payload.ts";
import type { GatewayWebhooks } from "./webhooks.ts";

/** A connection to WhatsApp that the gateway holds for somebody. */
export interface GatewayChannel {
  readonly id: string;
  readonly name?: string;
  readonly createdAt: number;
  readonly state: ChannelState;
  /** The business number, as soon as a phone has scanned. */
  readonly phone?: string;
}

interface Slot extends GatewayChannel {
  readonly qr?: { readonly text: string; readonly until: number };
}

interface Options {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: GatewayLog;
  readonly webhooks: GatewayWebhooks;
  readonly qrLifetimeMs: number;
  /** A channel has come back: what people wrote meanwhile arrives. */
  readonly onConnected: (channel: GatewayChannel) => void;
}

/** The gateway's channels: `connecting ──▶ qr ──scan──▶ connected ◀──▶ disconnected`. */
export class Channels {
  readonly #options: Options;
  readonly #slots = new Map<string, Slot>();

  constructor(options: Options) {
    this.#options = options;
  }

  /** Undefined: it exists already. */
  create(id: string, name?: string): GatewayChannel | undefined {
    if (this.#slots.has(id)) return undefined;
    const createdAt = this.#options.clock.now();
    this.#slots.set(id, { id, createdAt, state: "connecting", ...(name === undefined ? {} : { name }) });
    return this.#move(id, { state: "qr" });
  }

  find(id: string): GatewayChannel | undefined {
    return this.#slots.get(id);
  }

  list(): readonly GatewayChannel[] {
    return [...this.#slots.values()];
  }

  /**
   * What a phone has to scan; another one every 20 seconds. A channel that has lost its phone starts anew with it.
   * Undefined: it is connected.
   */
  qr(id: string): string | undefined {
    const slot = this.#get(id);
    if (slot.state === "connected") return undefined;
    if (slot.state !== "qr") this.#move(id, { state: "qr" });
    const { clock, qrLifetimeMs } = this.#options;
    const now = clock.now();
    if (slot.qr !== undefined && now < slot.qr.until) return slot.qr.text;
    const text = this.#newQr();
    this.#slots.set(id, { ...this.#get(id), qr: { text, until: now + qrLifetimeMs } });
    return text;
  }

  /** The QR code that somebody may be looking at; undefined when nobody has asked for one, or it is too old. */
  code(id: string): string | undefined {
    const { state, qr } = this.#get(id);
    return state === "qr" && qr !== undefined && this.#options.clock.now() < qr.until ? qr.text : undefined;
  }

  /** The channel whose QR code this is; undefined when it is nobody's, or too old. */
  shows(qr: string): GatewayChannel | undefined {
    const now = this.#options.clock.now();
    return this.list().find(({ id }) => {
      const slot = this.#get(id);
      return slot.state === "qr" && slot.qr?.text === qr && now < slot.qr.until;
    });
  }

  /** A phone with this number has scanned. */
  connect(id: string, phone: string): void {
    this.#move(id, { state: "connecting" });
    const { qr: _, ...slot } = this.#get(id);
    this.#slots.set(id, slot);
    this.#options.onConnected(this.#move(id, { state: "connected", phone }));
  }

  disconnect(id: string, reason?: string): void {
    if (this.#get(id).state !== "disconnected") this.#move(id, { state: "disconnected" }, reason);
  }

  #move(id: string, change: Pick<GatewayChannel, "state" | "phone">, reason?: string): GatewayChannel {
    const { clock, log, webhooks } = this.#options;
    const slot = { ...this.#get(id), ...change };
    this.#slots.set(id, slot);
    log.add({ kind: "connection", channel: id, state: slot.state });
    const phone = slot.state === "connected" ? slot.phone : undefined;
    const data = connectionOf(slot.state, phone, reason);
    const at = clock.now();
    void webhooks.deliver({ event: "connection.update", channel: id, at, data, subject: slot.state, chat: "" });
    return slot;
  }

  #get(id: string): Slot {
    const slot = this.#slots.get(id);
    if (slot === undefined) throw new RangeError(`the gateway has no channel ${id}`);
    return slot;
  }

  /** The shape of WhatsApp Web's: a reference and three keys. */
  #newQr(): string {
    const key = (): string => randomBytes(this.#options.random, 32).toString("base64");
    return `2@${randomBytes(this.#options.random, 60).toString("base64")},${key()},${key()},${key()}`;
  }
}
