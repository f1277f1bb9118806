import Type from "typebox";
import type { Message } from "#core/message/message.ts";
import type { Conversation, InboxPort } from "#router/ports.ts";
import type { RouterServicePort } from "#router/services.ts";
import type { App } from "./app.ts";
import { contentOf, outgoingContent } from "./content-schema.ts";
import { refusals } from "./errors.ts";
import {
  found,
  granted,
  idParams,
  iso,
  jsonObject,
  pageOf,
  pageQuery,
  pageSchema,
  pageView,
  present,
  shown,
  time,
  uuid,
} from "./wire.ts";

export interface ConversationsParts {
  readonly inbox: InboxPort;
  readonly service: RouterServicePort;
}

const identitySchema = Type.Object({ kind: Type.String(), value: Type.String(), address: Type.String() });

const conversationSchema = shown(
  {
    id: Type.String(),
    channel: Type.String({ description: "Id of the channel, as in /v1/channels." }),
    provider: Type.String(),
    channel_id: Type.String(),
    contact: shown(
      { id: Type.String(), name: Type.Optional(Type.String()), identities: Type.Array(identitySchema) },
      "Who it is with.",
    ),
    state: Type.String({ description: "open or closed." }),
    unread: Type.Integer({ description: "Messages that came in since it was last read." }),
    assignee: Type.Optional(Type.String()),
    last_message: Type.Optional(
      Type.Object({ at: time(""), direction: Type.String(), preview: Type.String() }, { description: "The latest." }),
    ),
    last_inbound_at: Type.Optional(time("The window of 24 h for free messages runs from it.")),
  },
  "What is said with one contact over one channel.",
);

const messageSchema = shown(
  {
    id: Type.String(),
    conversation_id: Type.String(),
    direction: Type.String({ description: "in or out." }),
    content: jsonObject("What it says; `type` tells the kind."),
    state: Type.String({ description: "queued, sent, delivered, read, failed; received." }),
    error: Type.Optional(Type.Object({ code: Type.String(), message: Type.String() })),
    author: Type.Optional(Type.String()),
    event_id: Type.Optional(Type.String()),
    reply_to: Type.Optional(Type.String({ description: "The provider's id of the message that this one answers." })),
    provider_message_id: Type.Optional(Type.String()),
    at: time(""),
    sent_at: Type.Optional(time("")),
    delivered_at: Type.Optional(time("")),
    read_at: Type.Optional(time("")),
  },
  "A message.",
);

const params = idParams("conversation");
const common = { tags: ["conversations"] };
const failures = refusals(400, 401, 403, 404, 409, 429, 500, 503);
const replyTo = Type.Optional(
  Type.String({ minLength: 1, maxLength: 512, description: "`provider_message_id` of the message that is answered." }),
);
const headers = Type.Object({
  "idempotency-key": Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: "The same again sends nothing." }),
  ),
});

const schemas = {
  list: {
    ...common,
    summary: "Conversations, the latest first",
    operationId: "listConversations",
    querystring: pageQuery({
      state: Type.Optional(Type.Enum(["open", "closed"])),
      unread: Type.Optional(Type.Boolean({ description: "Only those with unread messages." })),
      assignee: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })),
      channel: Type.Optional(uuid("Only of this channel.")),
    }),
    response: { 200: pageSchema("conversations", conversationSchema), ...failures },
  },
  show: {
    ...common,
    summary: "One conversation",
    operationId: "getConversation",
    params,
    response: { 200: conversationSchema, ...failures },
  },
  messages: {
    ...common,
    summary: "Messages of a conversation, newest first",
    operationId: "listMessages",
    params,
    querystring: pageQuery({}),
    response: { 200: pageSchema("messages", messageSchema), ...failures },
  },
  reply: {
    ...common,
    summary: "Reply in a conversation",
    description: "The answer comes when the message is stored and queued; acks move its state.",
    operationId: "reply",
    params,
    headers,
    body: Type.Object({ content: outgoingContent, reply_to: replyTo }, { additionalProperties: false }),
    response: { 202: messageSchema, ...failures },
  },
  send: {
    ...common,
    summary: "Write to a phone number",
    operationId: "sendMessage",
    headers,
    body: Type.Object(
      {
        phone: Type.String({ minLength: 7, maxLength: 32, description: "In any usual form, with the country code." }),
        channel: uuid("Channel to send over."),
        content: outgoingContent,
      },
      { additionalProperties: false },
    ),
    response: { 202: messageSchema, ...failures },
  },
  change: {
    ...common,
    summary: "Mark as read, assign, close or open",
    operationId: "changeConversation",
    params,
    body: Type.Object(
      {
        read: Type.Optional(Type.Literal(true)),
        assignee: Type.Optional(
          Type.Unsafe<string | null>({
            type: ["string", "null"],
            minLength: 1,
            maxLength: 100,
            description: "Null: nobody.",
          }),
        ),
        state: Type.Optional(Type.Enum(["open", "closed"])),
      },
      { additionalProperties: false, minProperties: 1 },
    ),
    response: { 200: conversationSchema, ...failures },
  },
} as const;

