import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";
import Type, { type Static } from "typebox";
import { eventId, isEventType, isSourceSystem, MAX_EXTERNAL_ID_LENGTH, type NewEvent } from "#core/event/event.ts";
import { traceId, traceIdOf } from "#core/event/trace.ts";
import { uuidV7 } from "#core/id.ts";
import type { Json, JsonObject } from "#core/json.ts";
import type { Clock } from "#engine/ports.ts";
import type { Accepted, EventIntakePort, TenantPort } from "#router/ports.ts";
import type { App } from "./app.ts";
import { type Authentication, acceptKey, refuseGuessers, requireApiKey } from "./auth.ts";
import { fieldCheck, invalidField } from "./check.ts";
import { ApiError, refusals } from "./errors.ts";
import { jsonObject, present, time, uuid } from "./wire.ts";

export interface EventIntakeParts {
  readonly tenantId: string;
  readonly ingestionSecret?: string;
  readonly intake: EventIntakePort;
  /** Absent: every tenant that is named is believed to be there. */
  readonly tenants?: Pick<TenantPort, "exists">;
  readonly clock: Clock;
}

/** A batch of events, each of some kilobytes. */
const MAX_BODY_BYTES = 1_048_576;
/** Events of one request: what is committed in one statement or a few. */
const MAX_BATCH = 500;
/** Objects and lists in each other. Invoices have five or so; code that walks them is recursive. */
const MAX_DEPTH = 32;
/** Names that ponte's own edges use: nobody else may speak for them. */
const RESERVED_SOURCES: readonly string[] = ["ponte", "wpp_gateway", "cloud_api"];
/** Tenants that are not asked for again; they are never removed. */
const MAX_KNOWN_TENANTS = 10_000;
const SECRET_HEADER = "x-event-ingestion-secret";

export const eventSchema = Type.Object(
  {
    event_type: Type.String({
      pattern: "^[a-z0-9_]+(\\.[a-z0-9_]+)*$",
      maxLength: 128,
      description: "What happened: words joined by dots.",
      examples: ["billing.invoice.overdue"],
    }),
    source_system: Type.String({
      pattern: "^[a-z0-9_-]{1,64}$",
      description: `Who tells it. ${RESERVED_SOURCES.join(", ")} are ponte's own.`,
      examples: ["billing"],
    }),
    external_id: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: MAX_EXTERNAL_ID_LENGTH,
        description:
          "The sender's id of what happened. The same source_system, external_id and event_type again is a duplicate. " +
          "Without it, the header Idempotency-Key (of a single event), payload.event_id or payload.id is taken, and otherwise a " +
          "hash of payload and occurred_at.",
      }),
    ),
    payload: jsonObject("What rules, templates and outgoing webhooks see."),
    payload_version: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 32_767, description: "Version of the payload's shape; 1 when absent." }),
    ),
    occurred_at: Type.Optional(time("When it happened; now when absent.")),
    conversation_key: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 512,
        description: "Events with the same key are worked off in order; without it each stands for itself.",
      }),
    ),
    trace_id: Type.Optional(
      Type.String({
        pattern: "^(?!0{32}$)[0-9a-f]{32}$",
        description: "W3C trace id; without it that of the header traceparent, or a new one.",
      }),
    ),
    channel: Type.Optional(
      Type.Object(
        {
          provider: Type.Enum(["wpp_gateway", "cloud_api"]),
          id: Type.String({ minLength: 1, maxLength: 128, description: "The provider's id of the channel." }),
        },
        { additionalProperties: false, description: "The channel that it is about." },
      ),
    ),
    tenant_id: Type.Optional(uuid("Whose event it is; of an API key always the key's own tenant.")),
  },
  { additionalProperties: false, description: "One event." },
);
type GivenEvent = Static<typeof eventSchema>;

const acceptedSchema = Type.Object({
  event_id: Type.String({ description: "Of the first event with this key, where this one is a duplicate." }),
  trace_id: Type.String(),
  duplicate: Type.Boolean({ description: "It was known already; nothing happens." }),
  conflict: Type.Boolean({ description: "It was known with another payload. This one is kept for people to see." }),
});

