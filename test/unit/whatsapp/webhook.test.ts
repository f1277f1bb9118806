import { expect, test } from "vitest";
import type { MetaCallEvent } from "#engine/ports.ts";
import { seededRandom } from "#sandbox/random.ts";
import {
  body,
  callsChange,
  callWebhook,
  channelId,
  connect,
  contact,
  mediaError,
  metadata,
  offeredAt,
  terminate,
  wacid,
  webhook,
} from "#test/support/fixtures/webhooks/webhooks.ts";
import { MAX_WEBHOOK_BYTES, MAX_WEBHOOK_EVENTS, readWebhook } from "#whatsapp/webhook.ts";

const receivedAt = offeredAt + 40_000;

function eventsOf(document: unknown): readonly MetaCallEvent[] {
  const { events, problems } = readWebhook(body(document), receivedAt);
  expect(problems).toEqual([]);
  return events;
}

const offer = {
  wacid,
  channelId,
  caller: { number: "5511987654321", userId: contact.user_id, profileName: "Ana Ferré", username: "ana.s" },
  calledNumber: "15551440000",
  sdp: connect.session.sdp,
  offeredAt,
};

test("a user-initiated connect is an offer", () => {
  const payloads = { cta_payload: "order 12", deeplink_payload: "shop" };
  expect(eventsOf(callWebhook({ ...connect, ...payloads }))).toEqual([
    { type: "offer", offer: { ...offer, ctaPayload: "order 12", deeplinkPayload: "shop" } },
  ]);
});

const without = (owner: object, ...keys: readonly string[]) =>
  Object.fromEntries(Object.entries(owner).filter(([key]) => !keys.includes(key)));

const { sdp } = connect.session;
test.each<[string, object, object]>([
  ["direction in lower case", callWebhook({ ...connect, direction: "user_initiated" }), offer],
  ["no direction but an offer", callWebhook(without(connect, "direction")), offer],
  ["no sdp_type but a direction", callWebhook({ ...connect, session: { sdp } }), offer],
  ["sdp_type in capitals", callWebhook({ ...connect, session: { sdp, sdp_type: "OFFER" } }), offer],
  ["the event in capitals", callWebhook({ ...connect, event: "CONNECT" }), offer],
  ["a number as timestamp", callWebhook({ ...connect, timestamp: 1760681506 }), offer],
  ["a timestamp in milliseconds", callWebhook({ ...connect, timestamp: "1760681506000" }), offer],
  ["plus signs", callWebhook({ ...connect, from: "+5511987654321", to: "+1 (555) 144-0000" }), offer],
  ["unknown fields", callWebhook({ ...connect, mood: { of: ["the", "day"] } }), offer],
  ["from and to the wrong way round", callWebhook({ ...connect, from: connect.to, to: connect.from }), offer],
  ["no to", callWebhook(without(connect, "to")), offer],
  ["no from but a contact", callWebhook(without(connect, "from")), offer],
  ["one object for a list", callWebhook(connect, { contacts: contact }), offer],
  [
    "the legacy JSON inside a string",
    callWebhook({ ...without(connect, "session"), connection: { webrtc: { sdp: JSON.stringify(connect.session) } } }),
    offer,
  ],
  [
    "the legacy place with plain SDP",
    callWebhook({ ...without(connect, "session"), connection: { webrtc: { sdp } } }),
    offer,
  ],
  [
    "the right one of two contacts",
    callWebhook(connect, { contacts: [{ wa_id: "1", profile: { name: "Bob" } }, contact] }),
    offer,
  ],
  [
    "contacts of others only",
    callWebhook(connect, { contacts: [{ wa_id: "1", profile: { name: "Bob" } }, { wa_id: "2" }] }),
    { ...offer, caller: { number: "5511987654321", userId: contact.user_id } },
  ],
  [
    "a BSUID only",
    callWebhook(without(connect, "from"), { contacts: [without(contact, "wa_id")] }),
    { ...offer, caller: without(offer.caller, "number") },
  ],
  ["nothing about the caller", callWebhook(without(connect, "from", "from_user_id"), {}), { ...offer, caller: {} }],
  [
    "a timestamp of tomorrow",
    callWebhook({ ...connect, timestamp: "1760767906" }),
    { ...offer, offeredAt: receivedAt },
  ],
  ["no timestamp", callWebhook(without(connect, "timestamp")), { ...offer, offeredAt: receivedAt }],
  ["a timestamp that is none", callWebhook({ ...connect, timestamp: "now" }), { ...offer, offeredAt: receivedAt }],
  [
    "line ends in what goes into SIP headers",
    callWebhook({ ...connect, cta_payload: "a\r\nVia: b\u0000c" }),
    { ...offer, ctaPayload: "a Via: b c" },
  ],
  [
    "half a surrogate pair, which Postgres refuses",
    callWebhook({ ...connect, cta_payload: "a\ud83d" }),
    { ...offer, ctaPayload: "a\ufffd" },
  ],
])("an offer with %s", (_, document, expected) => {
  expect(eventsOf(document)).toEqual([{ type: "offer", offer: expected }]);
});

