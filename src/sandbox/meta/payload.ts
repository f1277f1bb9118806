import { type CallErrorCode, callErrors } from "./errors.ts";
import type { Modes } from "./modes.ts";
import type { BusinessNumber, WhatsAppUser } from "./numbers.ts";

/** What webhooks tell about a call. */
export interface CallFacts {
  readonly wacid: string;
  readonly number: BusinessNumber;
  readonly user: WhatsAppUser;
  readonly modes: Modes;
  readonly ctaPayload?: string;
  readonly deeplinkPayload?: string;
  /** What `accept` gave. */
  readonly opaque?: string;
}

export interface EndFacts {
  /** Unix milliseconds; absent when the call was never picked up. */
  readonly startedAt?: number;
  readonly endedAt: number;
  readonly failure?: { readonly code: CallErrorCode; readonly details: string };
}

/** One `changes[]` entry. */
export interface Change {
  readonly field: string;
  readonly value: Readonly<Record<string, unknown>>;
}

/** JSON as Meta writes it: slashes and everything outside of ASCII are escaped, so that re-serialising breaks the signature. */
export function metaJson(value: unknown): string {
  return JSON.stringify(value)
    .replaceAll("/", "\\/")
    .replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** The envelope of one or more changes, one entry for each group. */
export function envelope(entries: readonly { readonly wabaId: string; readonly changes: readonly Change[] }[]): object {
  return {
    object: "whatsapp_business_account",
    entry: entries.map(({ wabaId, changes }) => ({ id: wabaId, changes })),
  };
}

export function connectChange(facts: CallFacts, sdp: string, at: number): Change {
  const session = { sdp_type: "offer", sdp };
  return callsChange(facts, { ...callHead(facts, "connect", at), ...payloads(facts), session }, undefined);
}

/** An event that no documentation knows: it must be ignored. */
export function unknownEventChange(facts: CallFacts, at: number): Change {
  return callsChange(facts, callHead(facts, "call_weather_report", at), undefined);
}

export function terminateChange(facts: CallFacts, end: EndFacts, at: number): Change {
  const status = end.failure === undefined ? "COMPLETED" : "FAILED";
  const errors = end.failure === undefined ? undefined : [errorEntry(end.failure, facts.modes)];
  const call = {
    ...callHead(facts, "terminate", at),
    status: statusAs(status, facts.modes),
    ...(end.startedAt === undefined ? {} : times(end.startedAt, end.endedAt)),
    ...(facts.opaque === undefined ? {} : { biz_opaque_callback_data: facts.opaque }),
    ...payloads(facts),
    ...(errors === undefined || facts.modes.errors === "value_only" ? {} : { errors }),
  };
  return callsChange(facts, call, errors);
}

/** An ordinary text message, for bodies that carry more than calls. */
export function messageChange(facts: CallFacts, at: number): Change {
  const sender = hidden(facts.user, facts.modes) ? {} : { from: facts.user.number };
  return {
    field: "messages",
    value: {
      messaging_product: "whatsapp",
      metadata: metadata(facts),
      messages: [
        {
          ...sender,
          id: `wamid.${Buffer.from(facts.wacid).toString("base64").slice(0, 40)}`,
          timestamp: seconds(at),
          type: "text",
          text: { body: "olá / hello" },
        },
      ],
    },
  };
}

/** A change whose field nobody subscribed to. */
export function unknownFieldChange(): Change {
  return { field: "calls_weather", value: { messaging_product: "whatsapp", forecast: [{ sky: "clear" }] } };
}

function callsChange(facts: CallFacts, call: object, errors: readonly object[] | undefined): Change {
  const contacts = facts.modes.contacts === "absent" ? {} : { contacts: [contact(facts)] };
  const tail = errors === undefined ? {} : { errors };
  return {
    field: "calls",
    value: { messaging_product: "whatsapp", metadata: metadata(facts), ...contacts, calls: [call], ...tail },
  };
}

function metadata({ number }: CallFacts): object {
  return { display_phone_number: number.displayPhoneNumber, phone_number_id: number.phoneNumberId };
}

function contact({ user, modes }: CallFacts): object {
  return {
    profile: { name: user.profileName, ...(user.username === undefined ? {} : { username: user.username }) },
    ...(hidden(user, modes) ? {} : { wa_id: user.number }),
    user_id: user.userId,
  };
}

function callHead({ wacid, user, number, modes }: CallFacts, event: string, at: number): object {
  return {
    id: wacid,
    ...(hidden(user, modes) ? {} : { from: user.number }),
    to: number.displayPhoneNumber,
    from_user_id: user.userId,
    event,
    timestamp: seconds(at),
    ...(modes.direction === "absent" ? {} : { direction: "USER_INITIATED" }),
  };
}

function hidden(user: WhatsAppUser, modes: Modes): boolean {
  return user.hidesNumber === true || modes.caller === "bsuid_only";
}

function payloads(facts: CallFacts): object {
  return {
    ...(facts.deeplinkPayload === undefined ? {} : { deeplink_payload: facts.deeplinkPayload }),
    ...(facts.ctaPayload === undefined ? {} : { cta_payload: facts.ctaPayload }),
  };
}

/** Timestamps are strings of Unix seconds, the duration is an integer. */
function times(startedAt: number, endedAt: number): object {
  const duration = Math.max(0, Math.floor(endedAt / 1000) - Math.floor(startedAt / 1000));
  return { start_time: seconds(startedAt), end_time: seconds(endedAt), duration };
}

function seconds(at: number): string {
  return String(Math.floor(at / 1000));
}

function statusAs(status: string, modes: Modes): string | readonly string[] {
  if (modes.status === "array") return [status];
  return modes.status === "mixed_case" ? status.charAt(0) + status.slice(1).toLowerCase() : status;
}

function errorEntry(failure: NonNullable<EndFacts["failure"]>, modes: Modes): object {
  const { title, message } = callErrors[failure.code];
  if (modes.errors === "code_and_title") return { code: failure.code, title };
  return { code: failure.code, title, message, error_data: { details: failure.details } };
}
