import type { Instant } from "#core/call/call.ts";
import type { Channel, Provider } from "#core/channel/channel.ts";
import type { Clock } from "#engine/ports.ts";
import type { ChannelDirectoryPort } from "./ports.ts";

/** Channels change by hand; a webhook every few milliseconds need not ask for its channel each time. */
const KEPT_MS = 5_000;
/** More channels than one daemon has. */
const MAX_KEPT = 5_000;

/**
 * Finds the channels of webhooks. Only what was found is remembered: a channel that nobody has claimed yet may be claimed in
 * the next moment, and its events must not be parked after those that wait were taken up. Nor is one that is switched off: what
 * comes after it was switched on again must not be lost.
 */
export class ChannelCache {
  readonly #channels: Pick<ChannelDirectoryPort, "find">;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly channel: Channel; readonly until: Instant }>();

  constructor(channels: Pick<ChannelDirectoryPort, "find">, clock: Clock) {
    this.#channels = channels;
    this.#clock = clock;
  }

  /** Rejects with PonteError as the directory does. */
  async find(provider: Provider, channelId: string): Promise<Channel | undefined> {
    const key = `${provider}/${channelId}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > this.#clock.now()) return kept.channel;
    const channel = await this.#channels.find(provider, channelId);
    this.#kept.delete(key);
    if (channel === undefined || !channel.enabled) return channel;
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(key, { channel, until: this.#clock.now() + KEPT_MS });
    return channel;
  }
}
