import { expect, test } from "vitest";
import { DigestSession } from "#sip/digest-session.ts";
import type { Answer } from "#sip/message.ts";

function challenged(status: number, realm: string, nonce: string, stale = false): Answer {
  const name = status === 401 ? "WWW-Authenticate" : "Proxy-Authenticate";
  const value = `Digest realm="${realm}", nonce="${nonce}", qop="auth"${stale ? ", stale=true" : ""}`;
  return {
    status,
    reason: "",
    body: "",
    dialogId: "",
    fromNetwork: true,
    header: (wanted) => (wanted === name ? value : undefined),
  };
}

const invite = { method: "INVITE", uri: "sip:100@pbx", body: "v=0" };
const bye = { method: "BYE", uri: "sip:pbx", body: "" };

test("a BYE is authenticated after an INVITE was, by the same realm", () => {
  const session = new DigestSession("user", "secret");
  expect(session.answer(challenged(401, "pbx", "n1"), invite)?.["Authorization"]).toContain('uri="sip:100@pbx"');
  const again = session.answer(challenged(401, "pbx", "n2"), bye)?.["Authorization"];
  expect(again).toContain('nonce="n2"');
  expect(again).toContain('uri="sip:pbx"');
  expect(again).toContain("nc=00000001");
});

test("a server's challenge keeps the proxy's credentials, with the next count", () => {
  const session = new DigestSession("user", "secret");
  session.answer(challenged(407, "proxy", "p"), invite);
  const both = session.answer(challenged(401, "pbx", "n"), invite);
  expect(Object.keys(both ?? {}).toSorted()).toEqual(["Authorization", "Proxy-Authorization"]);
  expect(both?.["Proxy-Authorization"]).toContain("nc=00000002");
});

test("refused credentials are not tried again, an old nonce is", () => {
  const session = new DigestSession("user", "secret");
  session.answer(challenged(401, "pbx", "n1"), invite);
  expect(session.answer(challenged(401, "pbx", "n2", true), invite)).toBeDefined();
  expect(session.answer(challenged(401, "pbx", "n3"), invite)).toBeUndefined();
});

test("other answers are no challenges", () => {
  const session = new DigestSession("user", "secret");
  expect(session.answer({ ...challenged(401, "pbx", "n"), header: () => undefined }, invite)).toBeUndefined();
  expect(session.answer({ ...challenged(401, "pbx", "n"), status: 403 }, invite)).toBeUndefined();
});
