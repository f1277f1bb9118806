import type { Instant } from "#core/call/call.ts";
import { isMessage } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import type { MessageContent } from "#core/message/content.ts";
import type { InboxAction } from "#core/rule/rule.ts";
import { type About, aboutWhom, isObject, personOf, textOf } from "#router/about.ts";
import type { NewMessage } from "#router/ports.ts";
import { type ActionKind, impossible, type Occasion } from "./action.ts";

type Event = Occasion["event"];

/** The event as a message of the internal chat. The same event again is the same message, by the effect's key. */
export const inboxAction: ActionKind<InboxAction> = {
  check: ({ assignee }) => (assignee === "" ? [{ field: "assignee", message: "must not be empty" }] : []),

  preview: async (action, { event }) => {
    const problem = problemOf(event);
    return { action, ...(problem === undefined ? {} : { problem }) };
  },

  carryOut: async (action, { event, tenantId, key }, { world, live }) => {
    const { provider, channelId } = event;
    const about = aboutWhom(event);
    if (about === undefined || provider === undefined || channelId === undefined)
      return impossible(problemOf(event) ?? "");
    const channel = await world.channels.find(provider, channelId);
    if (channel?.tenantId !== tenantId) return impossible("its channel is not the tenant's");
    const contact = await world.contacts.resolve(tenantId, about.identities, nameToKeep(event, about));
    const { message, duplicate } = await world.inbox.put({
      id: uuidV7(world.clock.now(), world.random()),
      tenantId,
      channel: channel.id,
      contactId: contact.id,
      idem: key,
      eventId: event.eventId,
      ...(action.assignee === undefined ? {} : { assignee: action.assignee }),
      ...messageOf(event),
    });
    if (!duplicate) live.tell({ tenantId, kind: "message", ...idsOf(message) });
    return { state: "done", detail: { conversation_id: message.conversationId, message_id: message.id } };
  },
};

function idsOf(message: { readonly id: string; readonly conversationId: string }) {
  return { conversationId: message.conversationId, messageId: message.id };
}

function problemOf(event: Event): string | undefined {
  if (aboutWhom(event) === undefined) return "the event is about nobody who could be in the inbox";
  return event.provider === undefined || event.channelId === undefined ? "the event came over no channel" : undefined;
}

/** The name of the person written to is not known by what the business phone itself writes. */
function nameToKeep(event: Event, { name }: About): string | undefined {
  return event.payload["from_me"] === true ? undefined : name;
}

type Said = Pick<NewMessage, "direction" | "content" | "state" | "at" | "author" | "providerMessageId" | "replyTo">;

function messageOf({ type, payload, occurredAt, receivedAt }: Event): Said {
  // What is no message, such as a missed call, is shown by its name.
  if (!isMessage(type))
    return {
      direction: "in",
      content: { type: "unsupported", kind: type },
      state: "received",
      at: occurredAt,
      ...author(aboutWhom({ type, payload })?.name),
    };
  const fromMe = payload["from_me"] === true;
  const [messageId, replyTo] = [textOf(payload["message_id"]), textOf(payload["reply_to"])];
  return {
    direction: fromMe ? "out" : "in",
    state: fromMe ? "sent" : "received",
    content: contentOf(payload["content"]),
    at: withinSecond(occurredAt, receivedAt),
    ...author(fromMe ? "phone" : personOf(payload["from"]).name),
    ...(messageId === undefined ? {} : { providerMessageId: messageId }),
    ...(replyTo === undefined ? {} : { replyTo }),
  };
}

/**
 * WhatsApp tells whole seconds. An answer to what was sent half a second ago would stand above it, so what arrives within the
 * second has the time of its arrival, and what arrives later the end of its second.
 */
function withinSecond(occurredAt: Instant, receivedAt: Instant): Instant {
  if (occurredAt % 1_000 !== 0) return occurredAt;
  return Math.max(occurredAt, Math.min(receivedAt, occurredAt + 999));
}

function author(name: string | undefined): { readonly author?: string } {
  return name === undefined ? {} : { author: name };
}

/** Payloads are normalised at the edges; an internal system that says it has a message may send anything. */
function contentOf(json: Event["payload"][string] | undefined): MessageContent {
  if (!isObject(json) || typeof json["type"] !== "string") return { type: "unsupported", kind: "unknown" };
  return json as MessageContent;
}
