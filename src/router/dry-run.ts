import { newEvent } from "#core/event/draft.ts";
import type { CommunicationEvent } from "#core/event/event.ts";
import { idempotencyKey } from "#core/event/event.ts";
import { PAYLOAD_VERSION } from "#core/event/payloads.ts";
import type { MatchReport, Rule } from "#core/rule/rule.ts";
import type { ActionTools } from "./actions/action.ts";
import { previewAction } from "./actions/actions.ts";
import { effectKey } from "./jobs.ts";
import type { RuleDraft } from "./ports.ts";
import { matchRules } from "./rules/match.ts";
import { scopeOf } from "./rules/scope.ts";
import type { TrialEvent } from "./services.ts";

/** Which rules an event would match, and what would be done. Reads, and does nothing. */
export async function dryRun(
  tools: ActionTools,
  tenantId: string,
  trial: TrialEvent,
  drafts?: readonly RuleDraft[],
): Promise<MatchReport> {
  const rules = drafts === undefined ? await tools.world.rules.list(tenantId) : inOrder(drafts).map(ruleOf(tenantId));
  const event = eventOf(tools, tenantId, trial);
  const scope = scopeOf(event);
  const match = matchRules(rules, event, event.receivedAt);
  const effects: MatchReport["effects"][number][] = [];
  for (const rule of match.rules) {
    for (const [step, action] of rule.actions.entries()) {
      const key = effectKey(event.eventId, rule.id, String(step), 0);
      const occasion = { event, tenantId, scope, rule, step: String(step), key, literal: false };
      effects.push({ ruleId: rule.id, step, ...(await previewAction(action, occasion, tools)) });
      if (action.type === "drop") break;
    }
  }
  return { verdicts: match.verdicts, effects };
}

/** Stored rules come in order; drafts as somebody has written them, of which the earlier is the older. */
function inOrder(drafts: readonly RuleDraft[]): readonly RuleDraft[] {
  return drafts.toSorted((x, y) => x.priority - y.priority);
}

/** A draft has no id; in the report it goes by its place, from 1. */
function ruleOf(tenantId: string): (draft: RuleDraft, index: number) => Rule {
  return (draft, index) => ({
    ...draft,
    id: `draft-${index + 1}`,
    tenantId,
    version: 0,
    updatedAt: 0,
    updatedBy: "dry run",
  });
}

function eventOf({ world }: ActionTools, tenantId: string, trial: TrialEvent): CommunicationEvent {
  const asked = trial.at === undefined ? Number.NaN : Date.parse(trial.at);
  const at = Number.isNaN(asked) ? world.clock.now() : asked;
  const event = newEvent(
    {
      sourceSystem: trial.sourceSystem ?? "dry_run",
      externalId: "dry-run",
      type: trial.type,
      payload: trial.payload,
      payloadVersion: PAYLOAD_VERSION,
      ...(trial.provider === undefined ? {} : { provider: trial.provider }),
      ...(trial.channelId === undefined ? {} : { channelId: trial.channelId }),
      conversationKey: "dry-run",
      occurredAt: at,
    },
    { tenantId, receivedAt: at },
    world.random(),
  );
  return { ...event, idempotencyKey: idempotencyKey(event), status: "received", attempts: 0, conflicts: 0 };
}
