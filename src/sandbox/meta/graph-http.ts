import type { FastifyRequest } from "fastify";
import type { ApiParts } from "#sandbox/api-server.ts";
import type { Graph, GraphCall } from "./graph.ts";

/** `graph.facebook.com` over HTTP, as far as calls and messages go. */
export function graphHttp(graph: Graph): ApiParts {
  return {
    routes: (app, send) => {
      app.post("/:version/:id/calls", (request, reply) => send(reply, graph.postCalls(callOf(request))));
      app.post("/:version/:id/messages", (request, reply) => send(reply, graph.postMessages(callOf(request))));
      app.get("/:version/:id/settings", (request, reply) => send(reply, graph.settings(callOf(request))));
      app.post("/:version/:id/settings", (request, reply) => send(reply, graph.settings(callOf(request))));
      app.setNotFoundHandler((request, reply) =>
        reply.code(400).send({
          error: { message: `Unknown path components: ${request.url}`, type: "OAuthException", code: 2500 },
        }),
      );
    },
    refusal: (message) => ({ error: { message: `(#1) ${message}`, type: "OAuthException", code: 1 } }),
  };
}

function callOf(request: FastifyRequest): GraphCall {
  const { version, id } = request.params as { readonly version: string; readonly id: string };
  return {
    method: request.method,
    path: request.url,
    version,
    phoneNumberId: id,
    authorization: request.headers.authorization,
    body: typeof request.body === "string" ? request.body : "",
  };
}
