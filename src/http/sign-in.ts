import Type from "typebox";
import type { App } from "./app.ts";
import { type Authentication, acceptKey, refuseGuessers } from "./auth.ts";
import { refusals } from "./errors.ts";
import { refuseForgery, type Sessions } from "./session.ts";

const name = Type.Union([Type.String(), Type.Null()], {
  description: "Of the API key; null: nobody is signed in.",
});
const who = Type.Object({ name }, { description: "Who is signed in." });
const common = { tags: ["pages"], security: [] };

const schemas = {
  begin: {
    ...common,
    summary: "Sign in to the pages with an API key",
    description: "Answers with a cookie (HttpOnly, SameSite=Strict) that is good for 12 h.",
    operationId: "signIn",
    body: Type.Object({ key: Type.String({ minLength: 1, maxLength: 256 }) }, { additionalProperties: false }),
    response: { 200: who, ...refusals(400, 401, 403, 415, 429, 500, 503) },
  },
  show: {
    ...common,
    summary: "Who is signed in",
    operationId: "whoAmI",
    description: "Asked by the pages when they open, so that it is no error to be a stranger.",
    response: { 200: who, ...refusals(429, 500, 503) },
  },
  end: {
    ...common,
    summary: "Sign out",
    operationId: "signOut",
    response: { 204: Type.Null({ description: "The cookie is gone." }), ...refusals(403, 500) },
  },
} as const;

/** `/session`: from an API key to a cookie, and back. */
export function signInRoutes(app: App, authentication: Authentication, sessions: Sessions): void {
  app.post("/session", { schema: schemas.begin }, async (request, reply) => {
    refuseForgery(request);
    refuseGuessers(authentication, request);
    await acceptKey(authentication, request, request.body.key);
    reply.header("set-cookie", sessions.begin(request.body.key, request));
    return { name: request.keyName };
  });

  app.get("/session", { schema: schemas.show }, async (request) => {
    const key = sessions.keyOf(request);
    if (key === undefined) return { name: null };
    refuseGuessers(authentication, request);
    const owner = await authentication.keys.verify(key);
    return { name: owner?.name ?? null };
  });

  app.delete("/session", { schema: schemas.end }, async (request, reply) => {
    refuseForgery(request);
    return reply.code(204).header("set-cookie", sessions.end(request)).send(null);
  });
}
