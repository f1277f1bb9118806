import Type from "typebox";
import { renderSVG } from "uqr";
import type { Channel } from "#core/channel/channel.ts";
import type { ChannelDirectoryPort, ParkedEvents, ParkedEventsPort } from "#router/ports.ts";
import type { OnboardingPort, QrCode } from "#router/services.ts";
import type { App } from "./app.ts";
import { ApiError, refusals } from "./errors.ts";
import { found, granted, idParams, iso, jsonObject, present, shown, time } from "./wire.ts";

export interface ChannelsParts {
  /** Whose keys are those of the operators. */
  readonly tenantId: string;
  readonly channels: ChannelDirectoryPort;
  readonly parked: ParkedEventsPort;
  readonly onboarding?: OnboardingPort;
}

/** Modules of white around a QR code, so that a camera finds its edge (ISO/IEC 18004 §6.3.8). */
const QUIET_ZONE = 4;

const channelSchema = shown(
  {
    id: Type.String({ description: "ponte's id of the channel." }),
    provider: Type.String({ description: "wpp_gateway or cloud_api." }),
    channel_id: Type.String({ description: "The provider's name for it." }),
    name: Type.Optional(Type.String()),
    enabled: Type.Boolean(),
    state: Type.String({ description: "new, connecting, qr, connected or disconnected." }),
    phone: Type.Optional(Type.String({ description: "The business number, digits." })),
    webhook_configured: Type.Boolean({ description: "The gateway knows our address and secret." }),
    metadata: jsonObject("What else is known."),
    created_at: time(""),
    updated_at: time(""),
  },
  "A tenant's connection to WhatsApp.",
);

const parkedSchema = shown(
  {
    provider: Type.String({ description: "wpp_gateway or cloud_api." }),
    channel_id: Type.String({ description: "The provider's name for the channel." }),
    count: Type.Integer({ minimum: 1, description: "Events that wait." }),
    since: time("When the first one came."),
  },
  "Events of a channel that nobody has.",
);

const params = idParams("channel");
const common = { tags: ["channels"] };
const one = { 200: channelSchema };
const failures = refusals(400, 401, 403, 404, 409, 429, 500, 502, 503);

const schemas = {
  list: {
    ...common,
    summary: "The tenant's channels",
    operationId: "listChannels",
    response: {
      200: Type.Object(
        { channels: Type.Array(channelSchema), can_connect: Type.Boolean({ description: "There is a gateway." }) },
        { description: "All of them." },
      ),
      ...failures,
    },
  },
  parked: {
    ...common,
    summary: "Events that wait for their channel to be connected or configured",
    description:
      "Messages of a number that ponte has no channel for are kept, and taken up when it gets one. For keys of the operators' tenant; the channels that have waited longest come first, at most 100.",
    operationId: "listParkedEvents",
    response: {
      200: Type.Object({ parked: Type.Array(parkedSchema) }, { description: "By channel." }),
      ...failures,
    },
  },
  enable: {
    ...common,
    summary: "Connect a channel of the message gateway",
    description: "Makes it here and at the gateway, or takes up where an earlier attempt ended. Then show its QR code.",
    operationId: "connectChannel",
    body: Type.Object(
      {
        channel_id: Type.Optional(
          Type.String({
            pattern: "^[A-Za-z0-9_-]{1,64}$",
            description: "The gateway's name for it; made when absent.",
          }),
        ),
        name: Type.Optional(Type.String({ minLength: 1, maxLength: 100, description: "For people." })),
      },
      { additionalProperties: false },
    ),
    response: { 201: channelSchema, ...failures },
  },
  show: { ...common, summary: "One channel", operationId: "getChannel", params, response: { ...one, ...failures } },
  refresh: {
    ...common,
    summary: "Ask the gateway for the state now",
    description: "Also sets the webhook of a channel that is connected and has none.",
    operationId: "refreshChannel",
    params,
    response: { ...one, ...failures },
  },
  disable: {
    ...common,
    summary: "Stop using a channel",
    description:
      "Nothing is sent over it any more. What comes over it is answered, so that the gateway does not repeat it, and dropped; connecting it again ends that.",
    operationId: "disableChannel",
    params,
    response: { ...one, ...failures },
  },
  rename: {
    ...common,
    summary: "Name a channel",
    operationId: "renameChannel",
    params,
    body: Type.Object({ name: Type.String({ minLength: 1, maxLength: 100 }) }, { additionalProperties: false }),
    response: { ...one, ...failures },
  },
  qr: {
    ...common,
    summary: "The QR code that the phone has to scan now",
    description:
      "It changes every half a minute or so: ask again every few seconds. 409 when there is nothing to scan.",
    operationId: "getChannelQr",
    params,
    response: {
      200: Type.Object(
        {
          image: Type.String({ description: "A picture as a data URL." }),
          text: Type.Optional(Type.String({ description: "What the phone reads, where it is known." })),
        },
        { description: "The code." },
      ),
      ...failures,
    },
  },
} as const;

