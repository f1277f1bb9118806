import type { Channel } from "#core/channel/channel.ts";
import type { Identity } from "#core/contact/identity.ts";
import { identityOf } from "#core/contact/person.ts";
import { conversationKey, eventType } from "#core/event/event.ts";
import { uuidV7 } from "#core/id.ts";
import type { SendMessageAction } from "#core/rule/rule.ts";
import { aboutWhom } from "#router/about.ts";
import { handler, laneKey, type SendJob } from "#router/jobs.ts";
import type { NewJob } from "#router/ports.ts";
import { fill, templateProblems } from "#router/rules/template.ts";
import { type ActionKind, type ActionTools, impossible, type Occasion, type Problem } from "./action.ts";

/** A WhatsApp message, by the pool that sends. */
export const sendMessageAction: ActionKind<SendMessageAction> = {
  check: ({ to, content }) => [
    ...(to === undefined ? [] : templateProblems(to).map((message) => ({ field: "to", message }))),
    ...(to === undefined || to.includes("{{") || identityOf(to) !== undefined
      ? []
      : [{ field: "to", message: "is no phone number, linked id, group or user id" }]),
    ...templateProblems(content).map((message): Problem => ({ field: "content", message })),
  ],

  preview: async (action, occasion, tools) => {
    if (answersOurselves(action, occasion)) return { action, problem: OWN_MESSAGE };
    const prepared = await prepare(action, occasion, tools);
    return typeof prepared === "string" ? { action, problem: prepared } : { action: prepared.action };
  },

  carryOut: async (action, occasion, tools) => {
    if (answersOurselves(action, occasion)) return { state: "done", detail: { skipped: OWN_MESSAGE } };
    const prepared = await prepare(action, occasion, tools);
    if (typeof prepared === "string") return impossible(prepared);
    const { world } = tools;
    const { tenantId, key, event, rule } = occasion;
    const { channel, to } = prepared;
    const job = sendJob(channel, {
      message_id: uuidV7(world.clock.now(), world.random()),
      tenant_id: tenantId,
      channel: channel.id,
      to,
      content: prepared.action.content,
      effect_key: key,
      author: rule?.name ?? "ponte",
      event_id: event.eventId,
    });
    return { state: "planned", detail: { channel_id: channel.channelId, to: to[0].address }, job };
  },
};

const OWN_MESSAGE = "the event is our own message, which nobody answers";

/** A gateway's echo of an answer would be answered, and so on without end. */
function answersOurselves({ to }: SendMessageAction, { event }: Occasion): boolean {
  return to === undefined && event.type === eventType.outboundMessage;
}

interface Prepared {
  readonly action: SendMessageAction;
  readonly channel: Channel;
  readonly to: readonly [Identity, ...Identity[]];
}

/** The action with its templates filled in, its channel and its recipient; or why there are none. */
async function prepare(action: SendMessageAction, occasion: Occasion, tools: ActionTools): Promise<Prepared | string> {
  const { scope, literal } = occasion;
  const filled = literal ? ({ ok: true, value: action } as const) : fill(action, scope);
  if (!filled.ok) return filled.problem;
  const to = recipient(filled.value, occasion);
  if (typeof to === "string") return to;
  const channel = await channelOf(filled.value, occasion, tools);
  if (typeof channel === "string") return channel;
  return { action: filled.value, channel, to };
}

function recipient({ to }: SendMessageAction, { event }: Occasion): readonly [Identity, ...Identity[]] | string {
  if (to === undefined) return aboutWhom(event)?.identities ?? "it says no recipient, and the event is about nobody";
  const identity = identityOf(to);
  return identity === undefined ? `${to} is no phone number, linked id, group or user id` : [identity];
}

/**
 * The one that is named, the event's own, or the tenant's only one. Of several, the only one of the gateway: a number of the
 * Cloud API may not write freely to somebody who has not written within 24 h.
 */
async function channelOf(
  { provider, channel_id, content }: SendMessageAction,
  { event, tenantId }: Occasion,
  { world }: ActionTools,
): Promise<Channel | string> {
  const usable = (await world.channels.list(tenantId)).filter((channel) => channel.enabled);
  const named = provider !== undefined || channel_id !== undefined;
  const own = usable.find((one) => one.provider === event.provider && one.channelId === event.channelId);
  if (!named && own !== undefined) return own;
  const fitting = usable.filter(
    (one) =>
      (provider === undefined || one.provider === provider) &&
      (channel_id === undefined || one.channelId === channel_id),
  );
  const [only, ...others] = fitting;
  if (only === undefined) return named ? "the named channel is not enabled" : "the tenant has no enabled channel";
  if (others.length === 0) return only;
  const free = fitting.filter((one) => one.provider === "wpp_gateway");
  if (content.type !== "template" && free.length === 1 && free[0] !== undefined) return free[0];
  return "the tenant has several channels, and the rule names none of them";
}

/** Also of replies by people. Messages to one person over one channel stay in order. */
export function sendJob(channel: Channel, payload: SendJob): NewJob {
  const [peer] = payload.to;
  const conversation = peer === undefined ? "" : conversationKey(channel.provider, channel.channelId, peer);
  return {
    lane: laneKey("send", channel.id, conversation),
    pool: "send",
    target: channel.id,
    tenantId: channel.tenantId,
    handler: handler.send,
    payload: payload as NewJob["payload"] & SendJob,
    idem: payload.effect_key,
    ...(payload.event_id === undefined ? {} : { eventId: payload.event_id }),
  };
}
