import type { Call, EndedCall, Instant } from "./call.ts";
import { type Cause, type Disposition, fromSipStatus } from "./disposition.ts";
import { type Ended, end, endedByMeta, endedByPbx, ends, type LiveCall, rejected } from "./end.ts";
import type { Action, Event, MediaFailureCause, Timer } from "./event.ts";

type Step = readonly [Call, readonly Action[]];
/** How long Meta's terminate webhook may be behind the relay's goodbye. */
const CLOSING_MS = 3_000;

type Live<S extends Call["state"]> = Extract<LiveCall, { state: S }>;

/**
 * One step of a user-initiated call.
 *
 *     offered ──routed──▶ preparing ──media_prepared──▶ pre_accepting ──pre_accepted──▶ dialing
 *                                                                                         │ leg_answered and media_connected
 *                                    bridged ◀──accepted── accepting ◀────────────────────┘
 *
 *     from every state ──refusals, failures, timeouts, hang-ups──▶ ended
 *
 * A pair that is not in the table changes nothing: late news (a BYE that crosses our CANCEL, RFC 3261 §9.1; a terminate
 * webhook for a call that we ended) is everyday life in telephony, not an error.
 */
export function transition(call: Call, event: Event, now: Instant): Step {
  if (call.state === "ended") return afterwards(call, event);
  return always(call, event, now) ?? step(call, event, now) ?? [call, []];
}

function step(call: LiveCall, event: Event, now: Instant): Step | undefined {
  switch (call.state) {
    case "offered":
      return offered(call, event, now);
    case "preparing":
      return preparing(call, event, now);
    case "pre_accepting":
      return preAccepting(call, event, now);
    case "dialing":
      return dialing(call, event, now);
    case "accepting":
      return accepting(call, event, now);
    case "bridged":
      return bridged(call, event, now);
  }
}

/** What means the same in every state of a live call. */
function always(call: LiveCall, event: Event, now: Instant): Step | undefined {
  const talking = call.state === "bridged";
  switch (event.type) {
    case "caller_ended":
      return withSummary(end(call, endedByMeta(event.summary, talking), now, { meta: true }), event);
    case "operator_ended":
      return end(call, { ...ends.operator, result: talking ? "completed" : "cancelled" }, now);
    case "drained":
      return end(call, talking ? ends.drainedTalking : ends.drained, now);
    case "crashed":
      return end(call, { result: "failed", by: "ponte", cause: "internal_error", detail: event.detail }, now);
    case "media_failed":
      if (event.failure !== "media_closed") return end(call, mediaFailed(event), now);
      return [{ ...call }, [{ type: "start_timer", timer: "closing", afterMs: CLOSING_MS }]];
    case "evidence":
      if (call.evidence[event.step] !== undefined) return [call, []];
      return [{ ...call, evidence: { ...call.evidence, [event.step]: event.at } }, []];
    case "timeout":
      return overdue(call, event.timer, now);
    default:
      return undefined;
  }
}

function overdue(call: LiveCall, timer: Timer, now: Instant): Step | undefined {
  switch (timer) {
    case "closing":
      return end(call, ends.closed, now);
    case "budget":
      return call.state === "bridged" ? undefined : end(call, ends.budget, now);
    case "ring":
      return call.state === "dialing" ? end(call, ends.ring, now) : undefined;
    case "media":
      return call.state === "dialing" ? end(call, ends.media, now) : undefined;
  }
}

function offered(call: Live<"offered">, event: Event, now: Instant): Step | undefined {
  if (event.type !== "routed") return undefined;
  const age = now - call.offer.offeredAt;
  // Meta asks not to call the Graph API for stale webhooks.
  if (age > call.limits.staleAfterMs) return end(call, ends.stale, now, { meta: true });
  if (event.route.handler === "reject") {
    const { reason } = event.route;
    // Switched off means hands off: somebody else may be answering this number.
    return end(call, rejected(reason), now, { meta: reason === "calling_disabled" });
  }
  const afterMs = Math.max(0, call.limits.answerBudgetMs - Math.max(0, age));
  return [
    { ...call, state: "preparing", route: event.route },
    [{ type: "start_timer", timer: "budget", afterMs }, { type: "prepare_media" }],
  ];
}

function preparing(call: Live<"preparing">, event: Event, now: Instant): Step | undefined {
  switch (event.type) {
    case "media_prepared":
      return [
        { ...call, state: "pre_accepting", answer: event.answer },
        [{ type: "pre_accept", answer: event.answer }],
      ];
    case "offer_unusable":
      return end(call, { result: "failed", by: "ponte", cause: event.cause, detail: event.detail }, now);
    case "media_unavailable":
      return end(call, { result: "rejected", by: "ponte", cause: "at_capacity", detail: event.detail }, now);
    default:
      return undefined;
  }
}

