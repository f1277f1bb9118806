import type { Caller, Offer } from "#core/call/call.ts";

/** What the PBX is told about a call, beside its SDP: the headers of ponte's INVITE. Absent facts have no header. */
export function dialHeaders(callId: string, offer: Offer): Readonly<Record<string, string>> {
  const headers: Record<string, string | undefined> = {
    "X-Ponte-Call": callId,
    "X-WhatsApp-Call-Id": offer.wacid,
    "X-WhatsApp-User": userOf(offer.caller),
    "X-WhatsApp-Name": offer.caller.profileName,
    "X-WhatsApp-Channel": offer.channelId,
    "X-WhatsApp-Cta-Payload": offer.ctaPayload,
    "X-WhatsApp-Deeplink-Payload": offer.deeplinkPayload,
  };
  return Object.fromEntries(
    Object.entries(headers).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}

/** The caller's number, or the business-scoped user id of one who hides it. */
export function userOf(caller: Caller): string | undefined {
  return caller.number ?? caller.userId;
}
