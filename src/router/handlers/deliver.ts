import type { CommunicationEvent } from "#core/event/event.ts";
import type { ActionTools, Occasion } from "#router/actions/action.ts";
import { carryOut } from "#router/actions/actions.ts";
import { type DeliverJob, effectKey } from "#router/jobs.ts";
import type { Delivery, Endpoint, Job, PlannedEffect, WebhookOutcome } from "#router/ports.ts";
import { scopeOf } from "#router/rules/scope.ts";
import type { Stubborn } from "#router/stubborn.ts";
import type { JobEnd, JobHandler } from "#router/worker.ts";

/** Longest time for one request; the part that sends it may be stricter. */
const DELIVER_TIMEOUT_MS = 20_000;

/** An endpoint that has failed for so long is switched off. */
const DISABLE_AFTER_MS = 5 * 86_400_000;

/** An answer may ask for a webhook whose answer asks for a webhook; further down it is a circle. */
const MAX_ANSWER_DEPTH = 3;

/** An answer that asks for more actions than a rule may have is a mistake. */
const MAX_ANSWER_ACTIONS = 20;

/** @returns milliseconds until the next attempt, undefined: give up. `attempts` that have failed, from 1; `chance` 0 to 1. */
export type RetrySchedule = (attempts: number, chance: number) => number | undefined;

export interface DeliverOptions {
  readonly tools: ActionTools;
  readonly stubborn: Stubborn;
  readonly schedule: RetrySchedule;
  readonly chance: () => number;
}

/** Delivers one event to one endpoint; its receiver knows a repetition by the event's id. */
export class DeliverHandler implements JobHandler {
  readonly #options: DeliverOptions;

  constructor(options: DeliverOptions) {
    this.#options = options;
  }

  effectOf(job: Job): string {
    return deliverJobOf(job).effect_key;
  }

  async run(job: Job): Promise<JobEnd> {
    const { effect_key: key, endpoint_id, event_id } = deliverJobOf(job);
    const { world } = this.#options.tools;
    const [endpoint, event] = await Promise.all([
      world.endpoints.get(job.tenantId, endpoint_id),
      world.events.load(event_id),
    ]);
    if (event === undefined) return dead(key, "the event is gone");
    if (endpoint === undefined) return dead(key, "there is no such endpoint any more");
    const named = nameOf(key);
    const delivery = await world.deliveries.begin({
      key,
      tenantId: job.tenantId,
      endpointId: endpoint.id,
      eventId: event.eventId,
      ...(named?.rule === undefined ? {} : { effectKey: key }),
    });
    if (!endpoint.enabled) return this.#switchedOff(job, key, delivery);
    if ((await world.effects.start(key)).state === "done") return { result: "done" };
    const now = world.clock.now();
    const secrets = await world.endpoints.secrets(endpoint.id, now);
    const outcome = await world.webhooks.deliver(event, endpoint, secrets, now + DELIVER_TIMEOUT_MS);
    return outcome.ok
      ? this.#delivered({ job, key, endpoint, event, delivery, outcome })
      : this.#failed({ job, key, endpoint, event, delivery, outcome });
  }

  /** Somebody, or too many failures, switched it off while this waited. */
  async #switchedOff(job: Job, key: string, delivery: Delivery): Promise<JobEnd> {
    const { world } = this.#options.tools;
    const attempt = { at: world.clock.now(), tookMs: 0, error: "endpoint_disabled" };
    await world.deliveries.attempt(delivery.id, attempt, { state: "dead" });
    return { ...dead(key, "the endpoint is switched off"), tell: () => this.#tell(job, delivery, "dead") };
  }

