import type { ChannelState } from "#core/channel/channel.ts";
import type { DeliveryAckPayload } from "#core/event/payloads.ts";

/** The words of gateways: WPPConnect's, those of its relatives, and plain ones. Compared without case, `_`, `-`, `.` and spaces. */

export type GatewayEvent = "message" | "ack" | "connection";

const plain = (word: string): string => word.toLowerCase().replace(/[^a-z0-9]/g, "");

function table<T>(rows: readonly (readonly [T, string])[]): (word: string) => T | undefined {
  const map = new Map(rows.flatMap(([value, words]) => words.split(" ").map((word) => [word, value] as const)));
  return (word) => map.get(plain(word));
}

export const eventWord = table<GatewayEvent>([
  ["message", "message onmessage onanymessage messagereceived messagecreated messageinbound"],
  ["ack", "messageack onack ack messagestatus messageupdate"],
  ["connection", "connectionupdate connection statusfind onstatechange statechange qrcode sessionstatus"],
]);

export const stateWord = table<ChannelState>([
  ["new", "new created none notfound"],
  [
    "connecting",
    "connecting opening starting initializing pairing syncing resuming loading timeout conflict qrreadsuccess",
  ],
  ["qr", "qr qrcode scan scanqr scanqrcode waitingqr waitingforqr needsqr notlogged unpaired unpairedidle pending"],
  ["connected", "connected open islogged inchat normal main ready authenticated online chatsavailable working"],
  [
    "disconnected",
    "disconnected disconnectedmobile desconnectedmobile close closed logout loggedout offline browserclose " +
      "autoclosecalled devicenotconnected serverclose qrreaderror qrreadfail deletetoken failed error",
  ],
]);

/** Undefined: on its way still, which is no news. */
export const ackWord = table<DeliveryAckPayload["status"]>([
  ["failed", "failed error"],
  ["sent", "sent server serverack"],
  ["delivered", "delivered device deliveryack received"],
  ["read", "read seen played viewed"],
]);

/** WhatsApp Web's numbers: -1 error, 0 clock, 1 server, 2 device, 3 read, 4 played. */
export function ackNumber(ack: number): DeliveryAckPayload["status"] | undefined {
  if (ack < 0) return "failed";
  return ([undefined, "sent", "delivered", "read", "read"] as const)[ack];
}
