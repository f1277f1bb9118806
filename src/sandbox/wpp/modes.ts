/** How a gateway behaves where those in the field differ. */
export interface GatewayModes {
  /** `plain`: the fields at the top. `wrapped`: WPPConnect's `{ status, response }`, with its words for states. */
  readonly answers: "plain" | "wrapped";
  /** A PNG as a data URL, the same as bare base64, or what the phone reads as text; `bare_text` is no JSON at all. */
  readonly qr: "data_url" | "base64" | "text" | "bare_text";
  /** `nested`: `{ event, channel, timestamp, data }`. `flat`: WPPConnect's `{ event, session, …message }`, with its event names. */
  readonly envelope: "nested" | "flat";
  /** How webhooks prove where they come from: the secret itself in `x-gateway-secret`, or an HMAC of the body. */
  readonly proof: "secret" | "hmac";
  /** `per_chat`: one webhook after the other. `none`: all at once, as most gateways do, so that repetitions are overtaken. */
  readonly order: "per_chat" | "none";
  /** Each webhook comes again this often after it was taken. */
  readonly duplicates: number;
  /** Webhooks start this much later than what they tell of, milliseconds. */
  readonly lateMs: number;
  /** From one step of a sent message to the next, milliseconds. */
  readonly ackDelayMs: number;
  /** The first ack overtakes the answer that names the message. */
  readonly ackBeforeAnswer: boolean;
  /** What was sent over the API comes back as a `message` with `fromMe`, as WPPConnect's `onanymessage`. */
  readonly echoesSends: boolean;
  /** A send with a known idempotency key gets the first one's answer. Most gateways have no such thing. */
  readonly knowsRepeats: boolean;
  /** A 2xx of the webhook marks the message as read, and its writer sees it. */
  readonly takenIsRead: boolean;
}

export const defaultGatewayModes: GatewayModes = {
  answers: "plain",
  qr: "data_url",
  envelope: "nested",
  proof: "secret",
  order: "per_chat",
  duplicates: 0,
  lateMs: 0,
  ackDelayMs: 0,
  ackBeforeAnswer: false,
  echoesSends: false,
  knowsRepeats: false,
  takenIsRead: true,
};
