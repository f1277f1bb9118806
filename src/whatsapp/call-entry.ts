import type { Caller, Instant, MetaSummary, Offer } from "#core/call/call.ts";
import type { Json } from "#core/json-read.ts";
import { digitsAt, instantAt, isObject, numberAt, objectAt, objectsIn, parseJson, textAt } from "#core/json-read.ts";
import type { MetaCallEvent } from "#engine/ports.ts";

/** One entry of `calls[]` with what stands around it. */
export interface CallEntry {
  /** The `value` of the change, which holds contacts, metadata and sometimes the errors. */
  readonly value: Json;
  readonly call: Json;
  readonly wacid: string;
  readonly channelId: string;
  readonly receivedAt: Instant;
}

/** What core reads of an SDP, and more than any offer has. */
const MAX_SDP_LENGTH = 32_768;
/** Limits of what is shown to people or put into a SIP header, characters. */
const MAX_NAME_LENGTH = 256;
const MAX_USER_ID_LENGTH = 200;
/** Meta allows 512 characters in a payload of a call button or a deep link. */
const MAX_PAYLOAD_LENGTH = 512;
const MAX_TITLE_LENGTH = 200;
/** No call of a phone lasts a year; a larger number is something else. */
const MAX_DURATION_S = 31_536_000;
/** A user-initiated `connect`, or the word with which it is ignored. */
export function readConnect({ value, call, wacid, channelId, receivedAt }: CallEntry): Offer | string {
  const session = sessionOf(call);
  // Numbers in SIP mode may have webhooks too, and those carry no SDP: the call is answered elsewhere.
  if (session === undefined) return "connect without sdp";
  // A missing direction is judged by the kind of SDP: an offer means that the user calls.
  if (session.type !== undefined && session.type !== "offer") return "connect with an answer";
  const business = digitsAt(objectAt(value, "metadata"), "display_phone_number");
  const { from, to } = numbersOf(call, business);
  const ctaPayload = textAt(call, "cta_payload", MAX_PAYLOAD_LENGTH);
  const deeplinkPayload = textAt(call, "deeplink_payload", MAX_PAYLOAD_LENGTH);
  return {
    wacid,
    channelId,
    caller: callerOf(value, call, from),
    calledNumber: to ?? business ?? channelId,
    sdp: session.sdp,
    offeredAt: instantAt(call, "timestamp", receivedAt) ?? receivedAt,
    ...(ctaPayload === undefined ? {} : { ctaPayload }),
    ...(deeplinkPayload === undefined ? {} : { deeplinkPayload }),
  };
}

/** `session: {sdp_type, sdp}`, or the legacy `connection.webrtc.sdp`: a JSON document inside a string. */
function sessionOf(call: Json): { readonly type?: string; readonly sdp: string } | undefined {
  const legacy = objectAt(objectAt(call, "connection"), "webrtc")?.["sdp"];
  const inner = typeof legacy === "string" && legacy.length <= MAX_SDP_LENGTH * 2 ? parseJson(legacy) : legacy;
  for (const session of [call["session"], inner, { sdp: legacy }]) {
    const sdp = isObject(session) ? session["sdp"] : undefined;
    if (!isObject(session) || typeof sdp !== "string" || !/^v=0\s/.test(sdp)) continue;
    const type = (textAt(session, "sdp_type", 16) ?? textAt(session, "type", 16))?.toLowerCase();
    // One character beyond the limit is kept, so that whoever reads the SDP sees that it is too long.
    return { sdp: sdp.slice(0, MAX_SDP_LENGTH + 1).toWellFormed(), ...(type === undefined ? {} : { type }) };
  }
  return undefined;
}

/** `from` is the user and `to` the business; some of Meta's own samples have them the wrong way round. */
function numbersOf(call: Json, business: string | undefined): { readonly from?: string; readonly to?: string } {
  const [from, to] = [digitsAt(call, "from"), digitsAt(call, "to")];
  const swapped = from !== undefined && from === business && to !== business;
  const [user, called] = swapped ? [to, from] : [from, to];
  return { ...(user === undefined ? {} : { from: user }), ...(called === undefined ? {} : { to: called }) };
}

/** Callers with a user name may have neither `from` nor `wa_id`, only a business-scoped user id. */
function callerOf(value: Json, call: Json, from: string | undefined): Caller {
  const contacts = objectsIn(value["contacts"]);
  const callerId = textAt(call, "from_user_id", MAX_USER_ID_LENGTH);
  const contact =
    contacts.find((candidate) => from !== undefined && digitsAt(candidate, "wa_id") === from) ??
    contacts.find(
      (candidate) => callerId !== undefined && textAt(candidate, "user_id", MAX_USER_ID_LENGTH) === callerId,
    ) ??
    // Of several calls, the one that it belongs to is named by it.
    (contacts.length === 1 && objectsIn(value["calls"]).length === 1 ? contacts[0] : undefined);
  const profile = objectAt(contact, "profile");
  const number = from ?? digitsAt(contact, "wa_id");
  const userId = callerId ?? textAt(contact, "user_id", MAX_USER_ID_LENGTH);
  const profileName = textAt(profile, "name", MAX_NAME_LENGTH);
  const username = textAt(profile, "username", MAX_NAME_LENGTH);
  return {
    ...(number === undefined ? {} : { number }),
    ...(userId === undefined ? {} : { userId }),
    ...(profileName === undefined ? {} : { profileName }),
    ...(username === undefined ? {} : { username }),
  };
}

/** A `terminate`, whoever hung up. A call was picked up when it has a `start_time`, not when it is `COMPLETED`. */
export function readTerminate({ value, call, wacid, channelId, receivedAt }: CallEntry): MetaCallEvent {
  const at = instantAt(call, "timestamp", receivedAt) ?? receivedAt;
  const startTime = instantAt(call, "start_time", receivedAt);
  const endTime = instantAt(call, "end_time", receivedAt);
  const durationS = numberAt(call, "duration");
  const error = errorOf(value, call);
  const status = statusOf(call["status"]);
  const summary: MetaSummary = {
    status: status === "UNKNOWN" && error !== undefined ? "FAILED" : status,
    ...(startTime === undefined ? {} : { startTime }),
    ...(endTime === undefined ? {} : { endTime }),
    ...(durationS === undefined || durationS > MAX_DURATION_S ? {} : { durationS }),
    ...error,
  };
  return { type: "terminate", wacid, channelId, at, summary };
}

/** A word in any case; the documentation prints a list, of which a single word is taken. */
function statusOf(value: unknown): MetaSummary["status"] {
  const words = (Array.isArray(value) ? value : [value]).map((word) =>
    typeof word === "string" ? word.toUpperCase() : "",
  );
  const [first, ...others] = words;
  if (others.some((word) => word !== first)) return "UNKNOWN";
  return first === "COMPLETED" || first === "FAILED" ? first : "UNKNOWN";
}

/** `errors` stand with the call, around it, or in both places, and may hold a code and a title only. */
function errorOf(value: Json, call: Json): Pick<MetaSummary, "errorCode" | "errorTitle"> | undefined {
  const alone = objectsIn(value["calls"]).length === 1;
  const [error] = [...objectsIn(call["errors"]), ...(alone ? objectsIn(value["errors"]) : [])];
  if (error === undefined) return undefined;
  const errorCode = numberAt(error, "code");
  const errorTitle = textAt(error, "title", MAX_TITLE_LENGTH) ?? textAt(error, "message", MAX_TITLE_LENGTH);
  return {
    ...(errorCode === undefined ? {} : { errorCode }),
    ...(errorTitle === undefined ? {} : { errorTitle }),
  };
}
