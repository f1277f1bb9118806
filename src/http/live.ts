import Type from "typebox";
import type { LiveChange, RouterServicePort } from "#router/services.ts";
import type { App } from "./app.ts";
import { refusals } from "./errors.ts";
import type { EventStreams } from "./events.ts";

const schema = {
  summary: "What changes, as it changes",
  description:
    "Server-sent events. Each message is JSON: `kind` (event, message, channel, delivery) with the ids of what changed. Nothing is " +
    "repeated; read the lists again after a break.",
  operationId: "streamChanges",
  tags: ["events"],
  response: {
    200: { description: "A stream without end.", content: { "text/event-stream": { schema: Type.String() } } },
    ...refusals(401, 403, 429, 500, 503),
  },
} as const;

/** `GET /v1/live`. */
export function liveRoutes(app: App, service: RouterServicePort, streams: EventStreams): void {
  app.get("/v1/live", { schema }, (request, reply) => {
    const { tenantId } = request;
    streams.open(request, reply, (send) =>
      service.watch((change) => {
        if (change.tenantId === tenantId) send(changeView(change));
      }),
    );
  });
}

function changeView(change: LiveChange): object {
  switch (change.kind) {
    case "event":
      return { kind: "event", event_id: change.eventId, type: change.type, status: change.status };
    case "message":
      return { kind: "message", conversation_id: change.conversationId, message_id: change.messageId };
    case "channel":
      return { kind: "channel", id: change.id, state: change.state };
    case "delivery":
      return { kind: "delivery", id: change.id, state: change.state };
  }
}
