import type { CommunicationEvent, EventStatus } from "#core/event/event.ts";
import type { Rule } from "#core/rule/rule.ts";
import type { ActionTools, Occasion } from "#router/actions/action.ts";
import { carryOut } from "#router/actions/actions.ts";
import { deliveryJob } from "#router/actions/webhook.ts";
import { effectKey, type RouteJob } from "#router/jobs.ts";
import type { Endpoint, Job, PlannedEffect } from "#router/ports.ts";
import { RuleCache } from "#router/rule-cache.ts";
import { matchRules } from "#router/rules/match.ts";
import { scopeOf } from "#router/rules/scope.ts";
import { fitsType } from "#router/rules/type-matcher.ts";
import type { JobEnd, JobHandler } from "#router/worker.ts";
import { Housekeeping } from "./housekeeping.ts";

/** Applies the rules to an event: does what can be done at once, and plans the rest in the statement that ends the routing. */
export class RouteHandler implements JobHandler {
  readonly #tools: ActionTools;
  readonly #rules: RuleCache;
  readonly #housekeeping: Housekeeping;

  constructor(tools: ActionTools) {
    this.#tools = tools;
    this.#rules = new RuleCache(tools.world.rules);
    this.#housekeeping = new Housekeeping(tools);
  }

  effectOf(): undefined {
    return undefined;
  }

  async run(job: Job): Promise<JobEnd> {
    const { event_id, repeat } = job.payload as unknown as RouteJob;
    const { world, live } = this.#tools;
    const event = await world.events.load(event_id);
    if (event === undefined) {
      world.log.warn({ event_id }, "an event that was to be routed is gone");
      return { result: "done" };
    }
    const waitMs = await this.#housekeeping.before(event, job.attempts);
    if (waitMs !== undefined) return { result: "retry", delayMs: waitMs, error: "the message is not known yet" };
    const [rules, endpoints] = await Promise.all([this.#rules.rules(job.tenantId), world.endpoints.list(job.tenantId)]);
    // Hours are judged by when it came, so that a replay finds the same rules.
    const match = matchRules(rules, event, event.receivedAt);
    const effects = [
      ...(await this.#effectsOfRules(match.rules, event, job.tenantId, repeat)),
      ...this.#subscriptions(endpoints, event, job.tenantId, repeat),
    ];
    const dropped = match.rules.some(({ actions }) => actions.some(({ type }) => type === "drop"));
    const status = dropped || effects.length === 0 ? "ignored" : "routed";
    const tell = () => {
      const shown = statusAfter(effects, status);
      live.tell({ tenantId: job.tenantId, kind: "event", eventId: event_id, type: event.type, status: shown });
    };
    return { result: "done", routed: { status }, effects, tell };
  }

  /** One after the other, as the rules say; a `drop` ends the actions of its rule as well. */
  async #effectsOfRules(
    rules: readonly Rule[],
    event: CommunicationEvent,
    tenantId: string,
    repeat: number,
  ): Promise<readonly PlannedEffect[]> {
    const effects: PlannedEffect[] = [];
    const scope = scopeOf(event);
    for (const rule of rules) {
      for (const [index, action] of rule.actions.entries()) {
        const step = String(index);
        const key = effectKey(event.eventId, rule.id, step, repeat);
        const occasion: Occasion = { event, tenantId, scope, rule, step, key, literal: false };
        const carried = await carryOut(action, occasion, this.#tools);
        if (carried.state === "dead") this.#warn(occasion, action.type, carried.error);
        const { id, version } = rule;
        effects.push({ key, eventId: event.eventId, rule: { id, version }, step, kind: action.type, ...carried });
        if (action.type === "drop") break;
      }
    }
    return effects;
  }

  #warn({ event, rule }: Occasion, kind: string, error: string | undefined): void {
    const facts = { event_id: event.eventId, type: event.type, rule: rule?.name, action: kind, error };
    this.#tools.world.log.warn(facts, "an action cannot be done");
  }

  /** Endpoints that asked for events of this type, whatever the rules say. */
  #subscriptions(
    endpoints: readonly Endpoint[],
    event: CommunicationEvent,
    tenantId: string,
    repeat: number,
  ): readonly PlannedEffect[] {
    const scope = scopeOf(event);
    return endpoints
      .filter(({ enabled, events }) => enabled && events.some((pattern) => fitsType(pattern, event.type)))
      .map(({ id }) => {
        const key = effectKey(event.eventId, undefined, id, repeat);
        const occasion: Occasion = { event, tenantId, scope, step: id, key, literal: true };
        return {
          key,
          eventId: event.eventId,
          step: id,
          kind: "webhook",
          state: "planned",
          detail: { endpoint_id: id },
          job: deliveryJob(id, occasion),
        };
      });
  }
}

/** As the statement that ends the routing decides it, for those who watch. */
function statusAfter(effects: readonly PlannedEffect[], status: "routed" | "ignored"): EventStatus {
  if (effects.some(({ state }) => state === "planned")) return "routed";
  if (effects.some(({ state }) => state === "dead")) return "dead";
  return status === "ignored" ? "ignored" : "processed";
}