const ended = { type: "terminate", wacid, channelId, at: 1_760_681_540_000 };
const pickedUp = { startTime: 1_760_681_514_000, endTime: 1_760_681_534_000, durationS: 20 };
const media = { errorCode: 138021, errorTitle: "Media receive timeout" };
const unanswered = without(terminate, "start_time", "end_time", "duration");

test.each<[string, object, object]>([
  ["a call that was picked up", callWebhook(terminate), { status: "COMPLETED", ...pickedUp }],
  ["a call that was not", callWebhook(unanswered), { status: "COMPLETED" }],
  ["a status in mixed case", callWebhook({ ...unanswered, status: "Failed" }), { status: "FAILED" }],
  ["a list of one status", callWebhook({ ...unanswered, status: ["completed"] }), { status: "COMPLETED" }],
  [
    "the list of the documentation",
    callWebhook({ ...unanswered, status: ["COMPLETED", "FAILED"] }),
    { status: "UNKNOWN" },
  ],
  ["an unheard-of status", callWebhook({ ...unanswered, status: { toString: 1 } }), { status: "UNKNOWN" }],
  ["no direction", callWebhook(without(unanswered, "direction")), { status: "COMPLETED" }],
  [
    "errors in the call",
    callWebhook({ ...unanswered, status: "FAILED", errors: [mediaError] }),
    { status: "FAILED", ...media },
  ],
  [
    "errors around the call",
    callWebhook({ ...unanswered, status: "FAILED" }, { errors: [mediaError] }),
    { status: "FAILED", ...media },
  ],
  [
    "errors in both places",
    callWebhook({ ...unanswered, status: "FAILED", errors: [mediaError] }, { errors: [mediaError] }),
    { status: "FAILED", ...media },
  ],
  [
    "a code as text, no title and no status",
    callWebhook({ ...without(unanswered, "status"), errors: [{ code: "138021", message: "Late" }] }),
    { status: "FAILED", errorCode: 138021, errorTitle: "Late" },
  ],
  ["a duration that nobody can talk", callWebhook({ ...unanswered, duration: 1e12 }), { status: "COMPLETED" }],
])("a terminate with %s", (_, document, summary) => {
  expect(eventsOf(document)).toEqual([{ ...ended, summary }]);
});

test("of two calls and one contact, the one that it does not name has no name", () => {
  const other = { ...without(connect, "from_user_id"), id: "wacid.b", from: "5521999990000" };
  const callers = eventsOf(webhook(callsChange({ calls: [connect, other], contacts: [contact] }))).map((event) =>
    event.type === "offer" ? event.offer.caller : event,
  );
  expect(callers).toEqual([offer.caller, { number: "5521999990000" }]);
});

test("errors around two calls belong to neither", () => {
  const two = webhook(callsChange({ calls: [unanswered, { ...unanswered, id: "wacid.b" }], errors: [mediaError] }));
  expect(eventsOf(two)).toEqual([
    { ...ended, summary: { status: "COMPLETED" } },
    { ...ended, wacid: "wacid.b", summary: { status: "COMPLETED" } },
  ]);
});

