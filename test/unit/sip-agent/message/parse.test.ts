import { describe, expect, test } from "vitest";
import { type ParseResult, parseMessage } from "#sip-agent/message/parse.ts";
import { serialize } from "#sip-agent/message/serialize.ts";
import { parseCSeq, parseNameAddr, parseVia, splitList } from "#sip-agent/message/values.ts";

const LIMITS = { maxMessageBytes: 65_535, maxHeaders: 100 };

function parse(text: string): ParseResult {
  return parseMessage(Buffer.from(text.replaceAll("\r\n", "\n").replaceAll("\n", "\r\n"), "utf8"), LIMITS);
}

const BASE: Readonly<Record<string, string>> = {
  start: "OPTIONS sip:user@example.com SIP/2.0",
  Via: "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKkdjuw",
  "Max-Forwards": "70",
  From: "sip:caller@example.org;tag=323",
  To: "sip:user@example.com",
  "Call-ID": "a.b@c",
  CSeq: "3 OPTIONS",
};

/** A good message with some lines changed; `undefined` leaves the line out. */
function variant(changes: Readonly<Record<string, string | undefined>> = {}, body = ""): string {
  const { start, ...headers } = { ...BASE, ...changes };
  const lines = Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]));
  return `${[start ?? "", ...lines].join("\n")}\n\n${body}`;
}

/** RFC 4475 §3.1.1.1, written anew with the same hardships. */
const TORTUOUS = `INVITE sip:vivekg@chair.example.com;unknownparam SIP/2.0
TO :
 sip:vivekg@chair.example.com ;   tag    = 1918181833n
from   : "J \\\\\\"R"       <sip:jdrosen@example.com>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: wsinv.ndaksdj@192.0.2.1
Content-Length   : 4
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.2;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example.com;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example.com   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

body and more`;

test("a tortuous INVITE is read right (RFC 4475 §3.1.1.1)", () => {
  const parsed = parse(TORTUOUS);
  if (!parsed.ok) throw new Error(parsed.reason);
  const { headers, body } = parsed.message;
  expect(parseNameAddr(headers.get("To") ?? "")?.params.get("tag")).toBe("1918181833n");
  expect(parseNameAddr(headers.get("From") ?? "")).toMatchObject({ uri: "sip:jdrosen@example.com" });
  expect(parseCSeq(headers.get("CSeq"))).toEqual({ number: 9, method: "INVITE" });
  expect(headers.list("Via").map((via) => [parseVia(via)?.transport, parseVia(via)?.params.get("branch")])).toEqual([
    ["UDP", "390skdjuw"],
    ["TCP", "z9hG4bK9ikj8"],
    ["UDP", "z9hG4bK30239"],
  ]);
  expect(parseNameAddr(headers.get("Contact") ?? "")).toMatchObject({
    display: '"Quoted string \\"\\""',
    uri: "sip:jdrosen@example.com",
  });
  expect(headers.get("subject")).toBe("");
  expect(headers.get("NewFangledHeader")).toBe("newfangled value continued newfangled value");
  expect(body.toString()).toBe("body");
});

describe("what RFC 4475 wants accepted", () => {
  test.each([
    [
      "3.1.1.2 unusual method and URI",
      {
        start: "!a-Method0123456789*_+`.%'~ sip:1_u.U~(t)&i'+i$/c?,/;;*:&i+h=1@example.com SIP/2.0",
        CSeq: "1 !a-Method0123456789*_+`.%'~",
      },
    ],
    ["3.1.1.3 escaped characters", { start: "OPTIONS sip:sips%3Auser%40example.com@example.net SIP/2.0" }],
    ["3.1.1.4 escaped NUL in a URI", { To: "sip:null-%00-null@example.com" }],
    [
      "3.1.1.5 a percent that escapes nothing",
      { start: "RE%47IST%45R sip:registrar.example.com SIP/2.0", CSeq: "29344 RE%47IST%45R" },
    ],
    ["3.1.1.6 no space between name and URI", { From: "caller<sip:caller@example.com>;tag=323" }],
    [
      "3.1.1.7 long values",
      { To: `"I have a user name of ${"ex".repeat(500)}treme" <sip:user@example.com:6000;p${"a".repeat(500)}=1>` },
    ],
    ["3.1.1.9 a semicolon in the user part", { start: "OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0" }],
    [
      "3.1.1.10 transports of all kinds",
      {
        Via: "SIP/2.0/UDP t1.example.com;branch=z9hG4bKkdjuw, SIP/2.0/SCTP t2.example.com;branch=1, SIP/2.0/TLS t3;branch=2, SIP/2.0/UNKNOWN t4;branch=3",
      },
    ],
    ["3.2.1 a branch that is only the cookie", { Via: "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK" }],
    ["3.3.2 an unknown scheme", { start: "OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0" }],
    ["3.3.3 an atypical scheme", { start: "OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0" }],
    ["3.3.4 unknown schemes in headers", { To: "isbn:2983792873" }],
    ["3.3.12 a Max-Forwards of zero", { "Max-Forwards": "0" }],
    ["3.3.15 a broken Date", { Date: "Fri, 01 Jan 2010 16:00:00 EST" }],
    [
      "RFC 5118 an IPv6 Via",
      { Via: "SIP/2.0/UDP [2001:db8::9:1]:5060;branch=z9hG4bK1", start: "OPTIONS sip:[2001:db8::10] SIP/2.0" },
    ],
  ])("%s", (_, changes) => {
    expect(parse(variant(changes))).toMatchObject({ ok: true });
  });

  test.each([
    ["3.1.1.13 no reason phrase", "SIP/2.0 100 "],
    ["no space behind the status", "SIP/2.0 100"],
    ["3.1.1.12 a reason in another script", "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое"],
  ])("%s", (_, start) => {
    expect(parse(variant({ start }))).toMatchObject({ ok: true, message: { kind: "response" } });
  });
});

