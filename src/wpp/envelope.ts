import type { Json } from "#core/json-read.ts";
import { isObject, objectAt, objectsIn, textAt } from "#core/json-read.ts";
import type { GatewayEvent } from "./words.ts";
import { eventWord } from "./words.ts";

/** One happening in a webhook: what kind, on which channel, and the object that tells it. */
export interface Envelope {
  readonly kind: GatewayEvent | undefined;
  /** As the body says it; the path, where it names one, counts instead. */
  readonly channel: string | undefined;
  readonly data: Json;
  /** What stands around `data`: it may have the time and the channel's state. */
  readonly around: Json;
}

/** More than any gateway batches. */
export const MAX_ENVELOPES = 500;
const MAX_CHANNEL_LENGTH = 128;

/**
 * Takes a body apart. Two styles are in the field, and lists of both:
 *
 *     {"event": "message", "channel": "clinic", "data": {…}}        plain; also `payload`, and a list in its place
 *     {"event": "onmessage", "session": "clinic", "id": …, …}       WPPConnect: the message and its envelope are one object
 */
export function readEnvelopes(document: unknown): {
  readonly envelopes: readonly Envelope[];
  readonly tooMany: boolean;
} {
  const list = Array.isArray(document)
    ? document
    : isObject(document)
      ? (listAt(document, "events") ?? [document])
      : [];
  const outer = isObject(document) ? document : undefined;
  const envelopes = list.filter(isObject).flatMap((entry) => readEntry(entry, outer));
  return { envelopes: envelopes.slice(0, MAX_ENVELOPES), tooMany: envelopes.length > MAX_ENVELOPES };
}

function listAt(owner: Json, key: string): readonly unknown[] | undefined {
  const value = owner[key];
  return Array.isArray(value) ? value : undefined;
}

function readEntry(entry: Json, outer: Json | undefined): readonly Envelope[] {
  const word = textAt(entry, "event", 64) ?? textAt(entry, "event_type", 64) ?? "";
  const channel = channelAt(entry) ?? channelAt(outer);
  const inner = [entry["data"], entry["payload"]].find((value) => typeof value === "object" && value !== null);
  const kind = eventWord(word);
  return (inner === undefined ? [entry] : objectsIn(inner)).map((data) => ({
    kind,
    channel: channel ?? channelAt(data),
    data,
    around: entry,
  }));
}

/** A text, or an object with an `id`. */
function channelAt(owner: Json | undefined): string | undefined {
  for (const key of ["channel", "channel_id", "channelId", "session", "session_id", "instance"]) {
    const text =
      textAt(owner, key, MAX_CHANNEL_LENGTH + 1) ?? textAt(objectAt(owner, key), "id", MAX_CHANNEL_LENGTH + 1);
    if (text !== undefined && isChannelName(text)) return text;
  }
  return undefined;
}

export function isChannelName(text: string): boolean {
  return text.length <= MAX_CHANNEL_LENGTH && /^[\w.:@+-]+$/.test(text);
}
