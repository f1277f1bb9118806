import { expect, test } from "vitest";
import type { SipRequest } from "#sip-agent/message/message.ts";
import { parseMessage } from "#sip-agent/message/parse.ts";
import { serverKey } from "#sip-agent/transaction/keys.ts";

function request(method: string, via: string, callId = "c1", uri = "sip:b@h", cseq = 1): SipRequest {
  const lines = [
    `${method} ${uri} SIP/2.0`,
    `Via: ${via}`,
    "From: <sip:a@h>;tag=1",
    "To: <sip:b@h>",
    `Call-ID: ${callId}`,
  ];
  const parsed = parseMessage(Buffer.from(`${lines.join("\r\n")}\r\nCSeq: ${cseq} ${method}\r\n\r\n`), {
    maxHeaders: 10,
    maxMessageBytes: 1_000,
  });
  if (!parsed.ok || parsed.message.kind !== "request") throw new Error("not a request");
  return parsed.message;
}

const cookie = "SIP/2.0/UDP h:5060;branch=z9hG4bK1";
const old = "SIP/2.0/UDP h:5060;branch=1";

test.each([
  ["an ACK finds its INVITE", request("INVITE", cookie), request("ACK", cookie), true],
  ["a BYE with the same branch is another transaction", request("INVITE", cookie), request("BYE", cookie), false],
  ["the branch decides, not the Call-ID", request("INVITE", cookie), request("INVITE", cookie, "c2"), true],
  [
    "another sent-by is another transaction",
    request("INVITE", cookie),
    request("INVITE", cookie.replace("5060", "5070")),
    false,
  ],
  [
    "5060 is the port that is not written",
    request("INVITE", cookie),
    request("INVITE", cookie.replace(":5060", "")),
    true,
  ],
  ["without the cookie an ACK finds its INVITE too", request("INVITE", old), request("ACK", old), true],
  ["without the cookie the Call-ID counts", request("INVITE", old), request("INVITE", old, "c2"), false],
  ["without the cookie the Request-URI counts", request("INVITE", old), request("INVITE", old, "c1", "sip:c@h"), false],
  ["without the cookie CSeq counts", request("INVITE", old), request("INVITE", old, "c1", "sip:b@h", 2), false],
])("%s (RFC 3261 §17.2.3)", (_, a, b, same) => {
  expect(serverKey(a) === serverKey(b)).toBe(same);
});

test("a CANCEL has a transaction of its own and finds the INVITE", () => {
  const [invite, cancel] = [request("INVITE", cookie), request("CANCEL", cookie)];
  expect(serverKey(cancel)).not.toBe(serverKey(invite));
  expect(serverKey(cancel, "INVITE")).toBe(serverKey(invite));
});
