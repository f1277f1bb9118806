import type { WebhookAction } from "#core/rule/rule.ts";
import { type DeliverJob, handler, laneKey } from "#router/jobs.ts";
import type { Endpoint, NewJob } from "#router/ports.ts";
import { type ActionKind, impossible, type Occasion } from "./action.ts";

/** To one endpoint, by the pool that delivers. */
export const webhookAction: ActionKind<WebhookAction> = {
  check: () => [],

  preview: async (action, { tenantId }, { world }) => {
    const problem = problemOf(await world.endpoints.get(tenantId, action.endpoint_id));
    return { action, ...(problem === undefined ? {} : { problem }) };
  },

  carryOut: async (action, occasion, { world }) => {
    const endpoint = await world.endpoints.get(occasion.tenantId, action.endpoint_id);
    const problem = problemOf(endpoint);
    if (endpoint === undefined || problem !== undefined) return impossible(problem ?? "");
    return { state: "planned", detail: { endpoint_id: endpoint.id }, job: deliveryJob(endpoint.id, occasion) };
  },
};

function problemOf(endpoint: Endpoint | undefined): string | undefined {
  if (endpoint === undefined) return "there is no such endpoint";
  return endpoint.enabled ? undefined : `the endpoint is switched off${because(endpoint)}`;
}

function because({ disabledReason }: Endpoint): string {
  return disabledReason === undefined ? "" : `: ${disabledReason}`;
}

/** Also of subscriptions, which are no action of a rule. */
export function deliveryJob(endpointId: string, { event, key, tenantId }: Occasion): NewJob {
  const payload: DeliverJob = { effect_key: key, endpoint_id: endpointId, event_id: event.eventId };
  return {
    lane: laneKey("deliver", endpointId, event.conversationKey),
    pool: "deliver",
    target: endpointId,
    tenantId,
    handler: handler.deliver,
    payload,
    eventId: event.eventId,
    idem: key,
  };
}
