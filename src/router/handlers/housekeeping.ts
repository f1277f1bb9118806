import type { ChannelState } from "#core/channel/channel.ts";
import { type CommunicationEvent, eventType } from "#core/event/event.ts";
import { isObject, textOf } from "#router/about.ts";
import type { ActionTools } from "#router/actions/action.ts";
import type { MessageAck } from "#router/ports.ts";

/**
 * An ack may overtake the answer to the request that sent its message: while one is on its way over the channel it comes again,
 * each time a little later, for 20 s in all, which is more than a request may take. What comes behind it waits too.
 */
const ACK_ATTEMPTS = 16;
const ACK_RETRY_MS = 150;

const STATUSES = new Set<unknown>(["sent", "delivered", "read", "failed"]);
const STATES = new Set<unknown>(["new", "connecting", "qr", "connected", "disconnected"]);

/** What acks and connection updates change in ponte itself, before any rule is asked. */
export class Housekeeping {
  readonly #tools: ActionTools;

  constructor(tools: ActionTools) {
    this.#tools = tools;
  }

  /** A number: come again after so many milliseconds. */
  async before(event: CommunicationEvent, attempts: number): Promise<number | undefined> {
    if (event.type === eventType.deliveryAck) return this.#ack(event, attempts);
    if (event.type === eventType.connectionUpdate) await this.#connection(event);
    return undefined;
  }

  async #ack(event: CommunicationEvent, attempts: number): Promise<number | undefined> {
    const ack = ackOf(event);
    if (ack === undefined) return undefined;
    const { world, live } = this.#tools;
    const moved = await world.inbox.ack(ack);
    if (typeof moved === "object") live.tell({ tenantId: ack.tenantId, kind: "message", ...moved });
    return moved === "early" && attempts < ACK_ATTEMPTS ? ACK_RETRY_MS * (attempts + 1) : undefined;
  }

  async #connection(event: CommunicationEvent): Promise<void> {
    const { provider, channelId, payload, tenantId } = event;
    const state = payload["state"];
    if (provider === undefined || channelId === undefined || !isState(state)) return;
    const { world, live } = this.#tools;
    const channel = await world.channels.find(provider, channelId);
    if (channel === undefined || channel.tenantId !== tenantId) return;
    const phone = textOf(payload["phone"]);
    await world.channels.change(channel.id, { state, ...(phone === undefined ? {} : { phone }) });
    const facts = { channel_id: channelId, provider, tenant_id: tenantId, from: channel.state, to: state };
    const lost = state === "disconnected" && channel.state === "connected";
    world.log[lost ? "warn" : "info"](facts, lost ? "a channel lost its connection" : "channel state");
    live.tell({ tenantId: channel.tenantId, kind: "channel", id: channel.id, state });
  }
}

function isState(value: unknown): value is ChannelState {
  return STATES.has(value);
}

function ackOf({ tenantId, provider, channelId, payload, occurredAt }: CommunicationEvent): MessageAck | undefined {
  const [messageId, status, error] = [textOf(payload["message_id"]), payload["status"], payload["error"]];
  if (tenantId === undefined || provider === undefined || channelId === undefined) return undefined;
  if (messageId === undefined || !isStatus(status)) return undefined;
  return {
    tenantId,
    provider,
    channelId,
    providerMessageId: messageId,
    status,
    at: occurredAt,
    ...(isObject(error) ? { error: { code: String(error["code"]), message: String(error["message"]) } } : {}),
  };
}

function isStatus(value: unknown): value is MessageAck["status"] {
  return STATUSES.has(value);
}
