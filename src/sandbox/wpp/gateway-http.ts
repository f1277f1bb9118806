import type { FastifyRequest } from "fastify";
import type { ApiParts } from "#sandbox/api-server.ts";
import type { GatewayApi, GatewayRequest } from "./api.ts";
import type { GatewayAction } from "./faults.ts";

const routes: readonly (readonly ["GET" | "POST", string, GatewayAction])[] = [
  ["POST", "/api/channels", "create_channel"],
  ["GET", "/api/channels", "list_channels"],
  ["GET", "/api/channels/:channel", "get_channel"],
  ["GET", "/api/channels/:channel/qr", "qr"],
  ["POST", "/api/messages", "send"],
  ["POST", "/api/webhooks", "set_webhook"],
  ["POST", "/api/channels/:channel/webhook", "set_channel_webhook"],
];

/** The gateway's API over HTTP. */
export function gatewayHttp(api: GatewayApi): ApiParts {
  return {
    routes: (app, send) => {
      for (const [method, url, action] of routes) {
        app.route({
          method,
          url,
          handler: (request, reply) => send(reply, api.handle(requestOf(action, request))),
        });
      }
    },
    refusal: (message) => ({ error: { code: "bad_request", message } }),
  };
}

function requestOf(action: GatewayAction, { params, headers, body }: FastifyRequest): GatewayRequest {
  const { channel } = params as { readonly channel?: string };
  return {
    action,
    ...(channel === undefined ? {} : { channel }),
    secret: first(headers["x-gateway-secret"]),
    idempotencyKey: first(headers["idempotency-key"]),
    body: typeof body === "string" ? body : "",
  };
}

function first(value: string | string[] | undefined): string | undefined {
  return typeof value === "string" ? value : value?.[0];
}
