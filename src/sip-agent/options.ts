import type { Clock, Log, Random } from "./ports.ts";
import type { Timers } from "./transaction/machine.ts";
import type { ListenerOptions } from "./transport/listener.ts";
import type { Dns } from "./transport/resolve.ts";
import type { Patience } from "./ua/context.ts";

export type SipAgentOptions = {
  /** Where applications connect to, and what they have to present. Port 0 takes a free one. */
  readonly control: { readonly host?: string; readonly port?: number; readonly secret: string };
  /** SIP sockets. Without any the agent cannot do anything, so at least one is needed. */
  readonly udp?: readonly ListenerOptions[];
  readonly tcp?: readonly ListenerOptions[];
  /** Addresses and networks (`10.0.0.9`, `10.0.0.0/8`) from which requests are taken. All others are dropped and counted. */
  readonly peers: readonly string[];
  readonly timers?: Partial<Timers>;
  readonly patience?: Partial<Patience>;
  readonly limits?: Partial<Limits>;
  readonly sessionTimer?: Partial<SessionTimerOptions>;
  /** Default true: see `Context.natCorrection`. */
  readonly natCorrection?: boolean;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Log;
  readonly dns?: Dns;
};

/** Bounds of what anybody can make the agent hold. */
export type Limits = {
  /** Transactions at once; a call holds two for about a minute. Beyond it new requests get 503. */
  readonly maxTransactions: number;
  /** Dialogs at once, forks included. */
  readonly maxDialogs: number;
  /** Bytes of one SIP message. UDP cannot carry more than 65 507. */
  readonly maxMessageBytes: number;
  /** Header lines of one SIP message; real ones have 20 to 40. */
  readonly maxHeaders: number;
  /** SIP connections over TCP at once, in both directions. */
  readonly maxConnections: number;
  /** How long the TCP handshake with a peer may take, ms. */
  readonly connectTimeoutMs: number;
  /** Bytes of one frame of an application. */
  readonly maxFrameBytes: number;
  /** Control connections at once, the ones that still have to authenticate included. */
  readonly maxClients: number;
  /** How long a control connection may take to present the secret, ms. */
  readonly authenticateMs: number;
  /** Bytes that may wait for an application that does not read. */
  readonly maxUnsentBytes: number;
};

export type SessionTimerOptions = {
  /** The shortest session interval we take, seconds. RFC 4028 §4 allows no less than 90. */
  readonly minSeconds: number;
};

export const DEFAULT_TIMERS: Timers = { t1Ms: 500, t2Ms: 4_000, t4Ms: 5_000 };

export const DEFAULT_PATIENCE: Patience = {
  silentInviteMs: 20_000,
  silentRequestMs: 20_000,
  ringingMs: 300_000,
  lostApplicationMs: 5_000,
};

export const DEFAULT_LIMITS: Limits = {
  maxTransactions: 10_000,
  maxDialogs: 4_000,
  maxMessageBytes: 65_535,
  maxHeaders: 200,
  maxConnections: 500,
  connectTimeoutMs: 5_000,
  maxFrameBytes: 131_072,
  maxClients: 32,
  authenticateMs: 5_000,
  maxUnsentBytes: 16_777_216,
};

/** RFC 4028 §4. */
export const DEFAULT_MIN_SESSION_S = 90;
