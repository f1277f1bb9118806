import type { FastifyReply } from "fastify";
import Type from "typebox";
import type { App } from "./app.ts";
import { ApiError, bodyOf, refusals } from "./errors.ts";
import type { MetaWebhookPort, WebhookAnswer } from "./ports.ts";

/** Meta documents webhook bodies of up to 3 MB. */
const MAX_BODY_BYTES = 3 * 1_048_576;

const text = (description: string) => ({ description, content: { "text/plain": { schema: Type.String() } } });

const verifySchema = {
  summary: "Meta verifies the webhook address",
  description: "Answers the bare challenge when the verify token is ours.",
  operationId: "verifyMetaWebhook",
  tags: ["webhooks"],
  security: [],
  querystring: Type.Object({
    "hub.mode": Type.Optional(Type.String({ maxLength: 64 })),
    "hub.verify_token": Type.Optional(Type.String({ maxLength: 2_000 })),
    "hub.challenge": Type.Optional(Type.String({ maxLength: 256 })),
  }),
  response: { 200: text("The challenge."), ...refusals(400, 403, 500) },
} as const;

const receiveSchema = {
  summary: "Meta tells what happened",
  description:
    "The body is checked against `X-Hub-Signature-256` (HMAC-SHA-256 of the raw bytes with the app secret) before it is " +
    "parsed, and 200 is answered only when it is stored.",
  operationId: "receiveMetaWebhook",
  tags: ["webhooks"],
  security: [],
  headers: Type.Object({
    "x-hub-signature-256": Type.Optional(Type.String({ description: "`sha256=` and 64 hexadecimal digits." })),
  }),
  body: {
    content: {
      "application/json": { schema: Type.Unknown({ description: "See Meta's documentation of the field calls." }) },
    },
  },
  response: { 200: text("It is stored, or was known already."), ...refusals(400, 401, 413, 500, 503) },
} as const;

const codes: Readonly<Record<number, readonly [code: string, message: string, hint?: string]>> = {
  400: ["invalid_webhook", "The body is not a webhook of Meta."],
  401: ["wrong_signature", "X-Hub-Signature-256 does not match the body.", "Check meta.app_secrets."],
  403: ["wrong_verify_token", "The verify token is not ours.", "Check meta.verify_token."],
  404: ["not_found", "Meta's webhooks are not served here."],
  413: ["body_too_large", "The body is larger than any webhook of Meta."],
  503: ["store_unavailable", "The webhook cannot be stored at the moment.", "Meta repeats it by itself."],
};

/** `GET` and `POST /webhooks/meta`, in a scope of their own that leaves bodies as the bytes they are. */
export function metaWebhookRoutes(app: App, webhook: MetaWebhookPort): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
    done(null, body),
  );

  app.get("/webhooks/meta", { schema: verifySchema }, async (request, reply) => {
    const { "hub.mode": mode, "hub.verify_token": token, "hub.challenge": challenge } = request.query;
    return answer(
      reply,
      webhook.verify({
        ...(mode === undefined ? {} : { mode }),
        ...(token === undefined ? {} : { token }),
        ...(challenge === undefined ? {} : { challenge }),
      }),
    );
  });

  app.post("/webhooks/meta", { schema: receiveSchema, bodyLimit: MAX_BODY_BYTES }, async (request, reply) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    return answer(reply, await webhook.receive(body, request.headers["x-hub-signature-256"]));
  });
}

/** Exactly the status that was decided; refusals have the one shape. */
function answer(reply: FastifyReply, { status, body }: WebhookAnswer): FastifyReply {
  if (status < 400)
    return reply
      .code(status)
      .type("text/plain; charset=utf-8")
      .send(body ?? "");
  const [code, message, hint] = codes[status] ?? ["webhook_refused", "The webhook was refused."];
  const error = new ApiError(status, code, body ?? message, hint === undefined ? {} : { hint });
  return reply.code(status).send(bodyOf(error));
}