const status = { id: wacid, type: "call", status: "RINGING", timestamp: "1760681507", recipient_id: "5511987654321" };
test.each<[string, unknown, string]>([
  ["messages", webhook({ field: "messages", value: { metadata, messages: [{ id: "wamid.1" }] } }), "field messages"],
  ["account_update", webhook({ field: "account_update", value: {} }), "field account_update"],
  ["a field that is no word", webhook({ field: "5511 98765", value: {} }), "field unreadable"],
  ["another object", { object: "page", entry: [] }, "object page"],
  ["statuses", webhook(callsChange({ statuses: [status] })), "status RINGING"],
  [
    "a business-initiated connect",
    callWebhook({ ...connect, direction: "BUSINESS_INITIATED" }),
    "business-initiated connect",
  ],
  [
    "a connect with an answer",
    callWebhook({ ...without(connect, "direction"), session: { sdp, sdp_type: "answer" } }),
    "connect with an answer",
  ],
  [
    "a business-initiated terminate",
    callWebhook({ ...terminate, direction: "BUSINESS_INITIATED" }),
    "business-initiated terminate",
  ],
  ["a connect of a number in SIP mode", callWebhook(without(connect, "session")), "connect without sdp"],
  [
    "a connect whose SDP is none",
    callWebhook({ ...connect, session: { sdp_type: "offer", sdp: "hello" } }),
    "connect without sdp",
  ],
  ["a recording", callWebhook({ id: wacid, event: "call_recording_available" }), "event call_recording_available"],
  [
    "a transcription",
    callWebhook({ id: wacid, event: "call_transcription_available" }),
    "event call_transcription_available",
  ],
  ["an unknown event", callWebhook({ id: wacid, event: "levitate" }), "event levitate"],
  ["no event", callWebhook({ id: wacid }), "event unreadable"],
  ["an empty calls", webhook(callsChange({})), "empty calls"],
])("%s is ignored with a word", (_, document, what) => {
  expect(eventsOf(document)).toMatchObject([{ type: "ignored", what }]);
});

test("takes all entries, changes and calls, in their order", () => {
  const call = (id: string) => ({ ...terminate, id });
  const document = {
    object: "whatsapp_business_account",
    entry: [
      { id: "1", changes: [callsChange({ calls: [call("a"), call("b")] }), { field: "messages", value: {} }] },
      { id: "2", changes: [callsChange({ calls: [call("c")], statuses: [status] })] },
    ],
  };
  expect(eventsOf(document).map((event) => (event.type === "terminate" ? event.wacid : event.type))).toEqual([
    "a",
    "b",
    "ignored",
    "ignored",
    "c",
  ]);
});

test.each<[string, unknown, RegExp]>([
  ["no entry", { object: "whatsapp_business_account" }, /^entry: is empty/],
  ["no changes", { object: "whatsapp_business_account", entry: [{}] }, /^entry\[0\]\.changes: is empty/],
  ["no value", webhook({ field: "calls" }), /changes\[0\]\.value: is no object/],
  ["no id", callWebhook(without(connect, "id")), /calls\[0\]\.id/],
  ["an id too long", callWebhook({ ...connect, id: `wacid.${"A".repeat(600)}` }), /calls\[0\]\.id/],
  ["an id with a space", callWebhook({ ...connect, id: "wacid. x" }), /calls\[0\]\.id/],
  ["no phone number id", callWebhook(connect, { metadata: {} }), /phone_number_id/],
  [
    "a phone number id that is a path",
    callWebhook(connect, { metadata: { phone_number_id: "../1" } }),
    /phone_number_id/,
  ],
  ["errors without a call", webhook(callsChange({ errors: [{ code: 131044 }] })), /Meta reports errors 131044/],
])("names what is wrong: %s", (_, document, problem) => {
  const { events, problems, unreadable } = readWebhook(body(document), receivedAt);
  expect(problems).toEqual([expect.stringMatching(problem)]);
  expect(events.filter(({ type }) => type !== "ignored")).toEqual([]);
  expect(unreadable).toBe(false);
});

test.each<[string, Buffer]>([
  ["nothing", Buffer.alloc(0)],
  ["no JSON", Buffer.from("{")],
  ["a list", Buffer.from("[]")],
  ["null", Buffer.from("null")],
  ["bytes", Buffer.from([0xff, 0xfe, 0x00])],
  ["a tower of brackets", Buffer.from("[".repeat(1_000_000))],
  ["a tower of objects", Buffer.from(`${'{"a":'.repeat(70)}1${"}".repeat(70)}`)],
  ["too many bytes", Buffer.alloc(MAX_WEBHOOK_BYTES + 1, " ")],
])("%s is unreadable", (_, bytes) => {
  expect(readWebhook(bytes, receivedAt)).toMatchObject({
    events: [],
    unreadable: true,
    problems: [expect.any(String)],
  });
});

test("brackets inside of texts do not count as nesting", () => {
  expect(eventsOf(callWebhook({ ...connect, cta_payload: '[[[["\\'.repeat(100) }))).toHaveLength(1);
});

test("has limits for events and problems", () => {
  const many = webhook(callsChange({ calls: Array.from({ length: MAX_WEBHOOK_EVENTS + 5 }, () => terminate) }));
  const { events, problems } = readWebhook(body(many), receivedAt);
  expect([events.length, problems.length]).toEqual([MAX_WEBHOOK_EVENTS, 1]);
  const wrong = webhook(callsChange({ calls: Array.from({ length: 100 }, () => ({ event: "connect" })) }));
  expect(readWebhook(body(wrong), receivedAt).problems).toHaveLength(20);
});

