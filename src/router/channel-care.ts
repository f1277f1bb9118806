import type { Instant } from "#core/call/call.ts";
import type { Channel } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { ChannelDirectoryPort, EventLogPort, TenantPort } from "./ports.ts";
import type { OnboardingPort } from "./services.ts";

export interface ChannelCareOptions {
  readonly tenants: Pick<TenantPort, "ids">;
  readonly channels: Pick<ChannelDirectoryPort, "list" | "change">;
  readonly events: Pick<EventLogPort, "unpark">;
  /** Absent: there is no gateway. */
  readonly onboarding?: Pick<OnboardingPort, "refresh"> & {
    /** Whether its webhook leads to another address than ours; undefined: ours is not known yet. */
    isElsewhere(channel: Channel): boolean | undefined;
  };
  readonly clock: Clock;
  readonly log: Log;
}

/** Whoever has not scanned by then most likely went away. */
const LOOK_OFTEN_MS = 15 * 60_000;
/** What has not changed for longer than that is looked at this often. */
const LOOK_SELDOM_MS = 60_000;
/** An event that did not find its channel's owner is committed within this time. */
const PARKING_MS = 30_000;

/**
 * Looks after the channels of all tenants. Until its webhook is set a gateway tells nobody that a code was scanned, so channels without
 * one are asked; and a webhook that leads to where we were before is set again. What was parked before a channel had an owner is
 * taken up, also when its parking and the claim of the channel crossed.
 */
export class ChannelCare {
  readonly #options: ChannelCareOptions;
  /** Whose webhook was compared with our address: each once, for nodes with addresses of their own must not take turns. */
  readonly #compared = new Set<string>();
  #lookedAtAll: Instant = Number.NEGATIVE_INFINITY;

  constructor(options: ChannelCareOptions) {
    this.#options = options;
  }

  /** To be called every few seconds. What is wrong with one channel does not keep it from the others. */
  async look(): Promise<void> {
    const { tenants, channels, clock, log } = this.#options;
    const now = clock.now();
    const all = now - this.#lookedAtAll >= LOOK_SELDOM_MS;
    if (all) this.#lookedAtAll = now;
    const lists = await Promise.all((await tenants.ids()).map((tenantId) => channels.list(tenantId)));
    for (const channel of lists.flat()) {
      try {
        if (all || now - channel.updatedAt <= PARKING_MS) await this.#takeUp(channel);
        await this.#connect(channel, all || now - channel.updatedAt <= LOOK_OFTEN_MS);
      } catch (error) {
        if (!(error instanceof PonteError)) throw error;
        log.warn({ channel_id: channel.channelId, error: error.message }, "channel could not be looked after");
      }
    }
  }

  async #takeUp({ tenantId, provider, channelId, enabled }: Channel): Promise<void> {
    const { events, log } = this.#options;
    // Nothing is taken of a number of the gateway that was stopped; one of the Cloud API that is not enabled still receives.
    if (provider === "wpp_gateway" && !enabled) return;
    const taken = await events.unpark(provider, channelId, tenantId);
    if (taken > 0) log.info({ channel_id: channelId, events: taken }, "parked events were taken up");
  }

  async #connect(channel: Channel, due: boolean): Promise<void> {
    const { channels, onboarding } = this.#options;
    if (onboarding === undefined || channel.provider !== "wpp_gateway" || !channel.enabled) return;
    // Its making is under way, and a gateway that does not know it yet has not lost it.
    if (channel.state === "new") return;
    if (channel.webhookConfigured) {
      const elsewhere = this.#compared.has(channel.id) ? false : onboarding.isElsewhere(channel);
      if (elsewhere === false) this.#compared.add(channel.id);
      if (elsewhere !== true) return;
      await channels.change(channel.id, { webhookConfigured: false });
      this.#compared.add(channel.id);
    } else if (!due) return;
    await onboarding.refresh(channel.tenantId, channel.id);
  }
}
