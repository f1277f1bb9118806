import type { Channel } from "#core/channel/channel.ts";
import { asKnown, type Identity, type IdentityKind } from "#core/contact/identity.ts";
import { identityOf } from "#core/contact/person.ts";
import { PonteError } from "#core/error.ts";
import { uuidV7 } from "#core/id.ts";
import type { Message } from "#core/message/message.ts";
import type { ActionTools } from "./actions/action.ts";
import { sendJob } from "./actions/send-message.ts";
import { contentProblems } from "./content-check.ts";
import { replyKey } from "./handlers/send.ts";
import type { Outcome, Refusal, SendRequest } from "./services.ts";

/** As in `identitiesOf`: the best way first, and the same one for rules and people, so that their messages share a lane. */
const BEST_FIRST: readonly IdentityKind[] = ["phone", "bsuid", "lid", "group"];

interface Target {
  readonly channel: Channel;
  readonly contactId: string;
  readonly to: readonly [Identity, ...Identity[]];
}

/** Stores and queues what a person wrote. The same idempotency key again is the same message. */
export async function sendByPerson(tools: ActionTools, request: SendRequest): Promise<Outcome<Message>> {
  const { world, live } = tools;
  const { tenantId, content, by, replyTo, idempotencyKey } = request;
  const [problem] = contentProblems(content, "content");
  if (problem !== undefined) return refusal(400, "bad_content", `${problem.field} ${problem.message}`);
  try {
    const target = await targetOf(tools, request);
    if ("ok" in target) return target;
    const { channel, contactId, to } = target;
    const id = uuidV7(world.clock.now(), world.random());
    const { message, duplicate } = await world.inbox.put({
      id,
      tenantId,
      channel: channel.id,
      contactId,
      direction: "out",
      content,
      state: "queued",
      idem: idempotencyKey === undefined ? replyKey(id) : `api/${tenantId}/${idempotencyKey}`,
      author: by,
      at: world.clock.now(),
      ...(replyTo === undefined ? {} : { replyTo }),
    });
    if (duplicate && message.state !== "queued") return { ok: true, value: message };
    // Also of a duplicate: a crash may have come between the two. The ledger knows what was sent.
    const job = sendJob(channel, {
      message_id: message.id,
      tenant_id: tenantId,
      channel: channel.id,
      to,
      content,
      effect_key: replyKey(message.id),
      author: by,
      ...(replyTo === undefined ? {} : { reply_to: replyTo }),
    });
    await world.queue.add([job]);
    live.tell({ tenantId, kind: "message", conversationId: message.conversationId, messageId: message.id });
    return { ok: true, value: message };
  } catch (error) {
    if (!(error instanceof PonteError) || !error.retryable) throw error;
    return refusal(503, error.code, error.message);
  }
}

async function targetOf({ world }: ActionTools, { tenantId, to }: SendRequest): Promise<Target | Refusal> {
  if ("conversationId" in to) {
    const conversation = await world.inbox.conversation(tenantId, to.conversationId);
    if (conversation === undefined) return refusal(404, "unknown_conversation", "there is no such conversation");
    const channel = await usableChannel(world.channels.get(tenantId, conversation.channel));
    if ("ok" in channel) return channel;
    const [first, ...others] = bestFirst(conversation.contact.identities);
    if (first === undefined) return refusal(409, "unreachable_contact", "nothing is known to reach the contact by");
    return { channel, contactId: conversation.contact.id, to: [first, ...others] };
  }
  const identity = identityOf(to.phone);
  if (identity === undefined) return refusal(400, "bad_recipient", `${to.phone} is no phone number`);
  const channel = await usableChannel(world.channels.get(tenantId, to.channel));
  if ("ok" in channel) return channel;
  const contact = await world.contacts.reach(tenantId, [identity]);
  const [known] = asKnown(contact, [identity] as const);
  const others = bestFirst(contact.identities).filter((one) => one.kind !== identity.kind);
  return { channel, contactId: contact.id, to: [known, ...others] };
}

async function usableChannel(found: Promise<Channel | undefined>): Promise<Channel | Refusal> {
  const channel = await found;
  if (channel === undefined) return refusal(404, "unknown_channel", "there is no such channel");
  return channel.enabled ? channel : refusal(409, "channel_disabled", "the channel is switched off");
}

function bestFirst(identities: readonly Identity[]): readonly Identity[] {
  return identities.toSorted((x, y) => BEST_FIRST.indexOf(x.kind) - BEST_FIRST.indexOf(y.kind));
}

function refusal(status: number, code: string, message: string): Refusal {
  return { ok: false, status, code, message };
}
