import Type, { type Static } from "typebox";
import type { Action, ActionType, Hours, Rule } from "#core/rule/rule.ts";
import type { RuleDraft } from "#router/ports.ts";
import { variantCheck } from "./check.ts";
import { contentOf, outgoingContent } from "./content-schema.ts";
import { iso, present, shown, time, uuid } from "./wire.ts";

/** Rules as the API takes and shows them. */

const closed = { additionalProperties: false };
const clock = Type.String({ pattern: "^([01]\\d|2[0-3]):[0-5]\\d$|^24:00$", examples: ["08:00"] });

const hoursSchema = Type.Object(
  {
    timezone: Type.String({ minLength: 1, maxLength: 64, examples: ["America/Sao_Paulo"] }),
    applies: Type.Enum(["inside", "outside"]),
    weekly: Type.Array(
      Type.Object(
        {
          days: Type.Array(Type.Integer({ minimum: 1, maximum: 7 }), { minItems: 1, maxItems: 7 }),
          from: clock,
          to: clock,
        },
        closed,
      ),
      { maxItems: 50, description: "`days`: 1 Monday to 7 Sunday." },
    ),
    holidays: Type.Optional(
      Type.Array(Type.String({ pattern: "^(\\d{4}-)?\\d{2}-\\d{2}$", examples: ["12-25"] }), { maxItems: 500 }),
    ),
  },
  { ...closed, description: "When the rule applies, on the wall clock of a place." },
);

const shapes = {
  inbox: Type.Object(
    { type: Type.Literal("inbox"), assignee: Type.Optional(Type.String({ minLength: 1, maxLength: 100 })) },
    closed,
  ),
  send_message: Type.Object(
    {
      type: Type.Literal("send_message"),
      to: Type.Optional(
        Type.String({ minLength: 1, maxLength: 512, description: "Whoever the event is about, when absent." }),
      ),
      provider: Type.Optional(Type.Enum(["wpp_gateway", "cloud_api"])),
      channel_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
      content: outgoingContent,
    },
    closed,
  ),
  webhook: Type.Object({ type: Type.Literal("webhook"), endpoint_id: uuid("Of /v1/endpoints.") }, closed),
  log: Type.Object(
    {
      type: Type.Literal("log"),
      level: Type.Optional(Type.Enum(["debug", "info", "warn"])),
      note: Type.Optional(Type.String({ maxLength: 500 })),
    },
    closed,
  ),
  drop: Type.Object({ type: Type.Literal("drop") }, closed),
} satisfies Record<ActionType, unknown>;

export const actionSchema = Type.Unsafe<Action>(
  Type.Union(Object.values(shapes), { description: "What is to be done." }),
);

const draftProperties = {
  name: Type.String({ minLength: 1, maxLength: 200 }),
  enabled: Type.Boolean({ description: "True when absent." }),
  priority: Type.Integer({
    minimum: -1_000_000,
    maximum: 1_000_000,
    description: "Smaller come first; 100 when absent.",
  }),
  event_type: Type.String({ minLength: 1, maxLength: 128, examples: ["billing.invoice.*"] }),
  provider: Type.Enum(["wpp_gateway", "cloud_api"]),
  channel_id: Type.String({ minLength: 1, maxLength: 128, description: "The provider's id." }),
  condition: Type.String({
    minLength: 1,
    maxLength: 4_096,
    description: "An expression over `event` and `payload` (CEL).",
  }),
  hours: hoursSchema,
  on_match: Type.Enum(["stop", "continue"], { description: "Whether later rules are asked; stop when absent." }),
};

const draftFields = {
  ...draftProperties,
  enabled: Type.Optional(draftProperties.enabled),
  priority: Type.Optional(draftProperties.priority),
  provider: Type.Optional(draftProperties.provider),
  channel_id: Type.Optional(draftProperties.channel_id),
  condition: Type.Optional(draftProperties.condition),
  hours: Type.Optional(hoursSchema),
  on_match: Type.Optional(draftProperties.on_match),
  // Each action is checked by its own shape, so that an error can name the field.
  actions: Type.Array(Type.Object({ type: Type.Enum(Object.keys(shapes)) }, { additionalProperties: true }), {
    minItems: 1,
    maxItems: 20,
    description: "In this order. Each is one of: inbox, send_message, webhook, log, drop; see Action.",
  }),
};

export const ruleDraftSchema = Type.Object(draftFields, closed);
export const ruleChangeSchema = Type.Object(
  { version: Type.Integer({ minimum: 1, description: "The version that was changed." }), ...draftFields },
  closed,
);
export type GivenRule = Static<typeof ruleDraftSchema>;

export const ruleSchema = shown(
  {
    id: Type.String(),
    version: Type.Integer(),
    name: Type.String(),
    enabled: Type.Boolean(),
    priority: Type.Integer(),
    event_type: Type.String(),
    provider: Type.Optional(Type.String()),
    channel_id: Type.Optional(Type.String()),
    condition: Type.Optional(Type.String()),
    hours: Type.Optional(hoursSchema),
    actions: Type.Array(actionSchema),
    on_match: Type.String(),
    updated_at: time(""),
    updated_by: Type.String({ description: "Name of the API key, or ponte." }),
  },
  "When this happens, do that.",
);

const checkAction = variantCheck(shapes);

function actionOf(value: unknown, path: string): Action {
  const action = value as Action;
  // The content has variants of its own; looked at first, its fields are named.
  if (action.type === "send_message" && "content" in action) contentOf(action.content, `${path}.content`);
  const problem = checkAction(value, path);
  if (problem !== undefined) throw problem;
  return action;
}

/** The draft that a body holds at `path`; throws the 400 that names the field. */
export function draftOf(given: GivenRule, path = ""): RuleDraft {
  const at = path === "" ? "" : `${path}.`;
  return {
    name: given.name,
    enabled: given.enabled ?? true,
    priority: given.priority ?? 100,
    eventType: given.event_type,
    actions: given.actions.map((action, i) => actionOf(action, `${at}actions.${i}`)),
    onMatch: given.on_match ?? "stop",
    ...present({
      provider: given.provider,
      channelId: given.channel_id,
      condition: given.condition,
      hours: given.hours as Hours | undefined,
    }),
  };
}

export function draftView(draft: RuleDraft) {
  return present({
    name: draft.name,
    enabled: draft.enabled,
    priority: draft.priority,
    event_type: draft.eventType,
    provider: draft.provider,
    channel_id: draft.channelId,
    condition: draft.condition,
    hours: draft.hours as Static<typeof hoursSchema> | undefined,
    actions: [...draft.actions],
    on_match: draft.onMatch,
  });
}

export function ruleView(rule: Rule) {
  return {
    id: rule.id,
    version: rule.version,
    ...draftView(rule),
    updated_at: iso(rule.updatedAt),
    updated_by: rule.updatedBy,
  };
}