const schema = {
  summary: "Internal systems tell what happened",
  description:
    "One event, a list of up to 500, or `{ events: […] }`. Needs an API key, or EVENT_INGESTION_SECRET as " +
    "X-Event-Ingestion-Secret or bearer token. 200 is answered when everything is committed; sending it again is harmless.",
  operationId: "sendEvents",
  tags: ["events"],
  security: [{ bearer: [] }, { header: [] }, { ingestion: [] }],
  headers: Type.Object({
    traceparent: Type.Optional(Type.String({ description: "W3C Trace Context." })),
    "idempotency-key": Type.Optional(Type.String({ description: "External id of a single event that has none." })),
  }),
  body: Type.Union([
    eventSchema,
    Type.Array(eventSchema, { minItems: 1, maxItems: MAX_BATCH }),
    Type.Object({ events: Type.Array(eventSchema, { minItems: 1, maxItems: MAX_BATCH }) }),
  ]),
  response: {
    200: Type.Union([acceptedSchema, Type.Object({ events: Type.Array(acceptedSchema) })], {
      description: "It is committed: one answer for one event, a list in the same order for several.",
    }),
    ...refusals(400, 401, 403, 413, 415, 429, 500, 503),
  },
} as const;

const schemaSchema = {
  summary: "JSON Schema of an event",
  operationId: "eventSchema",
  tags: ["documentation"],
  security: [],
  response: { 200: Type.Record(Type.String(), Type.Unknown(), { description: "A JSON Schema (draft 2020-12)." }) },
};

/** `POST /api/events`, and its schema. */
export function eventIntakeRoutes(app: App, parts: EventIntakeParts, authentication: Authentication): void {
  const check = fieldCheck(eventSchema);
  const refuseUnknownTenants = tenantCheck(parts);
  const published = {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "An event for POST /api/events",
    ...eventSchema,
  };

  app.get("/api/events/schema.json", { schema: schemaSchema }, () => published);

  app.post(
    "/api/events",
    {
      schema,
      bodyLimit: MAX_BODY_BYTES,
      onRequest: letIn(parts, authentication),
      // A choice between shapes cannot name the field that is wrong; each event is checked by itself below.
      validatorCompiler: () => () => true,
    },
    async (request) => {
      const body: unknown = request.body;
      const list = listOf(body);
      if (list === undefined) {
        const event = newEvent(body, "", request, parts, check);
        await refuseUnknownTenants([event], request);
        return answerOf(await parts.intake.accept(event));
      }
      if (list.length === 0 || list.length > MAX_BATCH)
        throw invalidField("Body field", "events", `must hold 1 to ${MAX_BATCH} events`);
      // All are looked at before the first is stored.
      const events = list.map((given, i) => newEvent(given, `events.${i}`, request, parts, check));
      await refuseUnknownTenants(events, request);
      return { events: (await Promise.all(events.map((event) => parts.intake.accept(event)))).map(answerOf) };
    },
  );
}

/** An event of a tenant that does not exist would be stored where nobody ever sees it. */
function tenantCheck({ tenants, tenantId: own }: EventIntakeParts) {
  const known = new Set([own]);
  return async (events: readonly NewEvent[], request: FastifyRequest): Promise<void> => {
    if (tenants === undefined) return;
    for (const { tenantId = own } of events) {
      if (tenantId === request.tenantId || known.has(tenantId)) continue;
      if (!(await tenants.exists(tenantId))) throw invalidField("Body field", "tenant_id", "is no tenant");
      if (known.size >= MAX_KNOWN_TENANTS) known.clear();
      known.add(tenantId);
    }
  };
}

/** With the ingestion secret, or with an API key. */
function letIn({ ingestionSecret, tenantId }: EventIntakeParts, authentication: Authentication) {
  const secret = ingestionSecret === undefined ? undefined : hashOf(ingestionSecret);
  const isSecret = (given: unknown): boolean =>
    secret !== undefined && typeof given === "string" && timingSafeEqual(secret, hashOf(given));
  const withApiKey = requireApiKey(authentication);
  return async (request: FastifyRequest): Promise<void> => {
    refuseGuessers(authentication, request);
    const given = request.headers[SECRET_HEADER];
    const bearer = /^Bearer +(\S+) *$/i.exec(request.headers.authorization ?? "")?.[1];
    if (isSecret(given) || isSecret(bearer)) {
      request.keyName = "ingestion";
      request.tenantId = tenantId;
    } else if (typeof given === "string") await acceptKey(authentication, request, given);
    else await withApiKey(request);
  };
}

