import { isTypePattern } from "#core/event/type-pattern.ts";
import type { Action, Hours } from "#core/rule/rule.ts";
import { checkAction } from "./actions/actions.ts";
import { contentProblems } from "./content-check.ts";
import type { RuleDraft } from "./ports.ts";
import { compile } from "./rules/condition.ts";
import { isTimezone, minuteOf } from "./rules/hours.ts";

/** What is wrong with one field of a rule, by its path: `actions[0].content.text`. */
export interface FieldProblem {
  readonly field: string;
  readonly message: string;
}

/** The limits of the table of rules. */
const MAX_NAME_LENGTH = 200;
const MAX_ACTIONS = 20;
const MAX_PRIORITY = 1_000_000;

/** A week of shifts, and the holidays of some years. */
const MAX_OPEN_TIMES = 50;
const MAX_HOLIDAYS = 500;

const PROVIDERS = new Set(["wpp_gateway", "cloud_api"]);
const LEVELS = new Set(["debug", "info", "warn"]);
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const DATE = /^(\d{4}-)?(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$/;

/** Everything that is wrong with a rule; empty when it can be stored. */
export function ruleProblems(draft: RuleDraft): readonly FieldProblem[] {
  const { name, priority, eventType, provider, condition, hours, actions } = draft;
  const nameFits = name.trim() !== "" && name.length <= MAX_NAME_LENGTH;
  const compiled = condition === undefined ? undefined : compile(condition);
  return [
    ...unless(nameFits, "name", `must have 1 to ${MAX_NAME_LENGTH} characters`),
    ...unless(
      Number.isInteger(priority) && Math.abs(priority) <= MAX_PRIORITY,
      "priority",
      `must be a whole number up to ${MAX_PRIORITY}`,
    ),
    ...unless(
      isTypePattern(eventType),
      "event_type",
      "must be words of a-z, 0-9 and _ joined by dots; a word may be *",
    ),
    ...unless(provider === undefined || PROVIDERS.has(provider), "provider", "must be wpp_gateway or cloud_api"),
    ...(compiled?.ok === false ? [{ field: "condition", message: compiled.error }] : []),
    ...(hours === undefined ? [] : hoursProblems(hours)),
    ...unless(actions.length > 0 && actions.length <= MAX_ACTIONS, "actions", `must have 1 to ${MAX_ACTIONS} members`),
    ...actions.flatMap((action, index) => actionProblems(action, `actions[${index}]`)),
  ];
}

/**
 * Everything that is wrong with an action, whatever it is: it may come from a person or from a webhook's answer. Empty: it is an
 * `Action`.
 */
export function actionProblems(value: unknown, field: string): readonly FieldProblem[] {
  const shape = shapeProblems(value, field);
  if (shape.length > 0) return shape;
  return checkAction(value as Action).map((problem) => ({
    field: problem.field === "" ? field : `${field}.${problem.field}`,
    message: problem.message,
  }));
}

function shapeProblems(value: unknown, field: string): readonly FieldProblem[] {
  if (typeof value !== "object" || value === null) return [{ field, message: "must be an object" }];
  const action: Readonly<Record<string, unknown>> = { ...value };
  const text = (key: string) => unless(isTextOrAbsent(action[key]), `${field}.${key}`, "must be a text");
  switch (action["type"]) {
    case "inbox":
      return text("assignee");
    case "log":
      return [
        ...unless(
          action["level"] === undefined || LEVELS.has(String(action["level"])),
          `${field}.level`,
          "must be debug, info or warn",
        ),
        ...text("note"),
      ];
    case "webhook":
      return unless(UUID.test(String(action["endpoint_id"])), `${field}.endpoint_id`, "must be the id of an endpoint");
    case "send_message":
      return [
        ...text("to"),
        ...text("channel_id"),
        ...unless(
          action["provider"] === undefined || PROVIDERS.has(String(action["provider"])),
          `${field}.provider`,
          "must be wpp_gateway or cloud_api",
        ),
        ...contentProblems(action["content"], `${field}.content`),
      ];
    case "drop":
      return [];
    default:
      return [{ field: `${field}.type`, message: "must be inbox, send_message, webhook, log or drop" }];
  }
}

function hoursProblems(hours: Hours): readonly FieldProblem[] {
  const { timezone, applies, weekly, holidays = [] } = hours;
  return [
    ...unless(isTimezone(timezone), "hours.timezone", "must be an IANA name such as America/Sao_Paulo"),
    ...unless(applies === "inside" || applies === "outside", "hours.applies", "must be inside or outside"),
    ...unless(weekly.length <= MAX_OPEN_TIMES, "hours.weekly", `must have at most ${MAX_OPEN_TIMES} members`),
    ...unless(holidays.length <= MAX_HOLIDAYS, "hours.holidays", `must have at most ${MAX_HOLIDAYS} members`),
    ...weekly.flatMap(({ days, from, to }, index) => [
      ...unless(
        days.length > 0 && days.every((day) => Number.isInteger(day) && day >= 1 && day <= 7),
        `hours.weekly[${index}].days`,
        "must be numbers from 1 (Monday) to 7 (Sunday)",
      ),
      ...unless(minuteOf(from) !== undefined, `hours.weekly[${index}].from`, "must be a time such as 09:00"),
      ...unless(minuteOf(to) !== undefined, `hours.weekly[${index}].to`, "must be a time such as 18:00"),
    ]),
    ...holidays.flatMap((date, index) =>
      unless(DATE.test(date), `hours.holidays[${index}]`, "must be a date such as 2026-12-25 or 12-25"),
    ),
  ];
}

function isTextOrAbsent(value: unknown): boolean {
  return value === undefined || (typeof value === "string" && value !== "");
}

function unless(right: boolean, field: string, message: string): readonly FieldProblem[] {
  return right ? [] : [{ field, message }];
}