describe("what is refused with 400", () => {
  test.each([
    ["3.1.2.2 a negative Content-Length", { "Content-Length": "-999" }, "invalid Content-Length"],
    ["3.1.2.2 a Content-Length beyond the datagram", { "Content-Length": "9999" }, "body shorter than Content-Length"],
    ["3.1.2.4 a CSeq beyond 2³¹", { CSeq: "36893488147419103232 OPTIONS" }, "invalid CSeq"],
    ["3.1.2.17 a CSeq of another method", { CSeq: "8 INVITE" }, "CSeq does not match the method"],
    ["3.1.2.6 an unclosed bracket", { To: "<sip:user@example.com" }, "invalid To"],
    ["3.3.8 a line without a name", { ": x": "y" }, "broken header line"],
    ["an empty From", { From: "" }, "invalid From"],
    ["a Call-ID of two words", { "Call-ID": "a b" }, "invalid Call-ID"],
  ])("%s", (_, changes, reason) => {
    expect(parse(variant(changes))).toMatchObject({ ok: false, reason, answerable: { kind: "request" } });
  });
});

describe("what is dropped", () => {
  test.each([
    ["3.1.2.8 no SIP start line", { start: "OPTIONS sip:user@example.com" }],
    ["3.1.2.9 spaces inside the Request-URI", { start: "OPTIONS sip:user@example.com; lr SIP/2.0" }],
    ["3.1.2.16 another version", { start: "OPTIONS sip:t.watson@example.org SIP/7.0" }],
    ["3.1.2.19 a status beyond 699", { start: "SIP/2.0 4294967301 better not break" }],
    ["3.3.1 no Call-ID", { "Call-ID": undefined }],
    ["3.3.1 no From", { From: undefined }],
    ["no Via", { Via: undefined }],
    ["a Via that is none", { Via: "here" }],
    ["an ACK with a broken CSeq", { start: "ACK sip:user@example.com SIP/2.0", CSeq: "x ACK" }],
  ])("%s", (_, changes) => {
    const parsed = parse(variant(changes));
    expect(parsed.ok).toBe(false);
    expect("answerable" in parsed).toBe(false);
  });

  test("too many headers, and too many bytes", () => {
    expect(parse(variant({ X: `1\n${"Y: 2\n".repeat(200)}Z: 3` }))).toEqual({ ok: false, reason: "too many headers" });
    expect(parseMessage(Buffer.alloc(70_000, "x"), LIMITS)).toEqual({ ok: false, reason: "message too large" });
  });

  test.each(["", "\r\n", "\0\0\0\0", "hello", ":", "SIP/2.0"])("%j", (text) => {
    expect(parseMessage(Buffer.from(text), LIMITS).ok).toBe(false);
  });
});

test("bytes behind Content-Length are cut off; without it the body is the rest", () => {
  expect(parse(variant({ "Content-Length": "2" }, "héllo"))).toMatchObject({
    message: { body: Buffer.from("h\xc3", "latin1") },
  });
  expect(parse(variant({}, "héllo"))).toMatchObject({ message: { body: Buffer.from("héllo") } });
});

test("bare line feeds are read as line ends", () => {
  expect(parseMessage(Buffer.from(variant({}, "x")), LIMITS)).toMatchObject({
    ok: true,
    message: { body: Buffer.from("x") },
  });
});

test("what is written is read back the same, with long names and a right length", () => {
  const parsed = parse(TORTUOUS);
  if (!parsed.ok) throw new Error(parsed.reason);
  const bytes = serialize(parsed.message);
  expect(bytes.toString()).toContain("\r\nCSeq: 0009 INVITE\r\n");
  expect(bytes.toString()).toContain("\r\nContent-Length: 4\r\n\r\nbody");
  const again = parseMessage(bytes, LIMITS);
  if (!again.ok) throw new Error(again.reason);
  expect([...again.message.headers].filter(([name]) => name !== "Content-Length")).toEqual(
    [...parsed.message.headers].filter(([name]) => name !== "Content-Length"),
  );
});

test("a value with a line break is never written", () => {
  const parsed = parse(variant());
  if (!parsed.ok) throw new Error(parsed.reason);
  parsed.message.headers.add("X-Evil", "a\r\nInjected: b");
  expect(() => serialize(parsed.message)).toThrow("line break");
});

test.each([
  ['"a,b" <sip:x,y@z>, <sip:c>;p="q,r" , ,d', ['"a,b" <sip:x,y@z>', '<sip:c>;p="q,r"', "d"]],
  ["", []],
  ['"open, quote', ['"open, quote']],
])("a list is split at its own commas: %j", (value, parts) => {
  expect(splitList(value)).toEqual(parts);
});