function preAccepting(call: Live<"pre_accepting">, event: Event, now: Instant): Step | undefined {
  switch (event.type) {
    case "pre_accepted":
      return [
        { ...call, state: "dialing", b: "trying", mediaUp: false },
        [
          { type: "connect_media" },
          { type: "start_timer", timer: "ring", afterMs: call.limits.ringTimeoutMs },
          { type: "dial", trunk: call.route.trunk, target: call.route.target },
        ],
      ];
    case "graph_failed":
      return end(call, graphFailed(event), now, { meta: event.refusal.gone });
    default:
      return undefined;
  }
}

function dialing(call: Live<"dialing">, event: Event, now: Instant): Step | undefined {
  switch (event.type) {
    case "leg_progress":
      if (call.b === "confirmed") return undefined;
      return [{ ...call, b: event.early ? "early" : "proceeding" }, []];
    case "leg_answered":
      return answered({ ...call, b: "confirmed" }, [{ type: "stop_timer", timer: "ring" }]);
    case "media_connected":
      return answered({ ...call, mediaUp: true }, []);
    case "session_unusable":
      return end(
        call,
        { result: "failed", by: "ponte", cause: "no_common_codec", detail: event.detail, q850: 88 },
        now,
      );
    case "leg_failed":
      return end(call, fromSipStatus(event.status, event.q850, event.reason), now, { pbx: true });
    case "leg_ended":
      return end(call, endedByPbx(event, false), now, { pbx: true });
    default:
      return undefined;
  }
}

/** Both the PBX and the media path are needed before the caller's call may count as answered. */
function answered(call: Live<"dialing">, actions: readonly Action[]): Step {
  if (call.b !== "confirmed") return [call, actions];
  if (!call.mediaUp) {
    return [call, [...actions, { type: "start_timer", timer: "media", afterMs: call.limits.mediaTimeoutMs }]];
  }
  const { b, mediaUp, ...rest } = call;
  return [
    { ...rest, state: "accepting" },
    [...actions, { type: "stop_timer", timer: "media" }, { type: "accept", answer: call.answer }],
  ];
}

function accepting(call: Live<"accepting">, event: Event, now: Instant): Step | undefined {
  switch (event.type) {
    case "accepted": {
      const { answer, ...rest } = call;
      // The others have stopped, but for `closing`: a relay that said goodbye meanwhile stays gone.
      const actions: readonly Action[] = [{ type: "stop_timer", timer: "budget" }, { type: "start_sending" }];
      return [{ ...rest, state: "bridged", answeredAt: now }, actions];
    }
    case "graph_failed":
      return end(call, graphFailed(event), now, { meta: event.refusal.gone });
    case "leg_ended":
      return end(call, endedByPbx(event, false), now, { pbx: true });
    default:
      return undefined;
  }
}

function bridged(call: Live<"bridged">, event: Event, now: Instant): Step | undefined {
  if (event.type !== "leg_ended") return undefined;
  return end(call, endedByPbx(event, true), now, { pbx: true });
}

/** An ended call never revives; only Meta's own account of it is still taken, once. */
function afterwards(call: EndedCall, event: Event): Step {
  if (event.type !== "caller_ended" || call.summary !== undefined) return [call, []];
  return [{ ...call, summary: event.summary }, []];
}

function withSummary([call, actions]: Ended, event: Extract<Event, { type: "caller_ended" }>): Ended {
  return [{ ...call, summary: event.summary }, actions];
}

function graphFailed({ refusal }: Extract<Event, { type: "graph_failed" }>): Disposition {
  if (refusal.gone) {
    return {
      result: "cancelled",
      by: "caller",
      cause: "caller_gave_up",
      graphCode: refusal.code,
      detail: refusal.message,
    };
  }
  const cause = refusal.code === 0 ? "graph_unreachable" : "graph_refused";
  return { result: "failed", by: "whatsapp", cause, graphCode: refusal.code, detail: refusal.message };
}

const mediaCauses: Readonly<Record<MediaFailureCause, Cause>> = {
  ice_failed: "ice_failed",
  dtls_failed: "dtls_failed",
  media_dead: "media_dead",
  media_closed: "media_dead",
  worker_lost: "internal_error",
};

function mediaFailed({ failure, detail }: Extract<Event, { type: "media_failed" }>): Disposition {
  const by = failure === "worker_lost" ? "ponte" : "whatsapp";
  return { result: "failed", by, cause: mediaCauses[failure], q850: 41, detail };
}
