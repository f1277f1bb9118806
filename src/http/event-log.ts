import Type, { type Static } from "typebox";
import type { CommunicationEvent, EventId, EventStatus } from "#core/event/event.ts";
import { MAX_PATTERN_LENGTH, TYPE_PATTERN } from "#core/event/type-pattern.ts";
import type { Log } from "#engine/ports.ts";
import type { Effect, EventFilter, EventLogPort, EventTrace } from "#router/ports.ts";
import type { App } from "./app.ts";
import { messageView } from "./conversations.ts";
import { deliveryView } from "./deliveries.ts";
import { refusals } from "./errors.ts";
import { found, iso, jsonObject, pageOf, pageQuery, pageSchema, pageView, present, shown, time } from "./wire.ts";

export interface EventLogParts {
  readonly events: EventLogPort;
  readonly log: Log;
}

const eventStatuses = [
  "received",
  "routed",
  "processed",
  "failed",
  "dead",
  "ignored",
] as const satisfies readonly EventStatus[];

/** Events that one replay takes; a longer span is replayed in several. */
const MAX_REPLAY = 10_000;

const eventIdSchema = Type.String({ pattern: "^evt_[0-9a-fA-F-]{36}$", description: "`evt_` and a UUID." });
const params = Type.Object({ id: eventIdSchema });

const filters = {
  type: Type.Optional(
    Type.String({
      pattern: TYPE_PATTERN,
      maxLength: MAX_PATTERN_LENGTH,
      description: "Event type, with wildcards: billing.invoice.*",
    }),
  ),
  status: Type.Optional(Type.Enum([...eventStatuses])),
  source_system: Type.Optional(Type.String({ pattern: "^[a-z0-9_-]{1,64}$" })),
  channel_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128, description: "The provider's id." })),
  trace_id: Type.Optional(Type.String({ pattern: "^[0-9a-f]{32}$" })),
  conversation_key: Type.Optional(Type.String({ minLength: 1, maxLength: 512 })),
  since: Type.Optional(time("Received at this time or later.")),
  until: Type.Optional(time("Received before this time.")),
};
const filterSchema = Type.Object(filters, { additionalProperties: false });

const eventViewSchema = shown(
  {
    event_id: Type.String(),
    trace_id: Type.String(),
    idempotency_key: Type.String(),
    type: Type.String(),
    source_system: Type.String(),
    external_id: Type.String(),
    status: Type.String({ description: `One of ${eventStatuses.join(", ")}.` }),
    attempts: Type.Integer(),
    conflicts: Type.Integer({ description: "Times that the same key came with another payload." }),
    conversation_key: Type.String(),
    payload_version: Type.Integer(),
    occurred_at: time(""),
    received_at: time(""),
  },
  "An event.",
);

const traceSchema = Type.Object(
  {
    event: eventViewSchema,
    conflicts: Type.Array(
      shown({ received_at: time(""), payload: jsonObject("") }, "A body that came under the same key."),
    ),
    effects: Type.Array(
      shown({ key: Type.String(), kind: Type.String(), state: Type.String() }, "An action of a rule."),
    ),
    deliveries: Type.Array(shown({ id: Type.String(), state: Type.String() }, "See /v1/deliveries.")),
    messages: Type.Array(shown({ id: Type.String(), state: Type.String() }, "See /v1/conversations.")),
  },
  { description: "Event, rule, action and delivery." },
);

const common = { tags: ["events"] };
const failures = refusals(400, 401, 403, 404, 429, 500, 503);
const repeat = Type.Optional(
  Type.Boolean({ description: "Also do again what succeeded: messages are sent twice. Default false." }),
);
const replayed = Type.Object(
  { replayed: Type.Integer({ description: "Events." }) },
  { description: "They are queued." },
);

