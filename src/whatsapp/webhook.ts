import type { Instant } from "#core/call/call.ts";
import type { EventDraft } from "#core/event/draft.ts";
import type { Json } from "#core/json-read.ts";
import { isObject, isTooDeep, MAX_JSON_DEPTH, objectAt, objectsIn, parseJson, textAt } from "#core/json-read.ts";
import type { MetaCallEvent } from "#engine/ports.ts";
import { readConnect, readTerminate } from "./call-entry.ts";
import { MESSAGE_FIELDS, readMessages } from "./messages.ts";

/** A webhook of Meta's, understood. */
export interface WebhookReading {
  /** In the order of the body. */
  readonly events: readonly MetaCallEvent[];
  /** Messages and their statuses, in the order of the body; empty unless they were asked for. */
  readonly messages: readonly EventDraft[];
  /** What was not understood though it should have been; free of personal data. */
  readonly problems: readonly string[];
  /** The body is no webhook at all, and nothing in it is worth keeping. */
  readonly unreadable: boolean;
}

/** Meta documents bodies of up to 3 MB. */
export const MAX_WEBHOOK_BYTES = 3 * 1_048_576;
/** Meta batches up to 1000 updates. */
export const MAX_WEBHOOK_EVENTS = 2_000;
/** A body that is wrong throughout is described by its first problems. */
const MAX_PROBLEMS = 20;
const MAX_WACID_LENGTH = 512;

interface Notes {
  readonly events: MetaCallEvent[];
  readonly messages: EventDraft[];
  readonly problems: string[];
  readonly receivedAt: Instant;
  readonly wanted: Wanted;
}

/** What is read besides calls. */
export interface Wanted {
  /** False: the field `messages` is ignored with a word, as every other one. */
  readonly messages: boolean;
}

/**
 * Translates one webhook body: all entries, all changes, all calls. Only user-initiated calls become events of the
 * engine, and messages become drafts where they are wanted; the rest is ignored with a word, so that nothing disappears silently. Never throws, whatever the JSON.
 *
 * @param receivedAt stands in for a timestamp that is missing, and no event is younger: Meta's clock may be ahead of ours.
 */
export function readWebhook(body: Buffer, receivedAt: Instant, wanted: Wanted = { messages: false }): WebhookReading {
  if (body.length > MAX_WEBHOOK_BYTES) return unreadable(`the body is longer than ${MAX_WEBHOOK_BYTES} bytes`);
  if (isTooDeep(body)) return unreadable(`the body nests deeper than ${MAX_JSON_DEPTH} levels`);
  const document = parseJson(body.toString("utf8"));
  if (!isObject(document)) return unreadable("the body is no JSON object");

  const notes: Notes = { events: [], messages: [], problems: [], receivedAt, wanted };
  if (document["object"] !== "whatsapp_business_account") ignore(notes, `object ${wordAt(document, "object")}`);
  else {
    const entries = objectsIn(document["entry"]);
    if (entries.length === 0) notes.problems.push("entry: is empty");
    for (const [index, entry] of entries.entries()) readEntry(notes, entry, `entry[${index}]`);
  }
  const updates = Math.max(notes.events.length, notes.messages.length);
  if (updates > MAX_WEBHOOK_EVENTS) notes.problems.push(`${updates} updates, only ${MAX_WEBHOOK_EVENTS} are taken`);
  return {
    events: notes.events.slice(0, MAX_WEBHOOK_EVENTS),
    messages: notes.messages.slice(0, MAX_WEBHOOK_EVENTS),
    problems: notes.problems.slice(0, MAX_PROBLEMS),
    unreadable: false,
  };
}

function unreadable(problem: string): WebhookReading {
  return { events: [], messages: [], problems: [problem], unreadable: true };
}

function ignore(notes: Notes, what: string, wacid?: string): void {
  notes.events.push({ type: "ignored", what, ...(wacid === undefined ? {} : { wacid }) });
}

/** A word of Meta's for logs and counters: short, and without anything that a person typed. */
function wordAt(owner: Json, key: string): string {
  const text = textAt(owner, key, 64);
  return text !== undefined && /^[A-Za-z_]{1,64}$/.test(text) ? text : "unreadable";
}

function readEntry(notes: Notes, entry: Json, path: string): void {
  const changes = objectsIn(entry["changes"]);
  if (changes.length === 0) notes.problems.push(`${path}.changes: is empty`);
  for (const [index, change] of changes.entries()) {
    const here = `${path}.changes[${index}]`;
    const value = objectAt(change, "value");
    const field = change["field"];
    const asked = notes.wanted.messages && typeof field === "string" && MESSAGE_FIELDS.has(field);
    if (field !== "calls" && !asked) ignore(notes, `field ${wordAt(change, "field")}`);
    else if (value === undefined) notes.problems.push(`${here}.value: is no object`);
    else if (asked) takeMessages(notes, value, `${here}.value`);
    else readValue(notes, value, `${here}.value`);
  }
}

function takeMessages(notes: Notes, value: Json, path: string): void {
  const { events, problems, ignored } = readMessages({ value, path, receivedAt: notes.receivedAt });
  notes.messages.push(...events);
  notes.problems.push(...problems);
  for (const what of ignored) ignore(notes, what);
}

function readValue(notes: Notes, value: Json, path: string): void {
  const calls = objectsIn(value["calls"]);
  const statuses = objectsIn(value["statuses"]);
  for (const status of statuses)
    ignore(notes, `status ${wordAt(status, "status")}`, textAt(status, "id", MAX_WACID_LENGTH));
  for (const [index, call] of calls.entries()) readCall(notes, value, call, `${path}.calls[${index}]`);
  if (calls.length > 0 || statuses.length > 0) return;
  // An error without a call: a number that cannot pay its calls (131044) is told so.
  const codes = objectsIn(value["errors"]).map(({ code }) => (typeof code === "number" ? code : "unreadable"));
  ignore(notes, codes.length > 0 ? `errors ${codes.slice(0, 5).join(" ")}` : "empty calls");
  if (codes.length > 0) notes.problems.push(`${path}: Meta reports errors ${codes.slice(0, 5).join(" ")}`);
}

function readCall(notes: Notes, value: Json, call: Json, path: string): void {
  const { receivedAt } = notes;
  const wacid = textAt(call, "id", MAX_WACID_LENGTH + 1);
  const channelId = textAt(objectAt(value, "metadata"), "phone_number_id", 64);
  if (wacid === undefined || wacid.length > MAX_WACID_LENGTH || /\s/.test(wacid)) {
    notes.problems.push(`${path}.id: is missing or unusable`);
    return;
  }
  // The id becomes part of a Graph address.
  if (channelId === undefined || !/^\d{1,32}$/.test(channelId)) {
    notes.problems.push(`${path}: metadata.phone_number_id is missing or unusable`);
    return;
  }
  const event = textAt(call, "event", 64)?.toLowerCase();
  const direction = textAt(call, "direction", 32)?.toUpperCase();
  const entry = { value, call, wacid, channelId, receivedAt };
  if (event !== "connect" && event !== "terminate") ignore(notes, `event ${wordAt(call, "event")}`, wacid);
  else if (direction === "BUSINESS_INITIATED") ignore(notes, `business-initiated ${event}`, wacid);
  else if (event === "terminate") notes.events.push(readTerminate(entry));
  else {
    const offer = readConnect(entry);
    if (typeof offer === "string") ignore(notes, offer, wacid);
    else notes.events.push({ type: "offer", offer });
  }
}
