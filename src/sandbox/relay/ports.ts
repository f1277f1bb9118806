import type { CallErrorCode } from "#sandbox/meta/errors.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import type { SdpView } from "#sandbox/meta/sdp-view.ts";

/** What the simulated Meta needs of its media relay. */
export interface RelayPort {
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Makes a place for a call and the offer for its business leg. */
  open(modes: Modes, events: RelayEvents): RelayCall;
}

/** Called from packet and timer handlers; must not throw. Nothing is called after `close()`. */
export interface RelayEvents {
  /** The keys of the business leg are there. */
  onConnected(): void;
  /** The first RTP packet of the business, whether it was due or not. */
  onFirstRtp(): void;
  /** The business broke a rule of the media table. */
  onViolation(rule: string, text: string): void;
  /** The call cannot go on; it ends as FAILED with this code. */
  onDead(code: CallErrorCode, details: string): void;
  /** A packet of the business for the user: one SSRC, whatever the business sends. Valid only during the call. */
  onRtp(packet: Buffer): void;
}

export interface RelayCall {
  /** SDP for the connect webhook. */
  readonly offer: string;
  /**
   * The business's answer came by pre_accept or accept: from now on its DTLS is heard (M4).
   * @param connects false when the answer is such that the real relay would never connect (D6, D12).
   */
  answer(answer: SdpView, connects: boolean): void;
  /** The 200 of accept is going out: from now on RTP is due (M8, M10). */
  accept(): void;
  /** A packet of the user for the business, in plain RTP. Dropped before the business sent its first (M7). */
  sendRtp(packet: Buffer): void;
  statistics(): RelayStatistics;
  close(): void;
}

/** Packets of one call, seen from the relay. */
export interface RelayStatistics {
  readonly fromBusiness: number;
  readonly toBusiness: number;
  /** Of the user, not passed on because the business had not sent yet. */
  readonly heldBack: number;
  /** Sequence numbers of the business that never came. */
  readonly lost: number;
  /** Digits of the business (RFC 4733), in order. */
  readonly digits: string;
  /** Compound RTCP packets. */
  readonly reportsFromBusiness?: number;
  /** Milliseconds from the answer's arrival to the keys. */
  readonly connectMs?: number;
}
