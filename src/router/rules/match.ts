import type { Instant } from "#core/call/call.ts";
import type { Rule, RuleVerdict } from "#core/rule/rule.ts";
import { judge } from "./condition.ts";
import { withinHours } from "./hours.ts";
import { type Scope, type Subject, scopeOf } from "./scope.ts";
import { fitsType } from "./type-matcher.ts";

export interface Match {
  /** Those that matched, in order. */
  readonly rules: readonly Rule[];
  /** One for each rule, in the order in which they were tried. */
  readonly verdicts: readonly RuleVerdict[];
}

type Finding = Pick<RuleVerdict, "reason" | "detail">;

/**
 * Tries rules in their order. The first one that matches and stops, or drops, ends the search.
 *
 * @param at by which hours are judged.
 */
export function matchRules(rules: readonly Rule[], subject: Subject, at: Instant): Match {
  const scope = scopeOf(subject);
  const verdicts: RuleVerdict[] = [];
  const matched: Rule[] = [];
  let ended = false;
  for (const rule of rules) {
    const finding: Finding = ended ? { reason: "not_reached" } : judgeRule(rule, subject, scope, at);
    const fits = finding.reason === "matched";
    verdicts.push({
      ruleId: rule.id,
      ruleVersion: rule.version,
      name: rule.name,
      matched: fits,
      ...finding,
      actions: rule.actions,
    });
    if (!fits) continue;
    matched.push(rule);
    ended = rule.onMatch === "stop" || rule.actions.some(({ type }) => type === "drop");
  }
  return { rules: matched, verdicts };
}

/** The cheap questions come first. */
function judgeRule(rule: Rule, subject: Subject, scope: Scope, at: Instant): Finding {
  if (!rule.enabled) return { reason: "disabled" };
  if (!fitsType(rule.eventType, subject.type))
    return { reason: "type", detail: `${subject.type} is not ${rule.eventType}` };
  if (rule.provider !== undefined && rule.provider !== subject.provider)
    return { reason: "channel", detail: `came over ${subject.provider ?? "no provider"}, not ${rule.provider}` };
  if (rule.channelId !== undefined && rule.channelId !== subject.channelId)
    return { reason: "channel", detail: `came over ${subject.channelId ?? "no channel"}, not ${rule.channelId}` };
  if (rule.hours !== undefined) {
    const { applies, detail } = withinHours(rule.hours, at);
    if (!applies) return { reason: "hours", detail };
  }
  if (rule.condition !== undefined) {
    const judgement = judge(rule.condition, scope);
    if (!judgement.ok) return { reason: "condition_error", detail: judgement.error };
    if (!judgement.value) return { reason: "condition", detail: "the condition is false" };
  }
  return { reason: "matched" };
}
