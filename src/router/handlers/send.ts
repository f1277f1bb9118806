import type { Channel } from "#core/channel/channel.ts";
import { asKnown, type Contact } from "#core/contact/identity.ts";
import type { OutgoingMessage, SendFailure } from "#core/message/message.ts";
import type { ActionTools } from "#router/actions/action.ts";
import { backOff, chanceOf } from "#router/backoff.ts";
import type { SendJob } from "#router/jobs.ts";
import type { Job } from "#router/ports.ts";
import type { Stubborn } from "#router/stubborn.ts";
import type { JobEnd, JobHandler } from "#router/worker.ts";

/** A provider that does not answer in this time may have sent the message or not. */
const SEND_TIMEOUT_MS = 15_000;

/** With the waits of `backOff` about two hours: a gateway that is down longer needs a person. */
const MAX_ATTEMPTS = 30;

/** What a provider asks to wait is believed up to this long. */
const LONGEST_WAIT_MS = 3_600_000;

const LOST_ANSWER = "it may have been sent: the answer was lost";

/** Sends one message, once. */
export class SendHandler implements JobHandler {
  readonly #tools: ActionTools;
  readonly #stubborn: Stubborn;

  constructor(tools: ActionTools, stubborn: Stubborn) {
    this.#tools = tools;
    this.#stubborn = stubborn;
  }

  effectOf(job: Job): string {
    return sendJobOf(job).effect_key;
  }

  async run(job: Job): Promise<JobEnd> {
    const given = sendJobOf(job);
    const key = given.effect_key;
    const { world } = this.#tools;
    const contact = await this.#contact(given);
    // WhatsApp may know the number in another form than a rule: it is sent to as WhatsApp gave it.
    const send = contact === undefined ? given : { ...given, to: asKnown(contact, given.to) };
    const channel = await world.channels.get(send.tenant_id, send.channel);
    if (channel === undefined) return dead(key, "its channel is gone");
    const stored = await this.#stored(send, channel, contact);
    if (stored === undefined) return dead(key, "its message is gone");
    const sender = world.senders[channel.provider];
    const refused = sender === undefined ? `nobody sends over ${channel.provider}` : disabled(channel);
    if (sender === undefined || refused !== undefined)
      return this.#failed(send, stored, { code: "channel_unusable", message: refused ?? "" });

    const start = await world.effects.start(key);
    if (start.state === "done") return { result: "done" };
    if (start.state === "unknown") return this.#uncertain(send, stored, LOST_ANSWER);
    const outcome = await sender.send(messageOf(send, channel, stored.id), world.clock.now() + SEND_TIMEOUT_MS);
    if (outcome.ok) return this.#sent(send, stored, outcome.providerMessageId);
    const { failure } = outcome;
    if (failure.uncertain) return this.#uncertain(send, stored, failure.message);
    if (failure.retryable && job.attempts + 1 < MAX_ATTEMPTS) return this.#again(job, key, failure);
    return this.#failed(send, stored, failure);
  }

