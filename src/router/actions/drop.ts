import type { DropAction } from "#core/rule/rule.ts";
import type { ActionKind } from "./action.ts";

/** Nothing, on purpose; that it was on purpose is seen in the trace. */
export const dropAction: ActionKind<DropAction> = {
  check: () => [],
  preview: async (action) => ({ action }),
  carryOut: async () => ({ state: "done", detail: {} }),
};
