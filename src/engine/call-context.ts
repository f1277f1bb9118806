import type { Call } from "#core/call/call.ts";
import type { Event } from "#core/call/event.ts";
import type { CodecName } from "#core/sdp/session.ts";
import type { CallJournalPort, Clock, Latching, Log, MediaPort, SipPort, WhatsAppPort } from "./ports.ts";

/** The parts of the world that a call touches. */
export interface CallWorld {
  readonly clock: Clock;
  readonly whatsapp: WhatsAppPort;
  readonly sip: SipPort;
  readonly media: MediaPort;
  readonly journal: CallJournalPort;
  mediaOf(trunk: string): TrunkMedia;
}

/** What a trunk says about its media. */
export interface TrunkMedia {
  /** Audio formats, in the trunk's order. */
  readonly codecs: readonly CodecName[];
  readonly latching: Latching;
}

/** What the three sides of a running call (Meta, PBX, media) know of it and may do. */
export interface CallContext {
  readonly world: CallWorld;
  readonly log: Log;
  /** The call as it is now. */
  call(): Call;
  /** Puts an event into the call's inbox. */
  take(event: Event): void;
  /** Adds an entry to the timeline that does not change the call. */
  note(type: string, data: Readonly<Record<string, unknown>>): void;
}