/** `/v1/channels`: connecting WhatsApp numbers, and where they stand. */
export function channelRoutes(app: App, { tenantId: operators, channels, parked, onboarding }: ChannelsParts): void {
  const gateway = (): OnboardingPort => {
    if (onboarding !== undefined) return onboarding;
    throw new ApiError(409, "no_gateway", "No message gateway is configured.", { hint: "Set WPP_GATEWAY_BASE_URL." });
  };
  const known = async (tenantId: string, id: string) => found("channel", await channels.get(tenantId, id));

  app.get("/v1/channels", { schema: schemas.list }, async ({ tenantId }) => ({
    channels: (await channels.list(tenantId)).map(channelView),
    can_connect: onboarding !== undefined,
  }));

  app.get("/v1/channels/parked", { schema: schemas.parked }, async ({ tenantId }) => {
    if (tenantId !== operators)
      throw new ApiError(403, "operators_only", "What belongs to no tenant is shown to ponte's operators.");
    return { parked: (await parked.parked()).map(parkedView) };
  });

  app.post("/v1/channels", { schema: schemas.enable }, async ({ tenantId, body }, reply) => {
    const wanted = present({ channelId: body.channel_id, name: body.name });
    return reply.code(201).send(channelView(granted(await gateway().enable(tenantId, wanted))));
  });

  app.get("/v1/channels/:id", { schema: schemas.show }, async ({ tenantId, params: { id } }) =>
    channelView(await known(tenantId, id)),
  );

  app.patch("/v1/channels/:id", { schema: schemas.rename }, async ({ tenantId, params: { id }, body }) => {
    await known(tenantId, id);
    return channelView(found("channel", await channels.change(id, { name: body.name })));
  });

  app.post("/v1/channels/:id/refresh", { schema: schemas.refresh }, async ({ tenantId, params: { id } }) => {
    await known(tenantId, id);
    return channelView(granted(await gateway().refresh(tenantId, id)));
  });

  app.post("/v1/channels/:id/disable", { schema: schemas.disable }, async ({ tenantId, params: { id } }) => {
    await known(tenantId, id);
    return channelView(granted(await gateway().disable(tenantId, id)));
  });

  app.get("/v1/channels/:id/qr", { schema: schemas.qr }, async ({ tenantId, params: { id } }) => {
    await known(tenantId, id);
    return qrView(granted(await gateway().qr(tenantId, id)));
  });
}

export function channelView(channel: Channel) {
  return present({
    id: channel.id,
    provider: channel.provider,
    channel_id: channel.channelId,
    name: channel.name,
    enabled: channel.enabled,
    state: channel.state,
    phone: channel.phone,
    webhook_configured: channel.webhookConfigured,
    metadata: { ...channel.metadata },
    created_at: iso(channel.createdAt),
    updated_at: iso(channel.updatedAt),
  });
}

const parkedView = ({ provider, channelId, count, since }: ParkedEvents) => ({
  provider,
  channel_id: channelId,
  count,
  since: iso(since),
});

/** Always a picture: one is drawn where the gateway gives text only. */
function qrView({ text, image }: QrCode) {
  const drawn = (): string => {
    const svg = renderSVG(text ?? "", { border: QUIET_ZONE, ecc: "M" });
    return `data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`;
  };
  return present({ image: image ?? drawn(), text });
}
