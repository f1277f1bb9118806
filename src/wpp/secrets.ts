import type { Instant } from "#core/call/call.ts";
import type { Channel } from "#core/channel/channel.ts";
import type { Clock } from "#engine/ports.ts";
import type { ChannelDirectoryPort } from "#router/ports.ts";

/** A secret is read and opened again after this time. */
const KEPT_MS = 30_000;
/** One that did not fit may have been changed meanwhile, but forged requests must not become queries. */
const LEAST_AGE_MS = 1_000;
const MAX_KEPT = 5_000;

/** The secrets of channels' webhooks, remembered for a while. */
export class ChannelSecrets {
  readonly #channels: Pick<ChannelDirectoryPort, "secret">;
  readonly #clock: Clock;
  readonly #kept = new Map<string, { readonly secret: string | undefined; readonly at: Instant }>();

  constructor(channels: Pick<ChannelDirectoryPort, "secret">, clock: Clock) {
    this.#channels = channels;
    this.#clock = clock;
  }

  /** @param fresh: the remembered one did not fit. Rejects with PonteError as the directory does. */
  async of({ id }: Channel, fresh = false): Promise<string | undefined> {
    const kept = this.#kept.get(id);
    const age = kept === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - kept.at;
    if (kept !== undefined && age < (fresh ? LEAST_AGE_MS : KEPT_MS)) return kept.secret;
    const secret = await this.#channels.secret(id);
    if (this.#kept.size >= MAX_KEPT) this.#kept.clear();
    this.#kept.set(id, { secret, at: this.#clock.now() });
    return secret;
  }
}
