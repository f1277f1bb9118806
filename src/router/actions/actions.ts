import type { Action, ActionType } from "#core/rule/rule.ts";
import type { ActionKind, ActionTools, Carried, Occasion, Problem } from "./action.ts";
import { dropAction } from "./drop.ts";
import { inboxAction } from "./inbox.ts";
import { logAction } from "./log.ts";
import { sendMessageAction } from "./send-message.ts";
import { webhookAction } from "./webhook.ts";

/** Every kind of action there is. A new one is a member of `Action`, a file beside this one, and a line here. */
const kinds: { readonly [T in ActionType]: ActionKind<Extract<Action, { readonly type: T }>> } = {
  inbox: inboxAction,
  send_message: sendMessageAction,
  webhook: webhookAction,
  log: logAction,
  drop: dropAction,
};

export const actionTypes = Object.keys(kinds) as readonly ActionType[];

/** The table says that each kind gets actions of its own type only; the compiler cannot follow it through an index. */
function kindOf(action: Action): ActionKind<Action> {
  return kinds[action.type] as unknown as ActionKind<Action>;
}

export function checkAction(action: Action): readonly Problem[] {
  return kindOf(action).check(action);
}

export function previewAction(action: Action, occasion: Occasion, tools: ActionTools) {
  return kindOf(action).preview(action, occasion, tools);
}

export function carryOut(action: Action, occasion: Occasion, tools: ActionTools): Promise<Carried> {
  return kindOf(action).carryOut(action, occasion, tools);
}