  async #delivered(attempt: Attempt<{ readonly ok: true }>): Promise<JobEnd> {
    const { job, key, endpoint, delivery, outcome } = attempt;
    const { world } = this.#options.tools;
    await this.#write("note a delivery", () =>
      world.deliveries.attempt(delivery.id, outcome.attempt, { state: "delivered" }),
    );
    await this.#write("note a delivery", () => world.endpoints.noted(endpoint.id, { ok: true }));
    const effects = await this.#write("do what an answer asks for", () => this.#answered(attempt));
    return {
      result: "done",
      effects,
      settled: { key, state: "done", response: { status: outcome.attempt.status ?? 0 } },
      tell: () => this.#tell(job, delivery, "delivered"),
    };
  }

  async #failed(attempt: Attempt<{ readonly ok: false }>): Promise<JobEnd> {
    const { job, key, endpoint, delivery, outcome } = attempt;
    const { tools, schedule, chance } = this.#options;
    const { world } = tools;
    const now = world.clock.now();
    const error = errorOf(outcome);
    const planned = outcome.retryable ? schedule(job.attempts + 1, chance()) : undefined;
    const delayMs = planned === undefined ? undefined : Math.max(planned, outcome.retryAfterMs ?? 0);
    const then = delayMs === undefined ? ({ state: "dead" } as const) : pending(now + delayMs);
    await this.#write("note a failed delivery", () => world.deliveries.attempt(delivery.id, outcome.attempt, then));
    const failure = { ok: false, at: now, disableBefore: now - DISABLE_AFTER_MS } as const;
    if (await this.#write("note a failed delivery", () => world.endpoints.noted(endpoint.id, failure)))
      world.log.warn({ endpoint_id: endpoint.id, url: endpoint.url }, "an endpoint was switched off: it keeps failing");
    const tell = () => this.#tell(job, delivery, then.state);
    if (delayMs === undefined) return { ...dead(key, error), tell };
    await this.#write("note a failed delivery", () => world.effects.notDone(key, error));
    return { result: "retry", delayMs, error, tell };
  }

  /** What the answer to a rule's webhook asks for becomes effects of the same rule. */
  async #answered({ job, key, event, outcome }: Attempt<{ readonly ok: true }>): Promise<readonly PlannedEffect[]> {
    const named = nameOf(key);
    const actions = outcome.reply?.actions ?? [];
    const { tools } = this.#options;
    if (named?.rule === undefined || actions.length === 0) return [];
    if (named.step.split(".").length >= MAX_ANSWER_DEPTH || actions.length > MAX_ANSWER_ACTIONS) {
      tools.world.log.warn({ effect: key, actions: actions.length }, "the answer of a webhook asks for too much");
      return [];
    }
    const rule = await tools.world.rules.get(job.tenantId, named.rule);
    const effects: PlannedEffect[] = [];
    for (const [index, action] of actions.entries()) {
      const step = `${named.step}.${index}`;
      const ownKey = effectKey(event.eventId, named.rule, step, named.repeat);
      const occasion: Occasion = {
        event,
        tenantId: job.tenantId,
        scope: scopeOf(event),
        step,
        key: ownKey,
        literal: true,
        rule: { id: named.rule, version: rule?.version ?? 0, name: rule?.name ?? "ponte" },
      };
      const carried = await carryOut(action, occasion, tools);
      effects.push({
        key: ownKey,
        eventId: event.eventId,
        rule: { id: named.rule, version: rule?.version ?? 0 },
        step,
        kind: action.type,
        ...carried,
      });
    }
    return effects;
  }

  #write<T>(what: string, work: () => Promise<T>): Promise<T> {
    return this.#options.stubborn.do(what, work);
  }

  #tell(job: Job, delivery: Delivery, state: Delivery["state"]): void {
    this.#options.tools.live.tell({ tenantId: job.tenantId, kind: "delivery", id: delivery.id, state });
  }
}

interface Attempt<Ended> {
  readonly job: Job;
  readonly key: string;
  readonly endpoint: Endpoint;
  readonly event: CommunicationEvent;
  readonly delivery: Delivery;
  readonly outcome: Extract<WebhookOutcome, Ended>;
}

/** Jobs are written by this process's own code, and read by it. */
function deliverJobOf(job: Job): DeliverJob {
  return job.payload as unknown as DeliverJob;
}

/** Reads what `effectKey()` wrote. `rule` is absent where a subscription asked. */
function nameOf(
  key: string,
): { readonly rule: string | undefined; readonly step: string; readonly repeat: number } | undefined {
  const [, rule, step, repeat] = /^[^/]+\/([^/]+)\/([^/]+)(?:\/r(\d+))?$/.exec(key) ?? [];
  if (rule === undefined || step === undefined) return undefined;
  return { rule: rule === "subscription" ? undefined : rule, step, repeat: Number(repeat ?? 0) };
}

function pending(nextAt: number) {
  return { state: "pending", nextAt } as const;
}

function errorOf({ attempt }: WebhookOutcome): string {
  return [attempt.error ?? "failed", attempt.status].filter((part) => part !== undefined).join(" ");
}

function dead(key: string, error: string): JobEnd {
  return { result: "dead", error, settled: { key, state: "dead", error } };
}
