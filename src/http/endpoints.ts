import { randomBytes } from "node:crypto";
import Type from "typebox";
import { MAX_PATTERN_LENGTH, TYPE_PATTERN } from "#core/event/type-pattern.ts";
import type { Clock, Log } from "#engine/ports.ts";
import type { Endpoint, EndpointStorePort } from "#router/ports.ts";
import { OLD_SECRET_MS } from "#router/webhooks/signature.ts";
import type { App } from "./app.ts";
import { invalidField } from "./check.ts";
import { ApiError, refusals } from "./errors.ts";
import { found, idParams, iso, missing, present, shown, time } from "./wire.ts";

export interface EndpointsParts {
  readonly endpoints: EndpointStorePort;
  readonly allowPrivateEndpoints?: boolean;
  readonly refuseUrl?: (url: string, allowPrivate: boolean) => Promise<string | undefined>;
  readonly clock: Clock;
  readonly log: Log;
}

const SECRET_BYTES = 32;

const url = Type.String({ minLength: 8, maxLength: 2_048, description: "http or https, without user and password." });
const name = Type.String({ minLength: 1, maxLength: 100, description: "For people." });
const events = Type.Array(
  Type.String({ pattern: TYPE_PATTERN, maxLength: MAX_PATTERN_LENGTH, examples: ["whatsapp.inbound.*"] }),
  {
    maxItems: 50,
    description: "Event types with wildcards that are delivered without any rule; empty: by rules only.",
  },
);
const enabled = Type.Boolean({ description: "Switching it on again forgets why it was switched off." });
const allowPrivate = Type.Boolean({
  description: "Private addresses may be dialled; only where the configuration allows it.",
});

const endpointSchema = shown(
  {
    id: Type.String(),
    url: Type.String(),
    name: Type.Optional(Type.String()),
    events: Type.Array(Type.String()),
    enabled: Type.Boolean(),
    disabled_reason: Type.Optional(Type.String({ description: "Why ponte switched it off." })),
    allow_private: Type.Boolean(),
    failing_since: Type.Optional(time("The first failure since the last success.")),
    created_at: time(""),
  },
  "A receiver of outgoing webhooks.",
);

const secretSchema = Type.String({ description: "Signs `ponte-signature`. It is shown this once." });
const params = idParams("endpoint");
const common = { tags: ["endpoints"] };
const failures = refusals(400, 401, 403, 404, 429, 500, 503);

const schemas = {
  list: {
    ...common,
    summary: "Receivers of outgoing webhooks",
    operationId: "listEndpoints",
    response: {
      200: Type.Object({ endpoints: Type.Array(endpointSchema) }, { description: "All of them." }),
      ...failures,
    },
  },
  create: {
    ...common,
    summary: "Add a receiver",
    operationId: "createEndpoint",
    body: Type.Object(
      {
        url,
        name: Type.Optional(name),
        events: Type.Optional(events),
        enabled: Type.Optional(enabled),
        allow_private: Type.Optional(allowPrivate),
      },
      { additionalProperties: false },
    ),
    response: {
      201: Type.Object({ endpoint: endpointSchema, secret: secretSchema }, { description: "It is added." }),
      ...failures,
    },
  },
  show: {
    ...common,
    summary: "One receiver",
    operationId: "getEndpoint",
    params,
    response: { 200: endpointSchema, ...failures },
  },
  change: {
    ...common,
    summary: "Change a receiver",
    operationId: "changeEndpoint",
    params,
    body: Type.Object(
      {
        url: Type.Optional(url),
        name: Type.Optional(name),
        events: Type.Optional(events),
        enabled: Type.Optional(enabled),
        allow_private: Type.Optional(allowPrivate),
      },
      { additionalProperties: false, minProperties: 1 },
    ),
    response: { 200: endpointSchema, ...failures },
  },
  remove: {
    ...common,
    summary: "Remove a receiver",
    operationId: "removeEndpoint",
    params,
    response: { 204: Type.Null({ description: "It is gone." }), ...failures },
  },
  rotate: {
    ...common,
    summary: "A new secret",
    description: "Both secrets sign for 24 h.",
    operationId: "rotateEndpointSecret",
    params,
    response: {
      200: Type.Object(
        { secret: secretSchema, old_until: time("The old secret signs until then.") },
        { description: "The new secret." },
      ),
      ...failures,
    },
  },
} as const;