function listOf(body: unknown): readonly unknown[] | undefined {
  if (Array.isArray(body)) return body;
  const { events } = (body ?? {}) as { readonly events?: unknown };
  return Array.isArray(events) && Object.keys(body as object).length === 1 ? events : undefined;
}

function newEvent(
  body: unknown,
  path: string,
  request: FastifyRequest,
  { clock }: EventIntakeParts,
  check: ReturnType<typeof fieldCheck>,
): NewEvent {
  if (depthOf(body) > MAX_DEPTH) throw invalidField("Body field", path, `is nested deeper than ${MAX_DEPTH} levels`);
  const problem = check(body, path);
  if (problem !== undefined) throw problem;
  const given = body as GivenEvent;
  const field = (name: string): string => (path === "" ? name : `${path}.${name}`);
  if (!isEventType(given.event_type)) throw invalidField("Body field", field("event_type"), "is no event type");
  if (!isSourceSystem(given.source_system) || RESERVED_SOURCES.includes(given.source_system))
    throw invalidField("Body field", field("source_system"), "is a name that ponte uses itself");
  if (given.tenant_id !== undefined && given.tenant_id !== request.tenantId && request.keyName !== "ingestion")
    throw new ApiError(403, "wrong_tenant", `Body field ${field("tenant_id")} is not the tenant of this API key.`);
  const now = clock.now();
  const id = eventId(uuidV7(now, randomBytes(16)));
  const headerKey = path === "" ? request.headers["idempotency-key"] : undefined;
  return present({
    eventId: id,
    traceId: given.trace_id ?? traceIdOf(headerText(request.headers["traceparent"])) ?? traceId(randomBytes(16)),
    tenantId: given.tenant_id ?? request.tenantId,
    sourceSystem: given.source_system,
    externalId: given.external_id ?? headerText(headerKey) ?? nativeId(given),
    type: given.event_type,
    payload: given.payload as JsonObject,
    payloadVersion: given.payload_version ?? 1,
    provider: given.channel?.provider,
    channelId: given.channel?.id,
    conversationKey: given.conversation_key ?? id,
    occurredAt: given.occurred_at === undefined ? now : Date.parse(given.occurred_at),
    receivedAt: now,
  });
}

/** An id that the payload itself has, or else a hash: the same content is the same event, other content never is. */
function nativeId({ payload, occurred_at: occurredAt }: GivenEvent): string {
  for (const id of [payload["event_id"], payload["id"]])
    if (Number.isSafeInteger(id) || (typeof id === "string" && id !== "" && id.length <= MAX_EXTERNAL_ID_LENGTH))
      return String(id);
  const text = JSON.stringify([canonical(payload as JsonObject), occurredAt ?? null]);
  return `sha256:${createHash("sha256").update(text).digest("hex")}`;
}

/** With the members of objects in the order of their names. */
function canonical(value: Json): Json {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(canonical);
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, canonical(inner)]),
  );
}

/** Levels of objects and lists, counted without recursion: what is too deep must not be able to break the counting. */
function depthOf(value: unknown): number {
  let level: unknown[] = [value];
  let depth = 0;
  while (depth <= MAX_DEPTH) {
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? Object.values(one) : []));
    if (level.length === 0) return depth;
    depth += 1;
  }
  return depth;
}

function headerText(value: string | readonly string[] | undefined): string | undefined {
  return typeof value === "string" && value !== "" && value.length <= MAX_EXTERNAL_ID_LENGTH ? value : undefined;
}

function answerOf({ eventId, traceId, duplicate, conflict }: Accepted): Static<typeof acceptedSchema> {
  return { event_id: eventId, trace_id: traceId, duplicate, conflict };
}

function hashOf(secret: string): Buffer {
  return createHash("sha256").update(secret).digest();
}
