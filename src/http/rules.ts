import Type from "typebox";
import type { JsonObject } from "#core/json.ts";
import type { MatchReport } from "#core/rule/rule.ts";
import type { Log } from "#engine/ports.ts";
import type { RuleChange, RuleDraft, RuleStorePort } from "#router/ports.ts";
import type { RouterServicePort, TrialEvent } from "#router/services.ts";
import type { App } from "./app.ts";
import { invalidField } from "./check.ts";
import { ApiError, refusals } from "./errors.ts";
import {
  actionSchema,
  draftOf,
  draftView,
  type GivenRule,
  ruleChangeSchema,
  ruleDraftSchema,
  ruleSchema,
  ruleView,
} from "./rule-schema.ts";
import { found, idParams, iso, jsonObject, missing, present, shown, time } from "./wire.ts";

export interface RulesParts {
  readonly rules: RuleStorePort;
  readonly service: RouterServicePort;
  readonly log: Log;
}

/** Rules that a dry run tries in place of the stored ones. */
const MAX_TRIED = 200;

const params = idParams("rule");
const common = { tags: ["rules"] };
const failures = refusals(400, 401, 403, 404, 409, 429, 500, 503);

const historySchema = Type.Object(
  {
    changes: Type.Array(
      shown(
        {
          rule_id: Type.String(),
          version: Type.Integer(),
          change: Type.String({ description: "created, changed or deleted." }),
          at: time(""),
          by: Type.String(),
        },
        "A change of a rule, with the rule after it.",
      ),
    ),
  },
  { description: "Newest first." },
);

const reportSchema = Type.Object(
  {
    verdicts: Type.Array(
      shown(
        {
          rule_id: Type.String(),
          rule_version: Type.Integer(),
          name: Type.String(),
          matched: Type.Boolean(),
          reason: Type.String({ description: "matched, or the first thing that did not fit." }),
          detail: Type.Optional(Type.String()),
        },
        "What a rule says to the event.",
      ),
    ),
    effects: Type.Array(
      shown(
        { rule_id: Type.String(), step: Type.Integer(), action: actionSchema, problem: Type.Optional(Type.String()) },
        "What would be done, with templates filled in.",
      ),
    ),
  },
  { description: "Nothing of it was done." },
);

const trialSchema = Type.Object(
  {
    type: Type.String({ pattern: "^[a-z0-9_]+(\\.[a-z0-9_]+)*$", maxLength: 128 }),
    payload: jsonObject("As in the event log."),
    source_system: Type.Optional(Type.String({ pattern: "^[a-z0-9_-]{1,64}$" })),
    provider: Type.Optional(Type.Enum(["wpp_gateway", "cloud_api"])),
    channel_id: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
    at: Type.Optional(time("Hours are judged by it; now when absent.")),
  },
  { additionalProperties: false },
);

const schemas = {
  list: {
    ...common,
    summary: "Rules, in the order in which they are tried",
    operationId: "listRules",
    response: { 200: Type.Object({ rules: Type.Array(ruleSchema) }, { description: "All of them." }), ...failures },
  },
  create: {
    ...common,
    summary: "Add a rule",
    operationId: "createRule",
    body: ruleDraftSchema,
    response: { 201: ruleSchema, ...failures },
  },
  show: { ...common, summary: "One rule", operationId: "getRule", params, response: { 200: ruleSchema, ...failures } },
  change: {
    ...common,
    summary: "Change a rule",
    description: "The whole rule, with the version that it was made from; 409 when somebody else was faster.",
    operationId: "changeRule",
    params,
    body: ruleChangeSchema,
    response: { 200: ruleSchema, ...failures },
  },
  remove: {
    ...common,
    summary: "Remove a rule",
    operationId: "removeRule",
    params,
    response: { 204: Type.Null({ description: "It is gone; its versions are kept." }), ...failures },
  },
  history: {
    ...common,
    summary: "Every change of a rule",
    operationId: "ruleHistory",
    params,
    response: { 200: historySchema, ...failures },
  },
  allHistory: {
    ...common,
    summary: "Every change of every rule",
    operationId: "rulesHistory",
    response: { 200: historySchema, ...failures },
  },
  dryRun: {
    ...common,
    summary: "What the rules would do with an event",
    operationId: "dryRun",
    body: Type.Object(
      {
        event: trialSchema,
        rules: Type.Optional(
          Type.Array(ruleDraftSchema, { maxItems: MAX_TRIED, description: "Tried in place of the stored ones." }),
        ),
      },
      { additionalProperties: false },
    ),
    response: { 200: reportSchema, ...failures },
  },
} as const;

