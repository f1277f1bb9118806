import type { Identity } from "#core/contact/identity.ts";
import { groupIdentity, identitiesOf } from "#core/contact/person.ts";
import { type CommunicationEvent, eventType, isMessage } from "#core/event/event.ts";
import type { Person } from "#core/event/payloads.ts";
import type { Json, JsonObject } from "#core/json.ts";

/** Whom an event is about, and how to reach them. */
export interface About {
  /** Best first. */
  readonly identities: readonly [Identity, ...Identity[]];
  /** Of the person, or of the group. */
  readonly name?: string;
}

/** The person or group at the other end of a message, an ack or a call. Other events are about nobody that we know. */
export function aboutWhom({ type, payload }: Pick<CommunicationEvent, "type" | "payload">): About | undefined {
  if (isMessage(type)) return writerOrGroup(payload);
  if (type === eventType.deliveryAck) return person(personOf(payload["recipient"]));
  if (type.startsWith("call.")) return person(callerOf(payload["caller"]));
  return undefined;
}

/** Texts of a person in a payload; what is no text is not there. */
export function personOf(json: Json | undefined): Person {
  if (!isObject(json)) return {};
  const [phone, lid, bsuid, name] = ["phone", "lid", "bsuid", "name"].map((key) => textOf(json[key]));
  return {
    ...(phone === undefined ? {} : { phone }),
    ...(lid === undefined ? {} : { lid }),
    ...(bsuid === undefined ? {} : { bsuid }),
    ...(name === undefined ? {} : { name }),
  };
}

function writerOrGroup(payload: JsonObject): About | undefined {
  const chat = payload["chat"];
  const groupId = isObject(chat) && chat["kind"] === "group" ? textOf(chat["id"]) : undefined;
  if (groupId === undefined) return person(personOf(payload["from"]));
  const name = isObject(chat) ? textOf(chat["name"]) : undefined;
  return { identities: [groupIdentity(groupId.replace(/@g\.us$/, ""))], ...(name === undefined ? {} : { name }) };
}

function callerOf(json: Json | undefined): Person {
  if (!isObject(json)) return {};
  return personOf({ phone: json["number"] ?? null, bsuid: json["user_id"] ?? null, name: json["name"] ?? null });
}

function person(who: Person): About | undefined {
  const [first, ...others] = identitiesOf(who);
  if (first === undefined) return undefined;
  return { identities: [first, ...others], ...(who.name === undefined ? {} : { name: who.name }) };
}

export function textOf(json: Json | undefined): string | undefined {
  return typeof json === "string" && json !== "" ? json : undefined;
}

export function isObject(json: Json | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}
