import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Provider } from "#core/channel/channel.ts";
import { PonteError } from "#core/error.ts";
import { isEventType } from "#core/event/event.ts";
import type { JsonObject } from "#core/json.ts";
import type { MatchReport } from "#core/rule/rule.ts";
import { systemClock } from "#engine/system-clock.ts";
import { EventRouter } from "#router/router.ts";
import type { TrialEvent } from "#router/services.ts";
import { createLog } from "#src/log.ts";
import type { Store } from "#store/store.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import type { Command } from "./main.ts";
import { withStore } from "./store.ts";
import { optionsOf } from "./words.ts";

/**
 * `ponte route-test --event FILE [--tenant ID] [--json]`: which rules an event would match, why, and what would be done. Does
 * nothing of it. Exit status 1 when nothing would be done, or something could not be.
 */
export const routeTest: Command = async (words) => {
  const { event, tenant, json } = optionsOf(words, {
    event: { type: "string" },
    tenant: { type: "string", default: DEFAULT_TENANT },
    json: { type: "boolean", default: false },
  });
  if (event === undefined) throw new PonteError("bad_option", "route-test needs --event FILE, an event as JSON.");
  const trial = trialOf(event);
  const report = await withStore((store) => idleRouter(store).dryRun(tenant, trial));
  console.log(json ? JSON.stringify(report, null, 2) : textOf(trial, report));
  return report.effects.length > 0 && report.effects.every(({ problem }) => problem === undefined) ? 0 : 1;
};

/** A router that is never started: it looks up and judges, and has nobody to send with. */
function idleRouter(store: Store): EventRouter {
  return new EventRouter({
    queue: store.queue,
    events: store.events,
    effects: store.effects,
    rules: store.rules,
    channels: store.channels,
    contacts: store.contacts,
    inbox: store.conversations,
    endpoints: store.endpoints,
    deliveries: store.deliveries,
    senders: {},
    webhooks: { deliver: () => Promise.reject(new Error("a dry run delivers nothing")) },
    schedule: () => undefined,
    clock: systemClock,
    log: createLog({ level: "error", pretty: false, redact: { phoneNumbers: "masked" } }),
    random: () => randomBytes(32),
  });
}

/** The file says an event as `POST /api/events` takes it; only `type` is needed. */
function trialOf(path: string): TrialEvent {
  const given = documentOf(path);
  const text = (...keys: readonly string[]) => keys.map((key) => given[key]).find((value) => typeof value === "string");
  const type = text("type", "event_type") ?? "";
  if (!isEventType(type)) throw new PonteError("bad_event", `${path}: type must be an event type such as call.missed.`);
  const provider = text("provider");
  if (provider !== undefined && provider !== "wpp_gateway" && provider !== "cloud_api")
    throw new PonteError("bad_event", `${path}: provider must be wpp_gateway or cloud_api.`);
  const payload = given["payload"] ?? {};
  if (!isDocument(payload)) throw new PonteError("bad_event", `${path}: payload must be an object.`);
  const [sourceSystem, channelId, at] = [text("source_system"), text("channel_id"), text("at", "occurred_at")];
  if (at !== undefined && Number.isNaN(Date.parse(at)))
    throw new PonteError("bad_event", `${path}: at must be a time such as 2026-11-20T08:00:00Z.`);
  return {
    type,
    payload,
    ...(sourceSystem === undefined ? {} : { sourceSystem }),
    ...(provider === undefined ? {} : { provider: provider satisfies Provider }),
    ...(channelId === undefined ? {} : { channelId }),
    ...(at === undefined ? {} : { at }),
  };
}

function documentOf(path: string): JsonObject {
  let document: unknown;
  try {
    document = JSON.parse(readFileSync(path, "utf8"));
  } catch (cause) {
    throw new PonteError("bad_event", `${path} cannot be read as JSON: ${String(cause)}`, { cause });
  }
  if (!isDocument(document)) throw new PonteError("bad_event", `${path} holds no JSON object.`);
  return document;
}

function isDocument(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function textOf(trial: TrialEvent, { verdicts, effects }: MatchReport): string {
  const rules = verdicts.map(({ matched, name, reason, detail }) => {
    const why = detail === undefined ? reason.replaceAll("_", " ") : `${reason.replaceAll("_", " ")}: ${detail}`;
    return `  ${matched ? "✓" : "·"} ${name} — ${why}`;
  });
  const actions = effects.map(({ action, problem }, index) => {
    const { type, ...rest } = action;
    const said = Object.keys(rest).length === 0 ? "" : ` ${JSON.stringify(rest)}`;
    return `  ${index + 1}. ${type}${said}${problem === undefined ? "" : `\n     cannot be done: ${problem}`}`;
  });
  return [
    `${trial.type}`,
    "rules, in the order in which they are tried:",
    ...(rules.length === 0 ? ["  none"] : rules),
    "what would be done:",
    ...(actions.length === 0 ? ["  nothing: the event is ignored"] : actions),
  ].join("\n");
}
