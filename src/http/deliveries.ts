import Type from "typebox";
import type { EventId } from "#core/event/event.ts";
import type { Log } from "#engine/ports.ts";
import type { Delivery, DeliveryStorePort } from "#router/ports.ts";
import type { App } from "./app.ts";
import { ApiError, refusals } from "./errors.ts";
import { found, idParams, iso, pageOf, pageQuery, pageSchema, pageView, present, shown, time, uuid } from "./wire.ts";

export interface DeliveriesParts {
  readonly deliveries: DeliveryStorePort;
  readonly log: Log;
}

/** Deliveries that one replay takes. */
const MAX_REPLAY = 10_000;
const DEFAULT_REPLAY = 1_000;

const deliverySchema = shown(
  {
    id: Type.String(),
    endpoint_id: Type.String(),
    event_id: Type.String(),
    effect_key: Type.Optional(Type.String({ description: "Absent: the endpoint subscribes to the event." })),
    state: Type.String({ description: "pending, delivered or dead." }),
    attempts: Type.Array(
      shown(
        {
          at: time(""),
          took_ms: Type.Number(),
          status: Type.Optional(Type.Integer({ description: "HTTP status of the answer." })),
          error: Type.Optional(Type.String({ description: "A stable word." })),
          response: Type.Optional(Type.String({ description: "The beginning of the answer." })),
        },
        "An attempt.",
      ),
    ),
    created_at: time(""),
    next_at: Type.Optional(time("Of the next attempt.")),
    settled_at: Type.Optional(time("")),
  },
  "One event on its way to one endpoint.",
);

const params = idParams("delivery");
const common = { tags: ["endpoints"] };
const failures = refusals(400, 401, 403, 404, 409, 429, 500, 503);
const replayed = Type.Object(
  { replayed: Type.Integer({ description: "Deliveries." }) },
  { description: "They are queued." },
);

const schemas = {
  list: {
    ...common,
    summary: "Deliveries, newest first",
    operationId: "listDeliveries",
    querystring: pageQuery({
      endpoint_id: Type.Optional(uuid("Only to this endpoint.")),
      event_id: Type.Optional(Type.String({ pattern: "^evt_[0-9a-fA-F-]{36}$" })),
      state: Type.Optional(Type.Enum(["pending", "delivered", "dead"])),
    }),
    response: { 200: pageSchema("deliveries", deliverySchema), ...failures },
  },
  show: {
    ...common,
    summary: "One delivery with its attempts",
    operationId: "getDelivery",
    params,
    response: { 200: deliverySchema, ...failures },
  },
  replayOne: {
    ...common,
    summary: "Try a dead delivery again",
    operationId: "replayDelivery",
    params,
    response: { 202: replayed, ...failures },
  },
  replay: {
    ...common,
    summary: "Try the dead deliveries of an endpoint or a time span again",
    operationId: "replayDeliveries",
    body: Type.Object(
      {
        endpoint_id: Type.Optional(uuid("Only to this endpoint.")),
        since: Type.Optional(time("Made at this time or later.")),
        until: Type.Optional(time("Made before this time.")),
        limit: Type.Optional(
          Type.Integer({ minimum: 1, maximum: MAX_REPLAY, description: "At most; 1000 when absent." }),
        ),
      },
      { additionalProperties: false, anyOf: [{ required: ["endpoint_id"] }, { required: ["since"] }] },
    ),
    response: { 202: replayed, ...failures },
  },
} as const;

/** `/v1/deliveries`: what went to endpoints, and trying again what was given up. */
export function deliveryRoutes(app: App, { deliveries, log }: DeliveriesParts): void {
  app.get("/v1/deliveries", { schema: schemas.list }, async ({ tenantId, query }) => {
    const { endpoint_id: endpointId, event_id: eventId, state } = query;
    const filter = present({ endpointId, state, eventId: eventId as EventId | undefined });
    const page = await deliveries.list({ ...pageOf(tenantId, query), ...filter });
    return pageView("deliveries", page, deliveryView);
  });

  app.get("/v1/deliveries/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    deliveryView(found("delivery", await deliveries.get(tenantId, id))),
  );

  app.post("/v1/deliveries/:id/replay", { schema: schemas.replayOne }, async (request, reply) => {
    const { tenantId, keyName, params } = request;
    const delivery = found("delivery", await deliveries.get(tenantId, params.id));
    if (delivery.state !== "dead")
      throw new ApiError(409, "delivery_not_dead", `The delivery is ${delivery.state}.`, {
        hint: "Only what was given up is tried again.",
      });
    const count = await deliveries.replay({ tenantId, id: params.id, limit: 1 });
    log.info({ delivery_id: params.id, key_name: keyName }, "delivery replayed");
    return reply.code(202).send({ replayed: count });
  });

  app.post("/v1/deliveries/replay", { schema: schemas.replay }, async ({ tenantId, keyName, body }, reply) => {
    const instant = (text: string | undefined) => (text === undefined ? undefined : Date.parse(text));
    const span = present({
      endpointId: body.endpoint_id,
      since: instant(body.since),
      until: instant(body.until),
    });
    const count = await deliveries.replay({ tenantId, limit: body.limit ?? DEFAULT_REPLAY, ...span });
    log.info({ deliveries: count, key_name: keyName }, "deliveries replayed");
    return reply.code(202).send({ replayed: count });
  });
}

export function deliveryView(delivery: Delivery) {
  const when = (at: number | undefined) => (at === undefined ? undefined : iso(at));
  return present({
    id: delivery.id,
    endpoint_id: delivery.endpointId,
    event_id: delivery.eventId,
    effect_key: delivery.effectKey,
    state: delivery.state,
    attempts: delivery.attempts.map(({ at, tookMs, ...rest }) => ({ at: iso(at), took_ms: tookMs, ...present(rest) })),
    created_at: iso(delivery.createdAt),
    next_at: when(delivery.nextAt),
    settled_at: when(delivery.settledAt),
  });
}
