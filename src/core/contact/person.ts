import type { Person } from "#core/event/payloads.ts";
import type { Identity } from "./identity.ts";
import { phoneDigits, phoneIdentity } from "./phone.ts";

/** WhatsApp's linked ids have 15 digits today. */
const LID = /^\d{5,32}$/;
const MAX_BSUID_LENGTH = 200;

/**
 * All identities of a person, best first: a phone number outlives the others, a BSUID holds for one business, and a linked id
 * for one kind of chat. Empty when nothing usable is known.
 */
export function identitiesOf(person: Person): readonly Identity[] {
  const digits = person.phone === undefined ? undefined : phoneDigits(person.phone);
  const { bsuid, lid } = person;
  return [
    ...(digits === undefined ? [] : [phoneIdentity(digits)]),
    ...(bsuid === undefined || !isBsuid(bsuid) ? [] : [{ kind: "bsuid", value: bsuid, address: bsuid } as const]),
    ...(lid === undefined || !LID.test(lid) ? [] : [{ kind: "lid", value: lid, address: lid } as const]),
  ];
}

/** `@`, spaces and control characters are in none of Meta's ids. */
function isBsuid(text: string): boolean {
  return text.length > 0 && text.length <= MAX_BSUID_LENGTH && /^[\w.:-]+$/.test(text);
}

/** A group as an identity. `id`: the part before `@g.us`, or Meta's group id. */
export function groupIdentity(id: string): Identity {
  return { kind: "group", value: id, address: id };
}

/** `5511987654321`, `+55 11 98765-4321`, `…@lid`, `…@g.us`, `…@c.us` or a BSUID, as people and rules write recipients. */
export function identityOf(text: string): Identity | undefined {
  const word = text.trim();
  const [, user = "", server] = /^([^@\s]+)@([a-z.]+)$/i.exec(word) ?? [];
  switch (server?.toLowerCase()) {
    case undefined:
      break;
    case "lid":
      return identitiesOf({ lid: user })[0];
    case "g.us":
      return /^[\d-]{5,64}$/.test(user) ? groupIdentity(user) : undefined;
    case "c.us":
    case "s.whatsapp.net":
      return identitiesOf({ phone: user })[0];
    default:
      return undefined;
  }
  // A BSUID begins with the letters of a country: `BR.13491208655302741918`.
  return /^[A-Z]{2}\.[\w.]+$/.test(word) ? identitiesOf({ bsuid: word })[0] : identitiesOf({ phone: word })[0];
}
