import type { Call } from "./call.ts";
import type { Event } from "./event.ts";

/** One entry of a call's timeline, as it is stored and shown: a type and a few facts, snake_case, no personal data. */
export interface TimelineEntry {
  readonly type: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/**
 * What one step of a call leaves in its timeline: the event itself, and a milestone (`call.accepted` and the like) where the
 * step was one. Evidence counts as an event.
 */
export function timelineOf(before: Call, event: Event, after: Call): readonly TimelineEntry[] {
  const milestone = milestoneOf(before, after);
  const { type, ...facts } = event;
  const entry: TimelineEntry = { type, data: factsOf(facts) };
  return milestone === undefined ? [entry] : [entry, milestone];
}

/** Answers are long and secret (ICE password), so they stay out; the time of evidence is that of its entry. */
function factsOf(facts: object): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(facts)
      .filter(([key]) => key !== "answer" && key !== "at")
      .map(([key, value]) => [key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`), value]),
  );
}

function milestoneOf(before: Call, after: Call): TimelineEntry | undefined {
  if (before.state === after.state) return undefined;
  switch (after.state) {
    case "dialing":
      return { type: "call.pre_accepted", data: { trunk: after.route.trunk } };
    case "bridged":
      return { type: "call.accepted", data: {} };
    case "ended":
      return { type: endOf(after.disposition.result), data: { ...after.disposition } };
    default:
      return undefined;
  }
}

type Result = Extract<Call, { state: "ended" }>["disposition"]["result"];

function endOf(result: Result): string {
  const types: Partial<Record<Result, string>> = {
    completed: "call.terminated",
    rejected: "call.rejected",
    failed: "call.failed",
    unreachable: "call.failed",
    not_found: "call.failed",
  };
  return types[result] ?? "call.missed";
}
