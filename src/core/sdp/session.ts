import type { RemoteTransport } from "./transport.ts";

/**
 * The negotiated media of a leg (RFC 3264) as values, on both sides: what packets look like, apart from how they travel.
 */

export type CodecName = "opus" | "PCMU" | "PCMA";

/** One audio format under the payload type that was agreed for it (RFC 3551). */
export interface AudioFormat {
  readonly codec: CodecName;
  readonly payloadType: number;
  /** RTP clock in Hz: 48000 for Opus, 8000 for G.711. */
  readonly clockRate: number;
  /** Value of `a=fmtp`, as received or sent. */
  readonly fmtp?: string;
}

/** RFC 4733: payload type and clock of telephone-event. */
export interface DigitFormat {
  readonly payloadType: number;
  readonly clockRate: number;
}

/** RFC 3264 §5.1, seen from the one whose description it is. */
export type Direction = "sendrecv" | "sendonly" | "recvonly" | "inactive";

/** What Meta's offer says, understood. */
export interface WhatsAppOffer {
  readonly mid: string;
  readonly transport: RemoteTransport;
  readonly audio: AudioFormat;
  readonly digits?: DigitFormat;
  /** SSRC that the relay announced. */
  readonly ssrc?: number;
  readonly ptimeMs: number;
}

/** One side of a plain RTP session with a PBX, understood. */
export interface SipMedia {
  readonly address: string;
  /** 0 means that the stream is refused (RFC 3264 §6). */
  readonly port: number;
  readonly rtcpPort: number;
  readonly audio: AudioFormat;
  readonly digits?: DigitFormat;
  readonly direction: Direction;
  readonly ptimeMs: number;
}

/** Why a description cannot be used; `text` is for people and names the line or attribute. */
export interface SdpProblem {
  readonly code:
    | "unparsable"
    | "not_audio"
    | "no_common_codec"
    | "no_fingerprint"
    | "no_ice"
    | "bad_transport"
    | "refused_stream";
  readonly text: string;
}

export type Result<T, P> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problem: P };
