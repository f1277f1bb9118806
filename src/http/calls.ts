import Type from "typebox";
import type { CallReaderPort, CallRecord, Clock, Log, SwitchboardPort } from "#engine/ports.ts";
import type { App } from "./app.ts";
import { callEventSchema, callResults, callSchema, callStates } from "./call-schema.ts";
import { eventView, liveFacts, statisticsView } from "./call-view.ts";
import { ApiError, refusals } from "./errors.ts";

export interface CallsParts {
  readonly calls: CallReaderPort;
  readonly switchboard: SwitchboardPort;
  readonly clock: Clock;
  readonly log: Log;
}

const DEFAULT_PAGE = 50;
/** Keeps an answer below about 1 MB. */
const MAX_PAGE = 200;
/** A live call is shown without what its media worker or the database does not tell in time, rather than late or not at all. */
const LIVE_WAIT_MS = 1_000;

const params = Type.Object({ id: Type.String({ maxLength: 64, description: "ponte's id of the call." }) });

const listSchema = {
  summary: "Calls, newest first",
  operationId: "listCalls",
  tags: ["calls"],
  querystring: Type.Object(
    {
      state: Type.Optional(Type.Enum([...callStates], { description: "Only calls in this state." })),
      result: Type.Optional(Type.Enum([...callResults], { description: "Only calls that ended so." })),
      channel_id: Type.Optional(
        Type.String({ pattern: "^[0-9]{1,32}$", description: "Only calls of this channel (Meta's phone_number_id)." }),
      ),
      cursor: Type.Optional(
        Type.String({ minLength: 1, maxLength: 512, description: "`next` of the page before, as it was." }),
      ),
      limit: Type.Integer({ minimum: 1, maximum: MAX_PAGE, default: DEFAULT_PAGE, description: "Calls in a page." }),
    },
    { additionalProperties: false },
  ),
  response: {
    200: Type.Object(
      {
        calls: Type.Array(callSchema),
        next: Type.Optional(Type.String({ description: "Cursor of the next page; absent on the last one." })),
      },
      { description: "A page of calls." },
    ),
    ...refusals(400, 401, 403, 429, 500, 503),
  },
} as const;

const showSchema = {
  summary: "One call with its timeline and media statistics",
  operationId: "getCall",
  tags: ["calls"],
  params,
  response: {
    200: Type.Object(
      {
        call: callSchema,
        live: Type.Boolean({ description: "The call is in progress on this node; its figures are of this moment." }),
        events: Type.Array(callEventSchema, { description: "The timeline, oldest first." }),
      },
      { description: "The call." },
    ),
    ...refusals(400, 401, 403, 404, 429, 500, 503),
  },
} as const;

const terminateSchema = {
  summary: "End a call",
  description: "Both sides are hung up. The answer does not wait for them; the timeline tells when it is done.",
  operationId: "terminateCall",
  tags: ["calls"],
  params,
  response: {
    202: Type.Object(
      { id: Type.String(), status: Type.Literal("terminating") },
      { description: "The call is being ended." },
    ),
    ...refusals(400, 401, 403, 404, 409, 429, 500, 503),
  },
} as const;

/** `GET /v1/calls`, `GET /v1/calls/:id`, `POST /v1/calls/:id/terminate`. */
export function callRoutes(app: App, parts: CallsParts): void {
  const { calls, switchboard, log } = parts;

  app.get("/v1/calls", { schema: listSchema }, async (request) => {
    const { state, result, channel_id: channelId, cursor, limit } = request.query;
    const page = await calls.list({
      limit,
      ...(state === undefined ? {} : { state }),
      ...(result === undefined ? {} : { result }),
      ...(channelId === undefined ? {} : { channelId }),
      ...(cursor === undefined ? {} : { cursor }),
    });
    return { calls: page.calls.map(documented), ...(page.next === undefined ? {} : { next: page.next }) };
  });

  app.get("/v1/calls/:id", { schema: showSchema }, async (request) => {
    const shown = await show(request.params.id, parts);
    if (shown === undefined) throw notFound();
    return shown;
  });

  app.post("/v1/calls/:id/terminate", { schema: terminateSchema }, async (request, reply) => {
    const { id } = request.params;
    if (!switchboard.terminate(id)) throw await whyNotTerminated(id, calls);
    log.info({ call_id: id, key_name: request.keyName }, "call terminated by operator");
    return reply.code(202).send({ id, status: "terminating" });
  });
}

/** The journal is written behind, so a live call is told from the engine, and the journal adds what it has. */
async function show(id: string, { calls, switchboard, clock }: CallsParts) {
  const live = switchboard.live().find((call) => call.id === id && call.state !== "ended");
  if (live === undefined) {
    const found = await calls.get(id);
    return found && { call: documented(found.call), live: false, events: found.events.map(eventView) };
  }
  const [found, statistics] = await Promise.all([
    within(clock, LIVE_WAIT_MS, calls.get(id)),
    within(clock, LIVE_WAIT_MS, switchboard.statistics(id)),
  ]);
  const call = {
    ...found?.call,
    ...liveFacts(live),
    ...(statistics === undefined ? {} : { media_stats: statisticsView(statistics) }),
  };
  return { call: documented(call), live: true, events: (found?.events ?? []).map(eventView) };
}

/** Records come from the database under the names of the documentation; a test holds them against each other. */
function documented(record: CallRecord): CallRecord & { readonly state: string } {
  return { ...record, state: String(record["state"]) };
}

async function whyNotTerminated(id: string, calls: CallReaderPort): Promise<ApiError> {
  const found = await calls.get(id);
  if (found === undefined) return notFound();
  return found.call["state"] === "ended"
    ? new ApiError(409, "call_ended", "The call has ended already.")
    : new ApiError(409, "call_not_here", "The call is not alive on this node.", {
        hint: "Ask the node that holds it. A call of a node that died is ended by the others by themselves.",
      });
}

function notFound(): ApiError {
  return new ApiError(404, "call_not_found", "There is no call with this id.", {
    hint: "The id is ponte's own, from GET /v1/calls, not Meta's wacid.",
  });
}

/** What `promise` comes to, or undefined when it fails or takes longer. */
function within<T>(clock: Clock, limitMs: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const cancel = clock.after(limitMs, () => resolve(undefined));
    const settle = (value: T | undefined): void => {
      cancel();
      resolve(value);
    };
    promise.then(settle, () => settle(undefined));
  });
}
