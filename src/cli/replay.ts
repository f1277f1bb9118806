import { PonteError } from "#core/error.ts";
import { type EventId, type EventStatus, isSourceSystem } from "#core/event/event.ts";
import { isTypePattern } from "#core/event/type-pattern.ts";
import type { EventFilter, ReplayRequest } from "#router/ports.ts";
import { DEFAULT_TENANT } from "#store/tenant.ts";
import type { Command } from "./main.ts";
import { withStore } from "./store.ts";
import { instantOf, optionsOf } from "./words.ts";

const STATUSES = ["received", "routed", "processed", "failed", "dead", "ignored"] as const;
const DEFAULT_LIMIT = 1_000;
const MAX_LIMIT = 10_000;

/**
 * `ponte replay [--event ID]… [--status dead] [--type PATTERN] [--source NAME] [--channel ID] [--since TIME] [--until TIME]
 * [--limit N] [--repeat] [--tenant ID]`: has events routed again by the running daemon. What succeeded is not done again, unless
 * `--repeat` asks for it.
 */
export const replay: Command = async (words) => {
  const request = requestOf(words);
  const count = await withStore((store) => store.events.replay(request));
  console.log(`${count} event${count === 1 ? "" : "s"} will be routed again.`);
  return count > 0 ? 0 : 1;
};

function requestOf(words: readonly string[]): ReplayRequest {
  const given = optionsOf(words, {
    event: { type: "string", multiple: true },
    status: { type: "string" },
    type: { type: "string" },
    source: { type: "string" },
    channel: { type: "string" },
    since: { type: "string" },
    until: { type: "string" },
    limit: { type: "string", default: String(DEFAULT_LIMIT) },
    repeat: { type: "boolean", default: false },
    tenant: { type: "string", default: DEFAULT_TENANT },
  });
  const filter = filterOf(given);
  const eventIds = given.event?.map(eventIdOf);
  // A word that was forgotten must not route everything again.
  if (eventIds === undefined && Object.keys(filter).length === 0)
    throw new PonteError("bad_option", "replay needs to be told what: --event, --status, --type, --since or the like.");
  const limit = Number(given.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > MAX_LIMIT)
    throw new PonteError("bad_option", `--limit takes a whole number from 1 to ${MAX_LIMIT}, not ${given.limit}.`);
  return {
    tenantId: given.tenant,
    ...(eventIds === undefined ? {} : { eventIds }),
    filter,
    limit,
    repeat: given.repeat,
    by: "cli",
  };
}

type Given = Partial<Record<"status" | "type" | "source" | "channel" | "since" | "until", string>>;

function filterOf({ status, type, source, channel, since: from, until: to }: Given): EventFilter {
  if (status !== undefined && !isStatus(status))
    throw new PonteError("bad_option", `--status takes one of ${STATUSES.join(", ")}, not ${status}.`);
  if (type !== undefined && !isTypePattern(type))
    throw new PonteError("bad_option", `--type takes an event type or a pattern such as billing.*, not ${type}.`);
  if (source !== undefined && !isSourceSystem(source))
    throw new PonteError("bad_option", `--source takes the name of a system, not ${source}.`);
  const [since, until] = [instantOf("since", from), instantOf("until", to)];
  return {
    ...(status === undefined ? {} : { status }),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { sourceSystem: source }),
    ...(channel === undefined ? {} : { channelId: channel }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  };
}

function isStatus(text: string): text is EventStatus {
  return STATUSES.some((status) => status === text);
}

function eventIdOf(text: string): EventId {
  if (/^evt_[0-9a-f-]{36}$/.test(text)) return `evt_${text.slice("evt_".length)}`;
  throw new PonteError("bad_option", `--event takes an event id such as evt_0198…, not ${text}.`);
}