/** Whole numbers below a bound, from a seed. */
function seeded(seed: number): (below: number) => number {
  const random = seededRandom(seed);
  return (below) => Math.floor(random() * below);
}

const oddities: readonly unknown[] = [
  null,
  0,
  -1,
  1e300,
  "",
  "x".repeat(5_000),
  "\u0000\ud800",
  [],
  {},
  [[]],
  [null],
  true,
  { toString: 1, valueOf: 2 },
  { length: 1e9 },
  "__proto__",
];

/** The same document with some of its parts replaced, doubled or left out. */
function mutate(value: unknown, random: (below: number) => number): unknown {
  if (random(12) === 0) return oddities[random(oddities.length)];
  if (Array.isArray(value)) {
    const items = value.map((item) => mutate(item, random));
    return random(4) === 0 ? [...items, ...items] : items;
  }
  if (typeof value !== "object" || value === null) return value;
  const kept = Object.entries(value).filter(() => random(20) !== 0);
  return Object.fromEntries(kept.map(([key, item]) => [random(30) === 0 ? "__proto__" : key, mutate(item, random)]));
}

function isSound(event: MetaCallEvent): boolean {
  const sane = (text: string | undefined, most: number) =>
    text === undefined || (text.length <= most && text.isWellFormed() && !/\p{Cc}/u.test(text));
  const past = (instant: number | undefined) =>
    instant === undefined || (Number.isSafeInteger(instant) && instant > 0 && instant <= receivedAt);
  if (event.type === "ignored") return sane(event.what, 100) && sane(event.wacid, 512);
  if (event.type === "terminate") {
    const { status: word, startTime, endTime, durationS, errorCode, errorTitle } = event.summary;
    return (
      /^\S{1,512}$/.test(event.wacid) &&
      /^\d{1,32}$/.test(event.channelId) &&
      past(event.at) &&
      past(startTime) &&
      past(endTime) &&
      ["COMPLETED", "FAILED", "UNKNOWN"].includes(word) &&
      [durationS, errorCode].every((number) => number === undefined || Number.isSafeInteger(number)) &&
      sane(errorTitle, 200)
    );
  }
  const {
    caller,
    calledNumber,
    channelId: channel,
    wacid: id,
    ctaPayload,
    deeplinkPayload,
    offeredAt: at,
  } = event.offer;
  return (
    /^\S{1,512}$/.test(id) &&
    /^\d{1,32}$/.test(channel) &&
    /^\d{1,32}$/.test(calledNumber) &&
    /^(\d{1,20})?$/.test(caller.number ?? "") &&
    [caller.userId, caller.profileName, caller.username].every((text) => sane(text, 256)) &&
    [ctaPayload, deeplinkPayload].every((text) => sane(text, 512)) &&
    event.offer.sdp.startsWith("v=0") &&
    past(at)
  );
}

test("10 000 mutated webhooks never throw and never yield an unsound event", () => {
  const random = seeded(2026);
  const originals = [
    callWebhook({ ...connect, cta_payload: "a", deeplink_payload: "b" }),
    callWebhook({ ...terminate, errors: [mediaError] }, { errors: [mediaError], contacts: [contact] }),
    webhook(callsChange({ statuses: [status] }), callsChange({ calls: [connect, terminate] })),
    callWebhook({ ...without(connect, "session"), connection: { webrtc: { sdp: JSON.stringify(connect.session) } } }),
  ];
  const seen: Record<string, number> = { offer: 0, terminate: 0, ignored: 0, unreadable: 0 };
  for (let index = 0; index < 10_000; index++) {
    let bytes = body(mutate(originals[index % originals.length], random));
    // One in four is broken as bytes, too: cut, or with a byte changed.
    if (random(4) === 0) bytes = bytes.subarray(0, random(bytes.length));
    if (random(4) === 0 && bytes.length > 0) bytes[random(bytes.length)] = random(256);
    const { events, unreadable } = readWebhook(bytes, receivedAt);
    if (unreadable) seen["unreadable"] = (seen["unreadable"] ?? 0) + 1;
    for (const event of events) {
      seen[event.type] = (seen[event.type] ?? 0) + 1;
      if (!isSound(event)) expect.fail(`${JSON.stringify(event)} of ${bytes.toString()}`);
    }
  }
  for (const [kind, count] of Object.entries(seen)) expect(count, kind).toBeGreaterThan(500);
});
