import type { Instant } from "#core/call/call.ts";
import type { OutgoingContent } from "#core/message/content.ts";
import type { OutgoingMessage, SendFailure, SendOutcome } from "#core/message/message.ts";
import type { Clock } from "#engine/ports.ts";
import type { MessageSenderPort } from "#router/ports.ts";
import type { GatewayFailure, WppGatewayClient } from "./gateway-client.ts";
import { jidOf } from "./jid.ts";

/** Less time than this is not worth a request. */
const LEAST_TIME_MS = 50;

/** Sends messages through the gateway. Once each: what may have gone out all the same is `uncertain`, and never repeated here. */
export class WppSender implements MessageSenderPort {
  readonly #client: Pick<WppGatewayClient, "send">;
  readonly #clock: Clock;

  constructor({ client, clock }: { readonly client: Pick<WppGatewayClient, "send">; readonly clock: Clock }) {
    this.#client = client;
    this.#clock = clock;
  }

  async send(message: OutgoingMessage, deadline: Instant): Promise<SendOutcome> {
    const to = message.to.map(jidOf).find((jid) => jid !== undefined);
    if (to === undefined) return refused("unknown_recipient", "The recipient has neither a number nor a linked id.");
    const text = plainText(message.content);
    if (text === undefined)
      return refused("template_unsupported", "A gateway has no templates.", "Give the template a fallback_text.");
    const timeoutMs = deadline - this.#clock.now();
    if (timeoutMs < LEAST_TIME_MS)
      return { ok: false, failure: { ...nothing, code: "timeout", message: "No time was left.", retryable: true } };
    const { channelId, idempotencyKey, replyTo } = message;
    const request = { channelId, to, text, idempotencyKey, ...(replyTo === undefined ? {} : { replyTo }) };
    const outcome = await this.#client.send(request, timeoutMs);
    return outcome.ok
      ? { ok: true, providerMessageId: outcome.value }
      : { ok: false, failure: failureOf(outcome.failure) };
  }
}

/** Gateways carry texts; choices become a numbered list. Undefined: there is nothing that could stand for it. */
export function plainText(content: OutgoingContent): string | undefined {
  switch (content.type) {
    case "text":
      return content.text;
    case "template":
      return content.fallback_text;
    case "interactive": {
      const { header, body, footer, choices } = content;
      const options = choices.kind === "buttons" ? choices.buttons : choices.rows;
      const lines = options.map(({ title, description }, index) => {
        const more = description === undefined ? "" : `: ${description}`;
        return `${index + 1}. ${title}${more}`;
      });
      const parts = [header === undefined ? undefined : `*${header}*`, body, lines.join("\n"), footer && `_${footer}_`];
      return parts.filter((part) => part !== undefined && part !== "").join("\n\n");
    }
  }
}

const nothing = { httpStatus: 0, retryable: false, uncertain: false } as const;

function refused(code: string, message: string, hint?: string): SendOutcome {
  return { ok: false, failure: { ...nothing, code, message, ...(hint === undefined ? {} : { hint }) } };
}

const hints: Readonly<Record<string, string>> = {
  unreachable: "Check wpp.base_url and that the gateway runs.",
  unauthorised: "Check wpp.secret: the gateway does not know it.",
  disconnected: "Connect the channel again: its phone is offline or was logged out.",
  not_found: "The gateway does not know the channel: connect it again.",
};

function failureOf(failure: GatewayFailure): SendFailure {
  const code = failure.code === "disconnected" ? "channel_disconnected" : failure.code;
  const hint = Object.hasOwn(hints, failure.code) ? hints[failure.code] : undefined;
  return { ...failure, code, ...(hint === undefined ? {} : { hint }) };
}