const schemas = {
  list: {
    ...common,
    summary: "Events, newest first",
    operationId: "listCommunicationEvents",
    querystring: pageQuery(filters),
    response: { 200: pageSchema("events", eventViewSchema), ...failures },
  },
  show: {
    ...common,
    summary: "One event with everything that came of it",
    operationId: "getEventTrace",
    params,
    response: { 200: traceSchema, ...failures },
  },
  replayOne: {
    ...common,
    summary: "Route an event again",
    description: "Effects that succeeded stay as they are, those that are dead are tried again.",
    operationId: "replayEvent",
    params,
    body: Type.Object({ repeat }, { additionalProperties: false }),
    response: { 202: replayed, ...failures },
  },
  replay: {
    ...common,
    summary: "Route events again: a list of them, or those of a filter",
    operationId: "replayEvents",
    body: Type.Object(
      {
        event_ids: Type.Optional(Type.Array(eventIdSchema, { minItems: 1, maxItems: 1_000 })),
        filter: Type.Optional(filterSchema),
        repeat,
        limit: Type.Optional(
          Type.Integer({ minimum: 1, maximum: MAX_REPLAY, description: "Events at most; 1000 when absent." }),
        ),
      },
      // An empty body would otherwise replay everything.
      { additionalProperties: false, anyOf: [{ required: ["event_ids"] }, { required: ["filter"] }] },
    ),
    response: { 202: replayed, ...failures },
  },
} as const;

const DEFAULT_REPLAY = 1_000;

/** `/v1/event-log`: what happened, what came of it, and doing it again. */
export function eventLogRoutes(app: App, { events, log }: EventLogParts): void {
  app.get("/v1/event-log", { schema: schemas.list }, async ({ tenantId, query }) => {
    const page = await events.list({ ...pageOf(tenantId, query), ...filterOf(query) });
    return pageView("events", page, eventView);
  });

  app.get("/v1/event-log/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    traceView(found("event", await events.trace(tenantId, id as EventId))),
  );

  app.post("/v1/event-log/:id/replay", { schema: schemas.replayOne }, async (request, reply) => {
    const { tenantId, keyName: by, body } = request;
    const id = request.params.id as EventId;
    found("event", await events.get(tenantId, id));
    const count = await events.replay({ tenantId, eventIds: [id], limit: 1, by, ...present(body) });
    log.info({ event_id: id, key_name: by, repeat: body.repeat === true }, "event replayed");
    return reply.code(202).send({ replayed: count });
  });

  app.post("/v1/event-log/replay", { schema: schemas.replay }, async (request, reply) => {
    const { tenantId, keyName: by, body } = request;
    const wanted = present({
      eventIds: body.event_ids as EventId[] | undefined,
      filter: body.filter && filterOf(body.filter),
      repeat: body.repeat,
    });
    const count = await events.replay({ tenantId, by, limit: body.limit ?? DEFAULT_REPLAY, ...wanted });
    log.info({ events: count, key_name: by, repeat: body.repeat === true }, "events replayed");
    return reply.code(202).send({ replayed: count });
  });
}

function filterOf(given: Static<typeof filterSchema>): EventFilter {
  const instant = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));
  return present({
    type: given.type,
    status: given.status,
    sourceSystem: given.source_system,
    channelId: given.channel_id,
    traceId: given.trace_id,
    conversationKey: given.conversation_key,
    since: instant(given.since),
    until: instant(given.until),
  });
}

const when = (at: number | undefined) => (at === undefined ? undefined : iso(at));

function eventView(event: CommunicationEvent) {
  return present({
    event_id: event.eventId,
    trace_id: event.traceId,
    idempotency_key: event.idempotencyKey,
    type: event.type,
    source_system: event.sourceSystem,
    external_id: event.externalId,
    status: event.status,
    attempts: event.attempts,
    last_error: event.lastError,
    conflicts: event.conflicts,
    provider: event.provider,
    channel_id: event.channelId,
    conversation_key: event.conversationKey,
    payload_version: event.payloadVersion,
    occurred_at: iso(event.occurredAt),
    received_at: iso(event.receivedAt),
    routed_at: when(event.routedAt),
    settled_at: when(event.settledAt),
  });
}

function effectView(effect: Effect) {
  return present({
    key: effect.key,
    rule: effect.rule && { ...effect.rule },
    step: effect.step,
    kind: effect.kind,
    state: effect.state,
    attempts: effect.attempts,
    detail: effect.detail,
    response: effect.response,
    error: effect.error,
    planned_at: iso(effect.plannedAt),
    settled_at: when(effect.settledAt),
  });
}

function traceView({ event, conflicts, effects, deliveries, messages }: EventTrace) {
  return {
    event: { ...eventView(event), payload: event.payload, ...(event.raw === undefined ? {} : { raw: event.raw }) },
    conflicts: conflicts.map((one) =>
      present({ received_at: iso(one.receivedAt), payload: { ...one.payload }, raw: one.raw }),
    ),
    effects: effects.map(effectView),
    deliveries: deliveries.map(deliveryView),
    messages: messages.map(messageView),
  };
}
