import type { Instant } from "#core/call/call.ts";
import { PonteError } from "#core/error.ts";
import type { EventDraft } from "#core/event/draft.ts";
import { newEvent } from "#core/event/draft.ts";
import type { Clock, Log } from "#engine/ports.ts";
import { ChannelCache } from "#router/channel-cache.ts";
import type { ChannelDirectoryPort, EventIntakePort } from "#router/ports.ts";

export interface MessageIntakeParts {
  readonly intake: EventIntakePort;
  readonly channels: Pick<ChannelDirectoryPort, "find">;
  readonly clock: Clock;
  readonly log: Log;
  readonly randomBytes: (count: number) => Uint8Array;
}

/** How many were new, known already, parked for want of a tenant, and refused for good. */
export interface HandedOver {
  readonly accepted: number;
  readonly duplicates: number;
  readonly parked: number;
  readonly refused: number;
}

/** Gives drafts their tenant and ids, and hands them to the intake. */
export class MessageIntake {
  readonly #parts: MessageIntakeParts;
  readonly #channels: ChannelCache;

  constructor(parts: MessageIntakeParts) {
    this.#parts = parts;
    this.#channels = new ChannelCache(parts.channels, parts.clock);
  }

  /** Resolves when all are committed. Rejects when one could not be stored now: the sender has to come again with all. */
  async take(drafts: readonly EventDraft[], receivedAt: Instant): Promise<HandedOver> {
    // What is said at once to one intake keeps its order, so nothing is awaited between the first and the last one.
    const tenants = new Map<string, string | undefined>();
    for (const { channelId = "" } of drafts)
      if (!tenants.has(channelId))
        tenants.set(channelId, (await this.#channels.find("cloud_api", channelId))?.tenantId);
    const ends = await Promise.allSettled(
      drafts.map((draft) => this.#accept(draft, tenants.get(draft.channelId ?? ""), receivedAt)),
    );
    const sum = { accepted: 0, duplicates: 0, parked: 0, refused: 0 };
    for (const end of ends) {
      if (end.status === "rejected") throw end.reason;
      sum[end.value]++;
    }
    return sum;
  }

  async #accept(
    draft: EventDraft,
    tenantId: string | undefined,
    receivedAt: Instant,
  ): Promise<"accepted" | "duplicates" | "parked" | "refused"> {
    const { intake, randomBytes, log } = this.#parts;
    const origin = { receivedAt, ...(tenantId === undefined ? {} : { tenantId }) };
    try {
      const { duplicate } = await intake.accept(newEvent(draft, origin, randomBytes(32)));
      if (duplicate) return "duplicates";
      return tenantId === undefined ? "parked" : "accepted";
    } catch (error) {
      // It would be refused for ever, and Meta would bring it for a week.
      if (!(error instanceof PonteError) || error.code !== "event_refused") throw error;
      log.error(
        { type: draft.type, channel_id: draft.channelId, error: error.message },
        "event of a webhook was refused",
      );
      return "refused";
    }
  }
}
