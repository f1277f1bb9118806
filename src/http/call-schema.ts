import Type, { type TProperties } from "typebox";
import type { CallState } from "#core/call/call.ts";
import type { Result } from "#core/call/disposition.ts";

/** The call of the API, as its documentation shows it. */

export const callStates = [
  "offered",
  "preparing",
  "pre_accepting",
  "dialing",
  "accepting",
  "bridged",
  "ended",
] as const satisfies readonly CallState[];

export const callResults = [
  "completed",
  "cancelled",
  "busy",
  "no_answer",
  "declined",
  "not_found",
  "unreachable",
  "rejected",
  "expired",
  "failed",
] as const satisfies readonly Result[];

const text = (description: string) =>
  Type.Optional(Type.Unsafe<string | null>({ type: ["string", "null"], description }));
const whole = (description: string) =>
  Type.Optional(Type.Unsafe<number | null>({ type: ["integer", "null"], description }));
const time = (description: string) =>
  Type.Optional(Type.Unsafe<string | null>({ type: ["string", "null"], format: "date-time", description }));
const facts = (description: string) =>
  Type.Optional(Type.Unsafe<object | null>({ type: ["object", "null"], additionalProperties: true, description }));
const open = <P extends TProperties>(properties: P, description: string) =>
  Type.Object(properties, { additionalProperties: true, description });

export const callSchema = open(
  {
    id: Type.String({ description: "ponte's id of the call, a UUID of version 7." }),
    wacid: text("Meta's id of the call. It holds phone numbers: personal data."),
    channel_id: text("Meta's phone_number_id of the business number."),
    direction: text("user_initiated or business_initiated."),
    state: Type.String({ description: `One of ${callStates.join(", ")}.` }),
    tombstone: Type.Optional(Type.Boolean({ description: "The end came without an offer; nothing else is known." })),
    from_number: text("The caller's number, digits; absent where WhatsApp hides it."),
    from_user_id: text("The caller's business-scoped user id."),
    username: text("The caller's WhatsApp user name."),
    profile_name: text("The caller's WhatsApp profile name."),
    to_number: text("The business number that was called, digits."),
    cta_payload: text("Payload of the button that started the call."),
    deeplink_payload: text("Payload of the link that started the call."),
    handler: text("bridge or reject."),
    trunk: text("The trunk on which the PBX was called."),
    target: text("What was dialled there."),
    result: text(`How the call ended: one of ${callResults.join(", ")}.`),
    ended_by: text("Who ended it: caller, pbx, whatsapp, ponte or operator."),
    cause: text("Why, as a stable word."),
    sip_status: whole("The PBX's SIP status, where it decided."),
    q850_cause: whole("The Q.850 cause, where there is one."),
    graph_code: whole("Meta's error code, where Meta decided."),
    detail: text("More, for people."),
    meta_timestamp: time("When Meta says that the call was offered."),
    received_at: time("When ponte received the offer."),
    pre_accepted_at: time("When Meta took our answer."),
    answered_at: time("When the call was accepted and audio began."),
    ended_at: time("When the call ended."),
    meta_status: text("What Meta's terminate webhook said."),
    meta_start_at: time("When the call began, by Meta's count."),
    meta_end_at: time("When it ended, by Meta's count."),
    meta_duration_s: whole("Duration by Meta's count, seconds."),
    meta_error_code: whole("The error of Meta's terminate webhook."),
    meta_error_title: text("The same in words."),
    evidence: facts("When each step towards two-way audio was first seen: ice, dtls, first_rtp_out, …"),
    media_stats: facts("Packets, loss, jitter (ms), round trip (ms) and MOS for each leg; live while the call is."),
    timings: facts("Milliseconds since the offer was received."),
    updated_at: time("When the record was last written."),
  },
  "A call. Further properties may come with later versions.",
);

export const callEventSchema = Type.Object({
  at: Type.String({ format: "date-time" }),
  type: Type.String({ examples: ["call.received", "call.accepted", "leg_answered"] }),
  data: Type.Record(Type.String(), Type.Unknown()),
});
