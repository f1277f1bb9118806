import type { ChannelState } from "#core/channel/channel.ts";

/** What the phone page and its server tell each other over the WebSocket, one JSON object per message. */

/** A business number that can be called. Each is a channel of its own, so that nothing but its number decides where it goes. */
export interface DemoNumber {
  /** Meta's phone number id. */
  readonly id: string;
  /** Digits without `+`. */
  readonly display: string;
  readonly name: string;
  /** What happens when it is called. */
  readonly explanation: string;
  /** Extension of the demo PBX that its channel leads to, for the reader. */
  readonly extension: string;
}

export type PhoneRequest = CallRequest | ChatRequest;

export type CallRequest =
  | {
      readonly type: "call";
      /** `id` of a demo number. */
      readonly number: string;
      /** `server`: the client's WebRTC stack has no keypad, so `digits` are put into its stream by the server. */
      readonly keys?: "client" | "server";
    }
  | { readonly type: "answer"; readonly sdp: string }
  | { readonly type: "digits"; readonly digits: string }
  | { readonly type: "hang_up" };

/** `channel` is the gateway's name of one. */
export type ChatRequest =
  /** The business's own phone points its camera at the code that the channel shows. */
  | { readonly type: "scan"; readonly channel: string }
  /** The business's own phone drops the channel from its linked devices. */
  | { readonly type: "unlink"; readonly channel: string }
  | { readonly type: "say"; readonly channel: string; readonly text: string }
  /** This chat is on the screen from now on: what is in it, and what comes, is read. Without a channel none is. */
  | { readonly type: "look"; readonly channel?: string };

/** A channel of the gateway: a device linked to the phone of a business. */
export interface LinkedChannel {
  readonly id: string;
  readonly name: string;
  readonly state: ChannelState;
  /** The business number, digits; from the first scan on, and then there is a chat with it. */
  readonly phone?: string;
}

/** One message of a chat, as it is now. */
export interface ChatMessage {
  readonly id: string;
  readonly channel: string;
  readonly from: "user" | "business";
  readonly text: string;
  /** Unix milliseconds. */
  readonly at: number;
  /** One tick, two, two blue ones. The business's are `delivered` until this phone has read them. */
  readonly state: "sent" | "delivered" | "read";
  /** The id of the message that this one answers. */
  readonly quoted?: string;
}

export type PhoneState = "calling" | "ringing" | "talking" | "ended";

export type PhoneNotice =
  | {
      readonly type: "welcome";
      readonly numbers: readonly DemoNumber[];
      readonly user: { readonly name: string; readonly number: string };
    }
  | { readonly type: "offer"; readonly sdp: string; readonly wacid: string }
  | {
      readonly type: "state";
      readonly state: PhoneState;
      /** When the call ended. */
      readonly reason?: string;
      readonly by?: string;
      readonly durationMs?: number;
      readonly code?: number;
    }
  /** The keys of a `digits` request were pressed and released. */
  | { readonly type: "released" }
  /** The business sent a digit. */
  | { readonly type: "digit"; readonly digit: string }
  /** All channels of the gateway, at the start and after each change. Never told where there is no gateway. */
  | { readonly type: "channels"; readonly channels: readonly LinkedChannel[] }
  /** A message that is new, or whose state has changed. */
  | { readonly type: "message"; readonly message: ChatMessage }
  | { readonly type: "timeline"; readonly line: TimelineLine }
  | { readonly type: "error"; readonly text: string };

/** One line of what happened to the call, whoever tells it. */
export interface TimelineLine {
  /** Unix milliseconds. */
  readonly at: number;
  readonly source: "whatsapp" | "ponte";
  readonly text: string;
  readonly detail?: string;
  readonly level: "good" | "normal" | "bad";
}
