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

export type PhoneRequest =
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
