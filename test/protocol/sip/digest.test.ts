import { createHash } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { IncomingRequest } from "#sip/message.ts";
import { Cleanup, dialRequest, hungUp, nonce, ScriptedPbx, startEdge, Told } from "./support.ts";

const cleanup = new Cleanup();
let pbx: ScriptedPbx;

beforeEach(async () => {
  pbx = cleanup.add(await new ScriptedPbx().start(), (each) => each.stop());
});
afterEach(() => cleanup.run());

interface Realm {
  readonly header: "WWW-Authenticate" | "Proxy-Authenticate";
  readonly algorithm?: "MD5" | "SHA-256";
  readonly qop?: "auth" | "auth-int";
}

/** Checks a request's credentials by a computation of its own (RFC 7616 §3.4). */
function isRight(request: IncomingRequest, realm: Realm, password: string, nonces: readonly string[]): boolean {
  const name = realm.header === "WWW-Authenticate" ? "Authorization" : "Proxy-Authorization";
  const value = request.header(name) ?? "";
  const part = (key: string) => new RegExp(`[ ,]${key}="?([^",]*)"?`).exec(value)?.[1] ?? "";
  const h = (text: string) =>
    createHash(realm.algorithm === "SHA-256" ? "sha256" : "md5")
      .update(text)
      .digest("hex");
  const a1 = h(`user:pbx.example:${password}`);
  const a2 = h(`${request.method}:${request.uri}${realm.qop === "auth-int" ? `:${h(request.body)}` : ""}`);
  const middle = realm.qop === undefined ? "" : `${part("nc")}:${part("cnonce")}:${realm.qop}:`;
  const used = part("nonce");
  return nonces.includes(used) && part("uri") === request.uri && part("response") === h(`${a1}:${used}:${middle}${a2}`);
}

function challenge(realm: Realm, fresh: string, stale = false): string {
  const qop = realm.qop === undefined ? "" : `, qop="${realm.qop}"`;
  const algorithm = realm.algorithm === undefined ? "" : `, algorithm=${realm.algorithm}`;
  return `Digest realm="pbx.example", nonce="${fresh}"${algorithm}${qop}, opaque="o"${stale ? ", stale=true" : ""}`;
}

/** Asks for credentials of every realm in turn, then answers. */
function guard(realms: readonly Realm[], password: string): void {
  const nonces: string[] = [];
  pbx.onRequest = (request) => {
    if (request.method !== "INVITE") return;
    const missing = realms.find((realm) => !isRight(request, realm, password, nonces));
    if (missing === undefined) {
      void pbx.answer(request);
      return;
    }
    const fresh = nonce();
    nonces.push(fresh);
    request.respond(missing.header === "WWW-Authenticate" ? 401 : 407, {
      headers: { [missing.header]: challenge(missing, fresh) },
    });
  };
}

async function call(password: string | undefined): Promise<{ told: Told; invites: readonly IncomingRequest[] }> {
  const account = password === undefined ? {} : { username: "user", password };
  const world = await startEdge(cleanup, { port: pbx.port, ...account });
  const told = new Told();
  const leg = world.edge.dial(dialRequest("100"), told);
  await Promise.race([told.until(/^answered/), told.end()]);
  await leg.hangUp(hungUp);
  await expect.poll(() => world.edge.counters()).toEqual({ legs: 0, dialogs: 0, replies: 0, transactions: 0 });
  return { told, invites: pbx.seen.filter((request) => request.method === "INVITE") };
}

describe("a challenge is answered", () => {
  test.each<readonly [string, readonly Realm[]]>([
    ["MD5 without qop, as RFC 2069", [{ header: "WWW-Authenticate" }]],
    ["MD5", [{ header: "WWW-Authenticate", algorithm: "MD5", qop: "auth" }]],
    ["SHA-256", [{ header: "WWW-Authenticate", algorithm: "SHA-256", qop: "auth" }]],
    ["SHA-256 with integrity, by a proxy", [{ header: "Proxy-Authenticate", algorithm: "SHA-256", qop: "auth-int" }]],
    [
      "by a proxy and then by the PBX",
      [
        { header: "Proxy-Authenticate", algorithm: "SHA-256", qop: "auth" },
        { header: "WWW-Authenticate", algorithm: "MD5", qop: "auth" },
      ],
    ],
  ])("%s", async (_, realms) => {
    guard(realms, "right");
    const { told, invites } = await call("right");
    expect(told.lines).toEqual(["answered PCMU", "ended by agent"]);
    expect(invites).toHaveLength(realms.length + 1);
    const numbers = invites.map((invite) => Number.parseInt(invite.header("CSeq") ?? "", 10));
    expect(numbers).toEqual(numbers.map((_each, index) => (numbers[0] ?? 0) + index));
    expect(new Set(invites.map((invite) => `${invite.callId} ${invite.header("From")}`)).size).toBe(1);
  });

  test("the topmost that we can do, when several are offered", async () => {
    const sha: Realm = { header: "WWW-Authenticate", algorithm: "SHA-256", qop: "auth" };
    const fresh = nonce();
    pbx.onRequest = (request) => {
      if (request.method !== "INVITE") return;
      if (isRight(request, sha, "right", [fresh])) void pbx.answer(request);
      else {
        const several = [
          `Digest realm="pbx.example", nonce="x", algorithm=SHA-512-256, qop="auth"`,
          challenge(sha, fresh),
          challenge({ ...sha, algorithm: "MD5" }, "y"),
        ];
        request.respond(401, { headers: { "WWW-Authenticate": several.join(", ") } });
      }
    };
    expect((await call("right")).told.lines).toEqual(["answered PCMU", "ended by agent"]);
  });

  test("once more when only the nonce was stale", async () => {
    const md5: Realm = { header: "WWW-Authenticate", algorithm: "MD5", qop: "auth" };
    const fresh = [nonce(), nonce()];
    let tries = 0;
    pbx.onRequest = (request) => {
      if (request.method !== "INVITE") return;
      tries += 1;
      if (tries === 3 && isRight(request, md5, "right", fresh.slice(1))) void pbx.answer(request);
      else
        request.respond(401, { headers: { "WWW-Authenticate": challenge(md5, fresh[tries - 1] ?? "", tries === 2) } });
    };
    expect((await call("right")).told.lines).toEqual(["answered PCMU", "ended by agent"]);
  });
});

describe("a call fails", () => {
  test.each([
    ["with a wrong password, after one try", "wrong", 2],
    ["without credentials, at once", undefined, 1],
  ])("%s", async (_, password, tries) => {
    guard([{ header: "WWW-Authenticate", algorithm: "MD5", qop: "auth" }], "right");
    const { told, invites } = await call(password);
    expect(told.lines).toEqual(["failed 401"]);
    expect(invites).toHaveLength(tries);
  });

  test("when every nonce is stale, after three tries", async () => {
    pbx.onRequest = (request) => {
      if (request.method !== "INVITE") return;
      const headers = { "WWW-Authenticate": challenge({ header: "WWW-Authenticate", qop: "auth" }, nonce(), true) };
      request.respond(401, { headers });
    };
    const { told, invites } = await call("right");
    expect(told.lines).toEqual(["failed 401"]);
    expect(invites).toHaveLength(4);
  });
});