  /** Whom a rule's message goes to; a reply names them as they are known already. */
  async #contact(send: SendJob): Promise<Contact | undefined> {
    const [first, ...others] = send.to;
    if (isReply(send) || first === undefined) return undefined;
    return await this.#tools.world.contacts.reach(send.tenant_id, [first, ...others]);
  }

  /** The row of the message: of a reply it is there, of a rule's message it is made here, once. */
  async #stored(send: SendJob, channel: Channel, contact: Contact | undefined): Promise<StoredIds | undefined> {
    const { world, live } = this.#tools;
    if (isReply(send)) return world.inbox.message(send.message_id);
    if (contact === undefined) return undefined;
    const { message, duplicate } = await world.inbox.put({
      id: send.message_id,
      tenantId: send.tenant_id,
      channel: channel.id,
      contactId: contact.id,
      direction: "out",
      content: send.content,
      state: "queued",
      idem: send.effect_key,
      author: send.author,
      at: world.clock.now(),
      ...(send.event_id === undefined ? {} : { eventId: send.event_id }),
      ...(send.reply_to === undefined ? {} : { replyTo: send.reply_to }),
    });
    if (!duplicate) live.tell(changeOf(send, message));
    return message;
  }

  /** From here on the message is out: that must be written down, however long the store is away. */
  async #sent(send: SendJob, stored: StoredIds, providerMessageId: string): Promise<JobEnd> {
    const { world, live } = this.#tools;
    await this.#stubborn.do("note a sent message", () => world.inbox.sent(stored.id, { providerMessageId }));
    return {
      result: "done",
      settled: {
        key: send.effect_key,
        state: "done",
        response: { provider_message_id: providerMessageId, message_id: stored.id },
      },
      tell: () => live.tell(changeOf(send, stored)),
    };
  }

  /** Nobody sends it again; an ack that comes after all moves it on. */
  async #uncertain(send: SendJob, stored: StoredIds, message: string): Promise<JobEnd> {
    const { world, live } = this.#tools;
    const error = { code: "uncertain", message };
    world.log.warn({ message_id: stored.id, effect: send.effect_key, error: message }, "a message may have been sent");
    await this.#stubborn.do("note an uncertain message", () => world.inbox.sent(stored.id, { error }));
    return {
      result: "done",
      settled: { key: send.effect_key, state: "unknown", error: message },
      tell: () => live.tell(changeOf(send, stored)),
    };
  }

  async #again(job: Job, key: string, failure: SendFailure): Promise<JobEnd> {
    const { world } = this.#tools;
    const error = textOf(failure);
    await this.#stubborn.do("note a message that was not sent", () => world.effects.notDone(key, error));
    const waitMs = Math.min(failure.retryAfterMs ?? 0, LONGEST_WAIT_MS);
    world.log.info({ effect: key, error, attempts: job.attempts + 1 }, "a message was not sent; trying again");
    return {
      result: "retry",
      delayMs: Math.max(waitMs, backOff(job.attempts + 1, chanceOf(world.random()))),
      error,
    };
  }

  async #failed(send: SendJob, stored: StoredIds, failure: Pick<SendFailure, "code" | "message">): Promise<JobEnd> {
    const { world, live } = this.#tools;
    const { code, message } = failure;
    const error = textOf(failure);
    world.log.warn({ message_id: stored.id, effect: send.effect_key, error }, "a message was given up");
    await this.#stubborn.do("note a failed message", () => world.inbox.sent(stored.id, { error: { code, message } }));
    return {
      result: "dead",
      error,
      settled: { key: send.effect_key, state: "dead", error },
      tell: () => live.tell(changeOf(send, stored)),
    };
  }
}

interface StoredIds {
  readonly id: string;
  readonly conversationId: string;
}

/** A person wrote it: its row was made when they did. */
function isReply({ message_id, effect_key }: SendJob): boolean {
  return effect_key === replyKey(message_id);
}

export function replyKey(messageId: string): string {
  return `reply/${messageId}`;
}

/** Jobs are written by this process's own code, and read by it. */
function sendJobOf(job: Job): SendJob {
  return job.payload as unknown as SendJob;
}

function messageOf(send: SendJob, channel: Channel, id: string): OutgoingMessage {
  const [first, ...others] = send.to;
  if (first === undefined) throw new Error("a message without a recipient was queued");
  return {
    id,
    tenantId: send.tenant_id,
    provider: channel.provider,
    channelId: channel.channelId,
    to: [first, ...others],
    content: send.content,
    idempotencyKey: send.effect_key,
    ...(send.reply_to === undefined ? {} : { replyTo: send.reply_to }),
  };
}

function disabled(channel: Channel): string | undefined {
  return channel.enabled ? undefined : "the channel is switched off";
}

function dead(key: string, error: string): JobEnd {
  return { result: "dead", error, settled: { key, state: "dead", error } };
}

function textOf({ code, message }: Pick<SendFailure, "code" | "message">): string {
  return `${code}: ${message}`;
}

function changeOf(send: SendJob, { id, conversationId }: StoredIds) {
  return { tenantId: send.tenant_id, kind: "message", conversationId, messageId: id } as const;
}
