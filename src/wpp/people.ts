import type { Person } from "#core/event/payloads.ts";
import type { Json } from "#core/json-read.ts";
import { objectAt, present, textAt } from "#core/json-read.ts";
import type { Jid } from "./jid.ts";
import { jidAt } from "./jid.ts";

const MAX_NAME_LENGTH = 256;

/** Where a message was said, and by whom (with `fromMe`: to whom). */
export interface Setting {
  readonly chat: Jid;
  readonly person: Person;
  readonly fromMe: boolean;
}

/** Undefined: nobody is named. */
export function settingOf(message: Json): Setting | undefined {
  const id = objectAt(message, "id") ?? objectAt(message, "key");
  const fromMe = message["fromMe"] === true || message["from_me"] === true || id?.["fromMe"] === true;
  const [from, to] = [jidAt(message, "from"), jidAt(message, "to")];
  const named = jidAt(message, "chatId") ?? jidAt(message, "chat_id") ?? jidAt(id, "remote") ?? jidAt(id, "remoteJid");
  // Where `chatId` is missing, the chat is the other side: the sender, or for what was written here the recipient.
  const chat = (fromMe ? to : from)?.kind === "group" ? (fromMe ? to : from) : (named ?? (fromMe ? to : from));
  if (chat === undefined) return undefined;
  return { chat, person: personOf(message, chat, fromMe), fromMe };
}

/**
 * A linked id and the number behind it stand in different fields, depending on the gateway's age. With `fromMe` the sender is the
 * business itself, so only fields of the recipient count.
 */
function personOf(message: Json, chat: Jid, fromMe: boolean): Person {
  const sender = objectAt(message, "sender");
  const inGroup = chat.kind === "group" || chat.kind === "broadcast";
  const candidates = fromMe
    ? [chat, jidAt(message, "to"), jidAt(message, "recipientPn"), jidAt(message, "recipientLid")]
    : [
        ...(inGroup ? [] : [chat, jidAt(message, "from")]),
        ...["author", "participant", "senderPn", "sender_pn", "senderLid", "sender_lid", "participantPn"].map((key) =>
          jidAt(message, key),
        ),
        ...["id", "phoneNumber", "pn", "lid"].map((key) => jidAt(sender, key)),
      ];
  const of = (kind: Jid["kind"]) => candidates.find((jid) => jid?.kind === kind)?.user;
  return present({
    phone: of("phone"),
    lid: of("lid"),
    name: fromMe ? undefined : nameOf(message, sender),
  });
}

function nameOf(message: Json, sender: Json | undefined): string | undefined {
  const owners = [
    [sender, "pushname"],
    [message, "notifyName"],
    [message, "pushName"],
    [sender, "name"],
    [message, "sender_name"],
  ] as const;
  return owners.map(([owner, key]) => textAt(owner, key, MAX_NAME_LENGTH)).find((name) => name !== undefined);
}
