import type { Call, EndedCall, Instant, MetaSummary, RejectReason } from "./call.ts";
import type { Cause, Disposition } from "./disposition.ts";
import type { Action, Event } from "./event.ts";

export type LiveCall = Exclude<Call, EndedCall>;

export type Ended = readonly [EndedCall, readonly Action[]];

/** Which sides know already that the call is over, so that nobody is told twice. */
export interface Gone {
  readonly meta?: boolean;
  readonly pbx?: boolean;
}

/**
 * Ends a call: the one place where that happens.
 *
 *     state           towards Meta   towards the PBX   media
 *     offered         reject         –                 –
 *     preparing       reject         –                 close
 *     pre_accepting   terminate      –                 close
 *     dialing         terminate      CANCEL or BYE     close
 *     accepting       terminate      BYE               close
 *     bridged         terminate      BYE               close
 */
export function end(call: LiveCall, disposition: Disposition, now: Instant, gone: Gone = {}): Ended {
  const { id, offer, receivedAt, limits, evidence } = call;
  const ended: EndedCall = {
    state: "ended",
    id,
    offer,
    receivedAt,
    limits,
    evidence,
    disposition,
    endedAt: now,
    ...(call.state === "bridged" ? { answeredAt: call.answeredAt } : {}),
  };
  return [ended, farewells(call, disposition, gone)];
}

function farewells(call: LiveCall, disposition: Disposition, gone: Gone): Action[] {
  const answered = call.state !== "offered" && call.state !== "preparing";
  const dialled = call.state === "dialing" || call.state === "accepting" || call.state === "bridged";
  const actions: Action[] = [{ type: "stop_timers" }];
  if (gone.meta !== true) actions.push({ type: answered ? "terminate" : "reject" });
  if (dialled && gone.pbx !== true) actions.push({ type: "hang_up", disposition });
  if (call.state !== "offered") actions.push({ type: "close_media" });
  return actions;
}

/** Why ponte does not take a call, as a disposition. */
export function rejected(reason: RejectReason): Disposition {
  const results: Partial<Record<RejectReason, Disposition>> = {
    trunk_unreachable: { result: "unreachable", by: "ponte", cause: "pbx_unreachable" },
    no_common_codec: { result: "failed", by: "ponte", cause: "no_common_codec" },
    bad_offer: { result: "failed", by: "ponte", cause: "bad_offer" },
  };
  return results[reason] ?? { result: "rejected", by: "ponte", cause: reason as Cause };
}

/** Meta's terminate webhook: the caller gave up, hung up, or the call failed on Meta's side. */
export function endedByMeta(summary: MetaSummary, answered: boolean): Disposition {
  if (summary.status === "FAILED") {
    return {
      result: "failed",
      by: "whatsapp",
      cause: "meta_failed",
      ...(summary.errorCode === undefined ? {} : { graphCode: summary.errorCode }),
      ...(summary.errorTitle === undefined ? {} : { detail: summary.errorTitle }),
    };
  }
  const picked = answered || summary.startTime !== undefined;
  return picked
    ? { result: "completed", by: "caller", cause: "hangup", q850: 16 }
    : { result: "cancelled", by: "caller", cause: "caller_gave_up", q850: 16 };
}

/** The PBX's end of a call that talks, or is about to. */
export function endedByPbx(event: Extract<Event, { type: "leg_ended" }>, talking: boolean): Disposition {
  const q850 = event.q850 ?? 16;
  const detail = event.reason === undefined ? {} : { detail: event.reason };
  if (event.by === "agent") return { result: "failed", by: "pbx", cause: "pbx_unreachable", q850, ...detail };
  if (talking) return { result: "completed", by: "pbx", cause: "hangup", q850, ...detail };
  return { result: "failed", by: "pbx", cause: "pbx_declined", q850, ...detail };
}

/** The dispositions of ends that ponte decides by itself, and those that a failure brings. */
export const ends = {
  stale: { result: "expired", by: "ponte", cause: "offer_stale" },
  budget: { result: "expired", by: "ponte", cause: "answer_budget_exceeded", q850: 102 },
  ring: { result: "no_answer", by: "ponte", cause: "ring_timeout", sipStatus: 480, q850: 19 },
  media: { result: "failed", by: "ponte", cause: "media_timeout", q850: 102 },
  closed: { result: "failed", by: "whatsapp", cause: "media_dead", q850: 41 },
  operator: { result: "completed", by: "operator", cause: "operator", q850: 16 },
  drained: { result: "rejected", by: "ponte", cause: "draining", q850: 41 },
  drainedTalking: { result: "completed", by: "ponte", cause: "draining", q850: 41 },
} as const satisfies Record<string, Disposition>;
