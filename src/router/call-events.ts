import { randomBytes } from "node:crypto";
import type { Call } from "#core/call/call.ts";
import { identitiesOf } from "#core/contact/person.ts";
import { newEvent } from "#core/event/draft.ts";
import { conversationKey } from "#core/event/event.ts";
import { type CallPayload, PAYLOAD_VERSION } from "#core/event/payloads.ts";
import type { Json, JsonObject } from "#core/json.ts";
import type { CallEvent, Clock, Log, SwitchboardPort } from "#engine/ports.ts";
import type { ChannelDirectoryPort, EventIntakePort } from "./ports.ts";
import { Stubborn } from "./stubborn.ts";

/** Milestones that wait for a store that is away; more is an outage in which calls are refused anyway. */
const MAX_WAITING = 5_000;

/** A stop waits so long for the store. */
const STOP_GRACE_MS = 3_000;

export interface CallEventsOptions {
  readonly switchboard: SwitchboardPort;
  readonly intake: EventIntakePort;
  readonly channels: ChannelDirectoryPort;
  /** Whose calls those are that come over a channel which is not in the directory. */
  readonly tenantId: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** Makes events of the milestones of calls: `call.received`, `call.missed` and the like. */
export class CallEvents {
  readonly #options: CallEventsOptions;
  readonly #stubborn: Stubborn;
  /** What was seen of a call last: when it ends, it may be gone before its event is made. */
  readonly #turns = new Map<string, Promise<void>>();
  #waiting = 0;
  #unwatch: (() => void) | undefined;

  constructor(options: CallEventsOptions) {
    this.#options = options;
    this.#stubborn = new Stubborn(options.clock, options.log);
  }

  start(): void {
    this.#unwatch = this.#options.switchboard.watch((callId, event) => this.#take(callId, event));
  }

  /** Resolves when what was seen is committed, or the store stays away. May be called twice. */
  async stop(): Promise<void> {
    this.#unwatch?.();
    const cancel = this.#options.clock.after(STOP_GRACE_MS, () => this.#stubborn.giveUp());
    await Promise.all(this.#turns.values());
    cancel();
  }

  /** Called in the middle of a call's step: nothing is awaited here. Milestones of one call are committed in order. */
  #take(callId: string, event: CallEvent): void {
    if (!event.type.startsWith("call.")) return;
    const call = this.#options.switchboard.live().find(({ id }) => id === callId);
    if (call === undefined) return;
    if (this.#waiting >= MAX_WAITING) {
      this.#options.log.error({ call_id: callId, type: event.type }, "a call's event was lost: too many wait");
      return;
    }
    this.#waiting += 1;
    const turn = (this.#turns.get(callId) ?? Promise.resolve())
      .then(() => this.#accept(call, event))
      .catch((error: unknown) => {
        this.#options.log.error({ err: error, call_id: callId, type: event.type }, "a call's event was lost");
      })
      .finally(() => {
        this.#waiting -= 1;
        if (this.#turns.get(callId) === turn) this.#turns.delete(callId);
      });
    this.#turns.set(callId, turn);
  }

  async #accept(call: Call, event: CallEvent): Promise<void> {
    const { channels, intake, clock } = this.#options;
    const { channelId, caller } = call.offer;
    const channel = await this.#stubborn.do("find a call's channel", () => channels.find("cloud_api", channelId));
    const [peer] = identitiesOf({
      ...(caller.number === undefined ? {} : { phone: caller.number }),
      ...(caller.userId === undefined ? {} : { bsuid: caller.userId }),
    });
    const made = newEvent(
      {
        sourceSystem: "ponte",
        externalId: `${call.id}/${event.type}`,
        type: event.type,
        payload: payloadOf(call, event),
        payloadVersion: PAYLOAD_VERSION,
        provider: "cloud_api",
        channelId,
        conversationKey: conversationKey("cloud_api", channelId, peer ?? { kind: "call", value: call.id }),
        occurredAt: event.at,
      },
      { tenantId: channel?.tenantId ?? this.#options.tenantId, receivedAt: clock.now() },
      randomBytes(32),
    );
    await this.#stubborn.do("accept a call's event", () => intake.accept(made));
  }
}

function payloadOf({ id, offer }: Call, { data }: CallEvent): CallPayload & JsonObject {
  const { number, userId, profileName } = offer.caller;
  return {
    call_id: id,
    channel: { provider: "cloud_api", id: offer.channelId },
    caller: {
      ...(number === undefined ? {} : { number }),
      ...(userId === undefined ? {} : { user_id: userId }),
      ...(profileName === undefined ? {} : { name: profileName }),
    },
    called_number: offer.calledNumber,
    facts: factsOf(data),
  };
}

/** Facts of a timeline are plain values; what is not (an absent one) stays out. Names become snake_case. */
function factsOf(data: CallEvent["data"]): JsonObject {
  const plain = Object.entries(data).filter((entry): entry is [string, Json] => isPlain(entry[1]));
  return Object.fromEntries(
    plain.map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
}

function isPlain(value: unknown): boolean {
  return value === null || ["string", "number", "boolean"].includes(typeof value);
}
