import type { LogAction } from "#core/rule/rule.ts";
import { fill, templateProblems } from "#router/rules/template.ts";
import type { ActionKind, Occasion } from "./action.ts";

/** A line in ponte's log; the payload stays in the event. */
export const logAction: ActionKind<LogAction> = {
  check: ({ note = "" }) => templateProblems(note).map((message) => ({ field: "note", message })),

  preview: async (action, occasion) => {
    const note = noteOf(action, occasion);
    return { action: { ...action, ...(note === undefined ? {} : { note }) } };
  },

  carryOut: async (action, occasion, { world }) => {
    const { event, rule } = occasion;
    const note = noteOf(action, occasion);
    const facts = {
      event_id: event.eventId,
      trace_id: event.traceId,
      tenant_id: occasion.tenantId,
      type: event.type,
      source_system: event.sourceSystem,
      external_id: event.externalId,
      ...(rule === undefined ? {} : { rule: rule.name }),
      ...(note === undefined ? {} : { note }),
    };
    world.log[action.level ?? "info"](facts, "event logged by a rule");
    return { state: "done", detail: note === undefined ? {} : { note } };
  },
};

/** A note with a hole in it is better than no line. */
function noteOf({ note }: LogAction, { scope, literal }: Occasion): string | undefined {
  if (note === undefined || literal) return note;
  const filled = fill(note, scope);
  return filled.ok ? filled.value : `${note} (${filled.problem})`;
}
