import type { Identity } from "#core/contact/identity.ts";
import type { Json, JsonObject } from "#core/json.ts";
import type { Choice, OutgoingContent } from "#core/message/content.ts";
import type { OutgoingMessage } from "#core/message/message.ts";

/** Meta refuses titles that are longer. */
const MAX_BUTTON_TITLE = 20;
const MAX_ROW_TITLE = 24;
const MAX_ROW_DESCRIPTION = 72;
/** Of `biz_opaque_callback_data`, which comes back in every status. */
const MAX_CALLBACK_DATA = 512;

/** The body of `POST /<phone number id>/messages`; undefined: none of the recipient's identities is one that Meta can address. */
export function messageBody(message: OutgoingMessage): JsonObject | undefined {
  const to = message.to.map(recipientOf).find((recipient) => recipient !== undefined);
  if (to === undefined) return undefined;
  return {
    messaging_product: "whatsapp",
    ...to,
    ...(message.replyTo === undefined ? {} : { context: { message_id: message.replyTo } }),
    ...(message.idempotencyKey.length <= MAX_CALLBACK_DATA ? { biz_opaque_callback_data: message.idempotencyKey } : {}),
    ...contentBody(message.content),
  };
}

/** A number is `to`, a business-scoped user id `recipient`; a linked id is known inside of WhatsApp only. */
function recipientOf({ kind, address }: Identity): JsonObject | undefined {
  switch (kind) {
    case "phone":
      return { recipient_type: "individual", to: address };
    case "bsuid":
      return { recipient_type: "individual", recipient: address };
    case "group":
      return { recipient_type: "group", to: address };
    case "lid":
      return undefined;
  }
}

function contentBody(content: OutgoingContent): JsonObject {
  switch (content.type) {
    case "text":
      return { type: "text", text: { body: content.text, preview_url: content.preview_url ?? false } };
    case "template":
      return {
        type: "template",
        template: {
          name: content.name,
          language: { code: content.language },
          ...componentsOf(content.body ?? [], content.components ?? []),
        },
      };
    case "interactive": {
      const { header, body, footer, choices } = content;
      return {
        type: "interactive",
        interactive: {
          type: choices.kind === "list" ? "list" : "button",
          ...(header === undefined ? {} : { header: { type: "text", text: header } }),
          body: { text: body },
          ...(footer === undefined ? {} : { footer: { text: footer } }),
          action: choices.kind === "list" ? listOf(choices.button, choices.rows) : buttonsOf(choices.buttons),
        },
      };
    }
  }
}

function componentsOf(values: readonly string[], given: readonly JsonObject[]): JsonObject {
  const parameters = values.map((text): Json => ({ type: "text", text }));
  const components = [...(parameters.length === 0 ? [] : [{ type: "body", parameters }]), ...given];
  return components.length === 0 ? {} : { components };
}

function buttonsOf(buttons: readonly Choice[]): JsonObject {
  return {
    buttons: buttons.map(({ id, title }) => ({ type: "reply", reply: { id, title: cut(title, MAX_BUTTON_TITLE) } })),
  };
}

/** One section needs no title. */
function listOf(button: string, rows: readonly Choice[]): JsonObject {
  const row = ({ id, title, description }: Choice): Json => ({
    id,
    title: cut(title, MAX_ROW_TITLE),
    ...(description === undefined ? {} : { description: cut(description, MAX_ROW_DESCRIPTION) }),
  });
  return { button: cut(button, MAX_BUTTON_TITLE), sections: [{ rows: rows.map(row) }] };
}

/** Cut between characters: a title that is too long would refuse the whole message. */
function cut(text: string, most: number): string {
  return text.length <= most
    ? text
    : `${Array.from(text.slice(0, most - 1).toWellFormed())
        .join("")
        .replace(/\ufffd$/, "")}…`;
}
