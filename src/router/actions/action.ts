import type { CommunicationEvent } from "#core/event/event.ts";
import type { Action } from "#core/rule/rule.ts";
import type { LiveChanges } from "#router/live.ts";
import type { PlannedEffect } from "#router/ports.ts";
import type { Scope } from "#router/rules/scope.ts";
import type { RouterWorld } from "#router/world.ts";

/** Why, and for which event, an action is done. */
export interface Occasion {
  readonly event: CommunicationEvent;
  readonly tenantId: string;
  readonly scope: Scope;
  /** Absent: an endpoint's subscription. */
  readonly rule?: { readonly id: string; readonly version: number; readonly name: string };
  readonly step: string;
  /** `effectKey()` of jobs.ts. */
  readonly key: string;
  /** True for the answer of a webhook: its texts are not templates, whatever stands in them. */
  readonly literal: boolean;
}

export interface ActionTools {
  readonly world: RouterWorld;
  readonly live: LiveChanges;
}

/** What became of an action: done at once, planned as a job, or impossible. */
export type Carried = Pick<PlannedEffect, "state" | "error" | "detail" | "job">;

export interface Problem {
  /** Path within the action, such as `content.text`; empty: the action itself. */
  readonly field: string;
  readonly message: string;
}

/** One kind of action; each stands in a file of its own and in the table of `actions.ts`. */
export interface ActionKind<A extends Action> {
  /** What is wrong with it, whatever the event; its shape is right when this is asked. */
  check(action: A): readonly Problem[];
  /** The action as it would be done, with templates filled in, and why it could not be done. Does nothing. */
  preview(
    action: A,
    occasion: Occasion,
    tools: ActionTools,
  ): Promise<{ readonly action: A; readonly problem?: string }>;
  /** Does it, or says which job will. May be asked again after a crash. Rejects when the store does. */
  carryOut(action: A, occasion: Occasion, tools: ActionTools): Promise<Carried>;
}

/** Nobody can do this, now or later. */
export function impossible(error: string): Carried {
  return { state: "dead", error, detail: {} };
}