/** `/v1/conversations`: the inbox; and `POST /v1/messages` for the first word to somebody. */
export function conversationRoutes(app: App, { inbox, service }: ConversationsParts): void {
  const known = async (tenantId: string, id: string) => found("conversation", await inbox.conversation(tenantId, id));

  app.get("/v1/conversations", { schema: schemas.list }, async ({ tenantId, query }) => {
    const { state, unread, assignee, channel } = query;
    const filter = present({ state, unreadOnly: unread, assignee, channel });
    const page = await inbox.conversations({ ...pageOf(tenantId, query), ...filter });
    return pageView("conversations", page, conversationView);
  });

  app.get("/v1/conversations/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    conversationView(await known(tenantId, id)),
  );

  app.get("/v1/conversations/:id/messages", { schema: schemas.messages }, async ({ tenantId, params, query }) => {
    await known(tenantId, params.id);
    const page = await inbox.messages({ ...pageOf(tenantId, query), conversationId: params.id });
    return pageView("messages", page, messageView);
  });

  app.post("/v1/conversations/:id/messages", { schema: schemas.reply }, async (request, reply) => {
    const { tenantId, params, body, keyName: by } = request;
    const content = contentOf(body.content, "content");
    await known(tenantId, params.id);
    const more = present({ replyTo: body.reply_to, idempotencyKey: request.headers["idempotency-key"] });
    const outcome = await service.send({ tenantId, to: { conversationId: params.id }, content, by, ...more });
    return reply.code(202).send(messageView(granted(outcome)));
  });

  app.post("/v1/messages", { schema: schemas.send }, async (request, reply) => {
    const { tenantId, body, keyName: by } = request;
    const { phone, channel } = body;
    const content = contentOf(body.content, "content");
    const more = present({ idempotencyKey: request.headers["idempotency-key"] });
    const outcome = await service.send({ tenantId, to: { phone, channel }, content, by, ...more });
    return reply.code(202).send(messageView(granted(outcome)));
  });

  app.patch("/v1/conversations/:id", { schema: schemas.change }, async ({ tenantId, params: { id }, body }) =>
    conversationView(found("conversation", await inbox.change(tenantId, id, present(body)))),
  );
}

function conversationView(conversation: Conversation) {
  const { contact, lastMessage, lastInboundAt } = conversation;
  return present({
    id: conversation.id,
    channel: conversation.channel,
    provider: conversation.provider,
    channel_id: conversation.channelId,
    contact: present({ id: contact.id, name: contact.name, identities: contact.identities.map((one) => ({ ...one })) }),
    state: conversation.state,
    unread: conversation.unread,
    assignee: conversation.assignee,
    last_message: lastMessage && { ...lastMessage, at: iso(lastMessage.at) },
    last_inbound_at: lastInboundAt === undefined ? undefined : iso(lastInboundAt),
  });
}

export function messageView(message: Message) {
  const when = (at: number | undefined) => (at === undefined ? undefined : iso(at));
  return present({
    id: message.id,
    conversation_id: message.conversationId,
    direction: message.direction,
    content: { ...message.content },
    state: message.state,
    error: message.error && { ...message.error },
    author: message.author,
    event_id: message.eventId,
    reply_to: message.replyTo,
    provider_message_id: message.providerMessageId,
    at: iso(message.at),
    sent_at: when(message.sentAt),
    delivered_at: when(message.deliveredAt),
    read_at: when(message.readAt),
  });
}
