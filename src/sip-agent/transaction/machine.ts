/**
 * What the four transaction machines (RFC 3261 §17, RFC 6026) have in common.
 *
 * A machine is a pure function: state and event in, new state and actions out. It owns no clock, no socket and no message;
 * the runner (`runner.ts`) keeps those, so that each machine can be read beside the RFC and tested as a table.
 */

/** RFC 3261 table 4. */
export type Timers = {
  /** Estimate of the round-trip time. */
  readonly t1Ms: number;
  /** Longest interval between repeats of anything but an INVITE. */
  readonly t2Ms: number;
  /** How long a message can live in the network. */
  readonly t4Ms: number;
};

export type TimerName = "A" | "B" | "D" | "E" | "F" | "G" | "H" | "I" | "J" | "K" | "L" | "M";

export type Action =
  /** Put the request (client) or the latest response (server) on the wire, again if need be. */
  | { readonly type: "send" }
  /** Acknowledge a failure response, hop by hop (RFC 3261 §17.1.1.3). */
  | { readonly type: "acknowledge" }
  /** Hand the message of this event to the core. */
  | { readonly type: "deliver" }
  | { readonly type: "start_timer"; readonly timer: TimerName; readonly ms: number }
  | { readonly type: "stop_timer"; readonly timer: TimerName }
  /** Tell the core that there is no use in waiting. */
  | { readonly type: "fail"; readonly cause: "timeout" | "transport" }
  /** Forget the transaction. */
  | { readonly type: "terminate" };

export type Step<State> = readonly [State, readonly Action[]];

/** Fixed conditions of one transaction. */
export type Setting = Timers & {
  /** True for TCP: the transport repeats, so the transaction does not. */
  readonly reliable: boolean;
};

/** 64·T1, the RFC's measure for "long enough" (timers B, F, H, J, L, M). */
export function patience(timers: Timers): number {
  return 64 * timers.t1Ms;
}

/** RFC 3261 §17.1.1.2: timer D is at least 32 s. It follows T1, so that fast clocks in tests stay in proportion. */
export function timerD(timers: Timers): number {
  return patience(timers) + timers.t1Ms;
}

export function startTimer(timer: TimerName, ms: number): Action {
  return { type: "start_timer", timer, ms };
}

export function stopTimer(timer: TimerName): Action {
  return { type: "stop_timer", timer };
}

export const send: Action = { type: "send" };
export const acknowledge: Action = { type: "acknowledge" };
export const deliver: Action = { type: "deliver" };
export const terminate: Action = { type: "terminate" };
export const failTimeout: Action = { type: "fail", cause: "timeout" };
export const failTransport: Action = { type: "fail", cause: "transport" };

export type ClientEvent =
  | { readonly type: "start" }
  | { readonly type: "response"; readonly status: number }
  | { readonly type: "timer"; readonly timer: TimerName }
  | { readonly type: "transport_error" };

export type ServerEvent =
  /** The same request once more. */
  | { readonly type: "repeat" }
  | { readonly type: "ack" }
  /** The core answers; the runner has stored the response. */
  | { readonly type: "respond"; readonly status: number }
  | { readonly type: "timer"; readonly timer: TimerName }
  | { readonly type: "transport_error" };

export type ClientState = {
  readonly name: "calling" | "trying" | "proceeding" | "completed" | "accepted" | "terminated";
  /** The interval after which the request is repeated next. */
  readonly repeatMs: number;
};

export type ServerState = {
  readonly name: "trying" | "proceeding" | "completed" | "confirmed" | "accepted" | "terminated";
  /** The interval after which the final response is repeated next. */
  readonly repeatMs: number;
};
