import type { FastifyRequest } from "fastify";
import Type from "typebox";
import type { GatewayWebhookPort } from "#router/services.ts";
import type { App } from "./app.ts";
import { refusals } from "./errors.ts";
import { granted } from "./wire.ts";

/** Gateways put pictures into their webhooks as base64; larger media they hand out on request. */
const MAX_BODY_BYTES = 16 * 1_048_576;

const schema = (operationId: string, params: object) => ({
  summary: "The message gateway tells what happened",
  description:
    "Messages, acks and connection changes. The secret of the channel (or of the gateway) is needed, as header or as an HMAC of " +
    "the body. 200 is answered only when everything is committed: some gateways mark a message as read at that.",
  operationId,
  tags: ["webhooks"],
  security: [],
  ...params,
  body: { content: { "application/json": { schema: Type.Unknown({ description: "As the gateway sends it." }) } } },
  response: {
    200: Type.Object(
      { ok: Type.Literal(true), events: Type.Integer({ description: "Events that it held." }) },
      { description: "It is stored, or was known already." },
    ),
    ...refusals(400, 401, 403, 404, 413, 500, 503),
  },
});

/**
 * `POST /api/whatsapp/webhook` and `/api/whatsapp/webhook/:channel`, in a scope of their own that leaves bodies as the bytes they
 * are: they are signed.
 */
export function wppWebhookRoutes(app: App, webhook: GatewayWebhookPort): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer", bodyLimit: MAX_BODY_BYTES }, (_request, body, done) =>
    done(null, body),
  );

  const receive = async (request: FastifyRequest, channel?: string) => {
    const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
    const outcome = await webhook.receive({
      headers: headersOf(request),
      body,
      ...(channel === undefined ? {} : { channel }),
    });
    return { ok: true as const, events: outcome.ok ? outcome.events : granted<number>(outcome) };
  };

  const options = { bodyLimit: MAX_BODY_BYTES };
  app.post("/api/whatsapp/webhook", { ...options, schema: schema("receiveGatewayWebhook", {}) }, (request) =>
    receive(request),
  );

  const params = Type.Object({ channel: Type.String({ minLength: 1, maxLength: 128, description: "The gateway's." }) });
  app.post(
    "/api/whatsapp/webhook/:channel",
    { ...options, schema: { ...schema("receiveChannelWebhook", {}), params } },
    (request) => receive(request, request.params.channel),
  );
}

/** Node joins repeated headers with a comma, apart from those that must come once. */
function headersOf({ headers }: FastifyRequest): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value[0] : value]),
  );
}