/** `/v1/rules`: what happens when something happens. Every change is a version, with its author. */
export function ruleRoutes(app: App, parts: RulesParts): void {
  const { rules, service, log } = parts;

  app.get("/v1/rules", { schema: schemas.list }, async ({ tenantId }) => ({
    rules: (await rules.list(tenantId)).map(ruleView),
  }));

  app.post("/v1/rules", { schema: schemas.create }, async ({ tenantId, keyName, body }, reply) => {
    const rule = await rules.create(tenantId, checked(body, service), keyName);
    log.info({ rule_id: rule.id, key_name: keyName }, "rule created");
    return reply.code(201).send(ruleView(rule));
  });

  app.get("/v1/rules/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    ruleView(found("rule", await rules.get(tenantId, id))),
  );

  app.put("/v1/rules/:id", { schema: schemas.change }, async ({ tenantId, keyName, params: { id }, body }) => {
    const rule = await rules.change(tenantId, id, body.version, checked(body, service), keyName);
    if (rule === "unknown") throw missing("rule");
    if (rule === "conflict")
      throw new ApiError(409, "rule_changed", "Somebody else has changed the rule meanwhile.", {
        hint: "Read it again, and make your change to that version.",
      });
    log.info({ rule_id: id, version: rule.version, key_name: keyName }, "rule changed");
    return ruleView(rule);
  });

  app.delete("/v1/rules/:id", { schema: schemas.remove }, async ({ tenantId, keyName, params: { id } }, reply) => {
    if (!(await rules.remove(tenantId, id, keyName))) throw missing("rule");
    log.info({ rule_id: id, key_name: keyName }, "rule removed");
    return reply.code(204).send(null);
  });

  historyRoutes(app, rules);
  dryRunRoute(app, service);
}

function historyRoutes(app: App, rules: RuleStorePort): void {
  app.get("/v1/rules/history", { schema: schemas.allHistory }, async ({ tenantId }) => ({
    changes: (await rules.history(tenantId)).map(changeView),
  }));

  app.get("/v1/rules/:id/history", { schema: schemas.history }, async ({ tenantId, params: { id } }) => {
    const changes = await rules.history(tenantId, id);
    if (changes.length === 0) throw missing("rule");
    return { changes: changes.map(changeView) };
  });
}

function dryRunRoute(app: App, service: RouterServicePort): void {
  app.post("/v1/rules/dry-run", { schema: schemas.dryRun }, async ({ tenantId, body }) => {
    const { event, rules } = body;
    const drafts = rules?.map((rule, i) => checked(rule, service, `rules.${i}`));
    const trial: TrialEvent = {
      type: event.type,
      payload: event.payload as JsonObject,
      ...present({
        sourceSystem: event.source_system,
        provider: event.provider,
        channelId: event.channel_id,
        at: event.at,
      }),
    };
    return reportView(await service.dryRun(tenantId, trial, drafts));
  });
}

/** The shape is checked here, the meaning (does the condition parse, is there such a timezone) by the router. */
function checked(given: GivenRule, service: RouterServicePort, path = ""): RuleDraft {
  const draft = draftOf(given, path);
  const [problem] = service.check(draft);
  if (problem === undefined) return draft;
  const named = problem.field.replaceAll(/\[(\d+)\]/g, ".$1");
  const field = path === "" ? named : `${path}.${named}`;
  throw invalidField("Body field", field, problem.message.replace(/\.$/, ""));
}

function changeView(change: RuleChange) {
  return {
    rule_id: change.ruleId,
    version: change.version,
    change: change.change,
    at: iso(change.at),
    by: change.by,
    rule: draftView(change.rule),
  };
}

function reportView({ verdicts, effects }: MatchReport) {
  return {
    verdicts: verdicts.map(({ ruleId, ruleVersion, ...rest }) => ({
      rule_id: ruleId,
      rule_version: ruleVersion,
      ...rest,
      actions: [...rest.actions],
    })),
    effects: effects.map(({ ruleId, action, ...rest }) => ({
      rule_id: ruleId,
      action,
      ...rest,
    })),
  };
}