/** `/v1/endpoints`: who is told of events, and by which secret they know that it is us. */
export function endpointRoutes(app: App, parts: EndpointsParts): void {
  const { endpoints, clock, log } = parts;
  const known = async (tenantId: string, id: string) => found("endpoint", await endpoints.get(tenantId, id));

  app.get("/v1/endpoints", { schema: schemas.list }, async ({ tenantId }) => ({
    endpoints: (await endpoints.list(tenantId)).map(endpointView),
  }));

  app.post("/v1/endpoints", { schema: schemas.create }, async ({ tenantId, keyName, body }, reply) => {
    const isPrivate = body.allow_private ?? false;
    await refuseAddress(body.url, isPrivate, parts);
    const secret = newSecret();
    const draft = {
      url: body.url,
      events: body.events ?? [],
      enabled: body.enabled ?? true,
      allowPrivate: isPrivate,
      ...present({ name: body.name }),
    };
    const endpoint = await endpoints.create(tenantId, draft, secret);
    log.info({ endpoint_id: endpoint.id, key_name: keyName }, "endpoint added");
    return reply.code(201).send({ endpoint: endpointView(endpoint), secret });
  });

  app.get("/v1/endpoints/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    endpointView(await known(tenantId, id)),
  );

  app.patch("/v1/endpoints/:id", { schema: schemas.change }, async ({ tenantId, params: { id }, body }) => {
    const before = await known(tenantId, id);
    if (body.url !== undefined || body.allow_private === true)
      await refuseAddress(body.url ?? before.url, body.allow_private ?? before.allowPrivate, parts);
    const { allow_private: isPrivate, ...rest } = body;
    const changed = await endpoints.change(tenantId, id, present({ ...rest, allowPrivate: isPrivate }));
    return endpointView(found("endpoint", changed));
  });

  app.delete("/v1/endpoints/:id", { schema: schemas.remove }, async ({ tenantId, keyName, params: { id } }, reply) => {
    if (!(await endpoints.remove(tenantId, id))) throw missing("endpoint");
    log.info({ endpoint_id: id, key_name: keyName }, "endpoint removed");
    return reply.code(204).send(null);
  });

  app.post("/v1/endpoints/:id/rotate", { schema: schemas.rotate }, async ({ tenantId, keyName, params: { id } }) => {
    const secret = newSecret();
    const oldUntil = clock.now() + OLD_SECRET_MS;
    if (!(await endpoints.rotate(tenantId, id, secret, oldUntil))) throw missing("endpoint");
    log.info({ endpoint_id: id, key_name: keyName }, "endpoint's secret rotated");
    return { secret, old_until: iso(oldUntil) };
  });
}

async function refuseAddress(text: string, isPrivate: boolean, parts: EndpointsParts): Promise<void> {
  const address = URL.parse(text);
  if (address === null || !["http:", "https:"].includes(address.protocol))
    throw invalidField("Body field", "url", "is no http or https address");
  if (address.username !== "" || address.password !== "")
    throw invalidField("Body field", "url", "must not hold user and password");
  if (isPrivate && parts.allowPrivateEndpoints !== true)
    throw new ApiError(
      403,
      "private_not_allowed",
      "Body field allow_private: private addresses are not allowed here.",
      {
        hint: "Whoever runs ponte can allow them with webhooks.allow_private.",
      },
    );
  const reason = await parts.refuseUrl?.(text, isPrivate);
  if (reason !== undefined) throw new ApiError(400, "refused_address", `Body field url is refused: ${reason}`);
}

function newSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString("base64url")}`;
}

function endpointView(endpoint: Endpoint) {
  return present({
    id: endpoint.id,
    url: endpoint.url,
    name: endpoint.name,
    events: [...endpoint.events],
    enabled: endpoint.enabled,
    disabled_reason: endpoint.disabledReason,
    allow_private: endpoint.allowPrivate,
    failing_since: endpoint.failingSince === undefined ? undefined : iso(endpoint.failingSince),
    created_at: iso(endpoint.createdAt),
  });
}
