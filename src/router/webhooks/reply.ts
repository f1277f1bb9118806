import type { JsonObject } from "#core/json.ts";
import { isObject, isTooDeep, parseJson, present, proseAt, storable, textAt } from "#core/json-read.ts";
import type { Choice, OutgoingContent } from "#core/message/content.ts";
import type { Action } from "#core/rule/rule.ts";
import { contentProblems } from "#router/content-check.ts";
import type { WebhookReply } from "#router/ports.ts";
import { actionProblems } from "#router/rule-check.ts";

/** As many as a rule may have. */
const MAX_ACTIONS = 20;
const MAX_TEXT = 4_096;

const providers = ["cloud_api", "wpp_gateway"] as const;

type Fields = Readonly<Record<string, unknown>>;

/**
 * What the answer to a webhook asks for:
 *
 *     {"reply": "We open at nine."}                          a text to whoever the event is about
 *     {"reply": {"type": "interactive", …}}                  any content that can be sent
 *     {"actions": [{"type": "inbox", "assignee": "ana"}]}    further actions, as in a rule
 *
 * Both may stand together; the reply comes first. Texts are literal: whoever wrote to an AI that quotes them must not be able
 * to fill in variables. Undefined: nothing is asked for. An answer with something wrong in it asks for nothing at all, and says
 * why, because half of what it wanted may be the wrong half.
 */
export function readReply(body: Buffer): { readonly reply?: WebhookReply; readonly problem?: string } {
  const document = body.length === 0 || isTooDeep(body) ? undefined : parseJson(body.toString("utf8"));
  if (!isObject(document)) return {};
  const { reply, actions = [] } = document;
  if (!Array.isArray(actions)) return { problem: "actions is no list" };
  const wanted = [...(reply === undefined || reply === null || reply === "" ? [] : [replyAction(reply)]), ...actions];
  if (wanted.length === 0) return {};
  if (wanted.length > MAX_ACTIONS) return { problem: `it asks for more than ${MAX_ACTIONS} actions` };
  const read: Action[] = [];
  for (const [index, value] of wanted.entries()) {
    const action = readAction(value, `[${index}]`);
    if (typeof action === "string") return { problem: action };
    read.push(action);
  }
  return { reply: { actions: read } };
}

function replyAction(reply: unknown): object {
  return { type: "send_message", content: typeof reply === "string" ? { type: "text", text: reply } : reply };
}

/** Only the fields that are known. */
function readAction(value: unknown, field: string): Action | string {
  if (!isObject(value)) return `${field} is no object`;
  if (value["type"] === "send_message") return readSend(value, field);
  const [problem] = actionProblems(value, field);
  if (problem !== undefined) return `${problem.field} ${problem.message}`;
  const { type, assignee, endpoint_id, level, note } = storable(value);
  switch (type) {
    case "inbox":
      return present({ type, assignee }) as Action;
    case "webhook":
      return { type, endpoint_id } as Action;
    case "log":
      return present({ type, level, note }) as Action;
    default:
      return { type: "drop" };
  }
}

function readSend(value: Fields, field: string): Action | string {
  const [problem] = contentProblems(value["content"], `${field}.content`);
  if (problem !== undefined) return `${problem.field} ${problem.message}`;
  const provider = providers.find((name) => name === value["provider"]);
  if (provider === undefined && value["provider"] !== undefined)
    return `${field}.provider must be wpp_gateway or cloud_api`;
  return present({
    type: "send_message" as const,
    to: textAt(value, "to", 200),
    provider,
    channel_id: textAt(value, "channel_id", 128),
    content: readContent(value["content"] as Fields),
  });
}

/** Of content that was found to be right. */
function readContent(content: Fields): OutgoingContent {
  switch (content["type"]) {
    case "template":
      return present({
        type: "template" as const,
        name: textAt(content, "name", 512) ?? "",
        language: textAt(content, "language", 64) ?? "",
        body: content["body"] === undefined ? undefined : storable({ body: content["body"] })["body"],
        components: content["components"] === undefined ? undefined : storable({ list: content["components"] })["list"],
        fallback_text: proseAt(content, "fallback_text", MAX_TEXT),
      }) as OutgoingContent;
    case "interactive":
      return present({
        type: "interactive" as const,
        header: textAt(content, "header", 60),
        body: proseAt(content, "body", MAX_TEXT) ?? "",
        footer: textAt(content, "footer", 60),
        choices: readChoices(content["choices"] as Fields),
      }) as OutgoingContent;
    default:
      return present({
        type: "text" as const,
        text: proseAt(content, "text", MAX_TEXT) ?? "",
        preview_url: content["preview_url"] === true ? true : undefined,
      });
  }
}

function readChoices(choices: Fields): JsonObject {
  const read = (list: unknown): readonly Choice[] =>
    (Array.isArray(list) ? list : []).filter(isObject).map((choice) =>
      present({
        id: textAt(choice, "id", 256) ?? "",
        title: textAt(choice, "title", 256) ?? "",
        description: textAt(choice, "description", 256),
      }),
    );
  return choices["kind"] === "list"
    ? { kind: "list", button: textAt(choices, "button", 64) ?? "", rows: read(choices["rows"]) }
    : { kind: "buttons", buttons: read(choices["buttons"]) };
}
