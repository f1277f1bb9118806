import type { Identity } from "#core/contact/identity.ts";
import { groupIdentity, identitiesOf } from "#core/contact/person.ts";
import type { Json } from "#core/json-read.ts";
import { isObject, textAt } from "#core/json-read.ts";

/**
 * WhatsApp's addresses, as WPPConnect and its relatives write them:
 *
 *     5511987654321@c.us            a person by number; also @s.whatsapp.net, with a device as in 5511987654321:12@…
 *     123456789012345@lid           a person whose number is hidden
 *     120363025246125486@g.us       a group; older ones 5511987654321-1500000000@g.us
 *     status@broadcast              everybody's status
 *     120363144038483540@newsletter a channel that people follow
 */
export type Jid =
  | { readonly kind: "phone" | "lid" | "group"; readonly user: string }
  | { readonly kind: "broadcast" | "newsletter"; readonly user: string };

const MAX_JID_LENGTH = 128;
const kinds: Readonly<Record<string, Jid["kind"]>> = {
  "c.us": "phone",
  "s.whatsapp.net": "phone",
  lid: "lid",
  "hosted.lid": "lid",
  "g.us": "group",
  broadcast: "broadcast",
  newsletter: "newsletter",
};

/** Bare digits are a phone number. Undefined: no address. */
export function parseJid(text: string): Jid | undefined {
  const [, user = "", server] = /^([\w.:+-]{1,80}?)(?:@([a-z.]{1,32}))?$/.exec(text.trim()) ?? [];
  // Which of a person's devices wrote is of no interest: `5511987654321:12@s.whatsapp.net`, `…_1:12@…` of old ones.
  const name = user.replace(/[_:].*$/, "");
  if (server === undefined)
    return /^\+?\d{5,20}$/.test(name) ? { kind: "phone", user: name.replace("+", "") } : undefined;
  const kind = Object.hasOwn(kinds, server) ? kinds[server] : undefined;
  if (kind === undefined) return undefined;
  if (kind === "phone" || kind === "lid") return /^\d{5,32}$/.test(name) ? { kind, user: name } : undefined;
  return /^[\w-]+$/.test(name) ? { kind, user: name } : undefined;
}

/** The address in a field, which is a text or an object with `_serialized` (or `user` and `server`). */
export function jidAt(owner: Json | undefined, key: string): Jid | undefined {
  const value = owner?.[key];
  const text = textAt(owner, key, MAX_JID_LENGTH) ?? (isObject(value) ? serialized(value) : undefined);
  return text === undefined ? undefined : parseJid(text);
}

function serialized(value: Json): string | undefined {
  const whole = textAt(value, "_serialized", MAX_JID_LENGTH);
  const [user, server] = [textAt(value, "user", 80), textAt(value, "server", 32)];
  return whole ?? (user === undefined || server === undefined ? undefined : `${user}@${server}`);
}

/** What a conversation is named by; nothing for broadcasts. */
export function jidIdentity({ kind, user }: Jid): Identity | undefined {
  if (kind === "group") return groupIdentity(user);
  return kind === "phone" || kind === "lid" ? identitiesOf({ [kind]: user })[0] : undefined;
}

/** The address to send to; undefined for a BSUID, which only Meta knows. */
export function jidOf({ kind, address }: Identity): string | undefined {
  if (kind === "phone") return `${address}@c.us`;
  if (kind === "lid") return `${address}@lid`;
  return kind === "group" ? `${address}@g.us` : undefined;
}
