import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import {
  type DigestChallenge,
  digestCredentials,
  digestResponse,
  type HashFunction,
  parseChallenges,
} from "#core/sip/digest.ts";

const hash: HashFunction = (name, text) =>
  createHash(name === "MD5" ? "md5" : "sha256")
    .update(text)
    .digest("hex");

function only(value: string): DigestChallenge {
  const [challenge] = parseChallenges(value);
  if (challenge === undefined) throw new Error(`no challenge in ${value}`);
  return challenge;
}

const rfc7616 = {
  username: "Mufasa",
  password: "Circle of Life",
  method: "GET",
  uri: "/dir/index.html",
  body: "",
  nonceCount: 1,
  clientNonce: "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
};
const nonce7616 = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";

describe("published vectors", () => {
  test.each([
    ["RFC 7616 §3.9.1, MD5", "MD5", "8ca523f5e9506fed4657c9700eebdbec"],
    ["RFC 7616 §3.9.1, SHA-256", "SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"],
  ])("%s", (_, algorithm, expected) => {
    const challenge = only(
      `Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=${algorithm}, nonce="${nonce7616}", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"`,
    );
    expect(digestResponse(challenge, rfc7616, hash)).toBe(expected);
  });

  test("RFC 2617 §3.5", () => {
    const challenge = only(
      'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"',
    );
    const request = { ...rfc7616, password: "Circle Of Life", clientNonce: "0a4f113b" };
    expect(digestResponse(challenge, request, hash)).toBe("6629fae49393a05397450978507c4ef1");
  });

  test("RFC 2069 without qop (erratum 749)", () => {
    const challenge = only('Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"');
    const request = { ...rfc7616, password: "CircleOfLife" };
    expect(digestResponse(challenge, request, hash)).toBe("1949323746fe6a43ef61f9606e7febea");
  });
});

describe("a challenge", () => {
  test("is read among others, joined by a comma, in their order", () => {
    const found = parseChallenges(
      'Digest realm="a, b", nonce="n1", algorithm=SHA-256, qop="auth",Basic realm="x", Digest realm="c\\"d",nonce="n2",stale=TRUE,opaque=""',
    );
    expect(found).toEqual([
      { realm: "a, b", nonce: "n1", hash: "SHA-256", session: false, algorithm: "SHA-256", qop: "auth", stale: false },
      { realm: 'c"d', nonce: "n2", hash: "MD5", session: false, qop: undefined, stale: true, opaque: "" },
    ]);
  });

  test.each([
    ["nothing", undefined],
    ["an unknown algorithm", 'Digest realm="a", nonce="n", algorithm=SHA-512-256'],
    ["an unknown qop", 'Digest realm="a", nonce="n", qop="token"'],
    ["no nonce", 'Digest realm="a"'],
    ["another scheme", 'Bearer realm="a", nonce="n"'],
    ["parameters without a scheme", 'realm="a", nonce="n"'],
    ["an open quote", 'Digest realm="a, nonce="'],
    ["an endless value", `Digest realm="${"a".repeat(10_000)}", nonce="n"`],
  ])("with %s is not answered", (_, value) => {
    expect(parseChallenges(value)).toEqual([]);
  });

  test("is answered with quoted values escaped and numbers bare", () => {
    const challenge = only('Digest realm="a\\"b", nonce="n", qop=auth, algorithm=md5-sess, opaque="o"');
    expect(challenge.session).toBe(true);
    const credentials = digestCredentials(
      challenge,
      { ...rfc7616, username: 'x"y', nonceCount: 26, clientNonce: "c" },
      hash,
    );
    expect(credentials).toMatch(
      /^Digest username="x\\"y", realm="a\\"b", nonce="n", uri="\/dir\/index.html", response="[0-9a-f]{32}", algorithm=md5-sess, qop=auth, nc=0000001a, cnonce="c", opaque="o"$/,
    );
  });
});
