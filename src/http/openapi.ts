import swagger from "@fastify/swagger";
import Type from "typebox";
import type { App } from "./app.ts";

/** Collects the schemas of the routes; has to be there before they are. */
export async function collectOpenApi(app: App, version: string): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "ponte",
        version,
        description:
          "Connects WhatsApp calls and messages to what a company already has. Times are ISO 8601 in UTC; a name ends in its unit.",
        license: { name: "MIT", identifier: "MIT" },
      },
      tags: [
        { name: "calls", description: "What was called, what happened, and ending it." },
        { name: "channels", description: "Connecting WhatsApp numbers." },
        { name: "conversations", description: "The inbox: what is said with whom, and replying." },
        { name: "events", description: "What happened, what came of it, and doing it again." },
        { name: "rules", description: "What happens when something happens." },
        { name: "endpoints", description: "Outgoing webhooks and their deliveries." },
        { name: "pages", description: "For people." },
        { name: "health", description: "For orchestrators and load balancers." },
        { name: "webhooks", description: "What others call when something happened." },
        { name: "documentation", description: "This page." },
      ],
      components: {
        securitySchemes: {
          bearer: { type: "http", scheme: "bearer", description: "Authorization: Bearer <API key>" },
          header: { type: "apiKey", in: "header", name: "X-Api-Key" },
          ingestion: { type: "apiKey", in: "header", name: "X-Event-Ingestion-Secret" },
        },
      },
      security: [{ bearer: [] }, { header: [] }],
    },
  });
}

const schema = {
  summary: "This documentation",
  description: "OpenAPI 3.1, made from the schemas that requests are checked against.",
  operationId: "openapi",
  tags: ["documentation"],
  security: [],
  response: { 200: Type.Record(Type.String(), Type.Unknown(), { description: "An OpenAPI document." }) },
};

/** `GET /openapi.json`. Needs no key: it tells nothing about calls. */
export function openApiRoute(app: App): void {
  let page: Record<string, unknown> | undefined;
  app.get("/openapi.json", { schema }, () => {
    page ??= { ...app.swagger() };
    return page;
  });
}
