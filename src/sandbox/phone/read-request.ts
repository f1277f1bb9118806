import { isObject, parseJson } from "#core/json-read.ts";
import type { CallRequest, ChatRequest, PhoneRequest } from "./protocol.ts";

/** A message of a phone, checked; undefined when it is none. */
export function readRequest(text: string): PhoneRequest | undefined {
  const value = parseJson(text);
  if (!isObject(value)) return undefined;
  return callRequest(value) ?? chatRequest(value);
}

export function isChatRequest(request: PhoneRequest): request is ChatRequest {
  return chatTypes.has(request.type);
}

const chatTypes: ReadonlySet<string> = new Set<ChatRequest["type"]>(["scan", "unlink", "say", "look"]);

function callRequest({ type, number, keys, sdp, digits }: Readonly<Record<string, unknown>>): CallRequest | undefined {
  if (type === "call" && typeof number === "string")
    return { type, number, keys: keys === "server" ? "server" : "client" };
  if (type === "answer" && typeof sdp === "string") return { type, sdp };
  if (type === "digits" && typeof digits === "string") return { type, digits };
  return type === "hang_up" ? { type } : undefined;
}

function chatRequest({ type, channel, text }: Readonly<Record<string, unknown>>): ChatRequest | undefined {
  if (type === "look" && channel === undefined) return { type };
  if (typeof channel !== "string") return undefined;
  if (type === "scan" || type === "unlink" || type === "look") return { type, channel };
  return type === "say" && typeof text === "string" ? { type, channel, text } : undefined;
}
