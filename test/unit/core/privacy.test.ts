import { describe, expect, test } from "vitest";
import { maskName, maskNumber, maskWacid, type Privacy, redactText } from "#core/privacy.ts";
import { redactFields } from "#core/privacy-fields.ts";

const masked: Privacy = { phoneNumbers: "masked", digits: "hidden" };

describe("phone numbers", () => {
  test.each([
    ["5511987654321", "55***21"],
    ["+5511987654321", "+55***21"],
    ["+55 11 98765-4321", "+55***21"],
    ["15551440000", "1***00"],
    ["79161234567", "7***67"],
    ["351912345678", "351***78"],
    ["4917012345678", "49***78"],
    ["881612345678", "881***78"],
    ["600", "600"],
    ["", ""],
  ])("%s shows as %s", (number, expected) => {
    expect(maskNumber(number, "masked")).toBe(expected);
  });

  test("are shown in full or not at all when so configured", () => {
    expect(maskNumber("5511987654321", "full")).toBe("5511987654321");
    expect(maskNumber("5511987654321", "hidden")).toBe("[number]");
  });
});

const wacid =
  "wacid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIEFDRDg5NzlENzcyODI2QUU2RTRBNjM1NzQxMzQ4OEVFHBgLMTU1NTE0NDAwMDAVAgAVCgA=";

describe("call ids", () => {
  test("come as the same short hash whatever they were written in", () => {
    const hash = maskWacid(wacid, "masked");
    expect(hash).toMatch(/^wacid#h[0-9a-f]{10}$/);
    expect(maskWacid(wacid.replace("=", ""), "masked")).toBe(hash);
    expect(maskWacid(wacid.replace("=", "%3D"), "masked")).toBe(hash);
    expect(maskWacid(`wacid.${"a/b".repeat(9)}`, "masked")).toBe(maskWacid(`wacid.${"a\\/b".repeat(9)}`, "masked"));
    expect(redactText(`POST /calls {"call_id":"${wacid}"}`, masked)).toBe(`POST /calls {"call_id":"${hash}"}`);
  });

  test("differ for different calls", () => {
    const hashes = new Set(Array.from({ length: 2_000 }, (_, i) => maskWacid(`wacid.HBgN${i}`, "masked")));
    expect(hashes.size).toBe(2_000);
  });
});

test("names show their first letter", () => {
  expect(maskName("Ana Souza", "masked")).toBe("A***");
  expect(maskName("Ana Souza", "hidden")).toBe("[name]");
  expect(maskName("Ana Souza", "full")).toBe("Ana Souza");
});

/** What is logged, and what of it may be read. `«…»` marks what must be gone. */
const secretTexts: readonly string[] = [
  "Authorization: Bearer «abc.DEF-123_456»",
  "authorization: Token «abc def»",
  "Authorization: Basic «dXNlcjpwYXNz»",
  '{"authorization":"Bearer «abcdefgh»"}',
  "GET https://graph.facebook.com/v23.0/1/calls?access_token=«EAAGm0PX4ZCpsBO7x» HTTP/1.1",
  "token is «EAAGm0PX4ZCpsBO7xQ»",
  '{"access_token":"«with \\"quotes\\" inside»","x":1}',
  '"{\\"access_token\\":\\"«inner»\\",\\"x\\":1}"',
  "GET /webhooks/meta?hub.mode=subscribe&hub.verify_token=«hunter2»&hub.challenge=1",
  "a=ice-ufrag:abcd\r\na=ice-pwd:«asd88fgpdd777uzjYhagZg»\r\na=setup:actpass",
  '"sdp":"v=0\\r\\na=ice-pwd:«abc\\/def+ghi»\\r\\na=mid:0"',
  "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:«PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR»|2^20",
  'Authorization: Digest username="ponte", realm="pbx", nonce="«1700000000/abc»", uri="sip:pbx", response="«0123456789abcdef0123456789abcdef»", cnonce="«0a4f113b»"',
  'WWW-Authenticate: Digest realm="pbx", nonce="«84f1c1ae6cbe5ua9c8e88dfa3ecm3459»"',
  "postgres://ponte:«s3cr3t@x»@db.example:5432/ponte",
  "drachtio://:«cymru»@sip.example:9022",
  "password: «correct»",
  "PGPASSWORD=«hunter2» psql",
  "X-Api-Key: «ponte_k1_abcdefghijklmnop»",
  "key ponte «ponte_k1_abcdefghijklmnopqrstuv»",
  "jwt «eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N»",
  "-----BEGIN PRIVATE KEY-----\n«MIGHAgEAMBMGByqGSM49AgEGCCqG»\n-----END PRIVATE KEY-----",
  "Cookie: «session=1; other=2»",
  "sharedSecret=«abc123»",
];

const personTexts: readonly string[] = [
  "INVITE sip:«5511987654321»@127.0.0.1 SIP/2.0",
  "From: <tel:«+55-11-98765-4321»>",
  "call from «+55 11 98765-4321» taken",
  "X-WhatsApp-Call-Id: «wacid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIEFDRDg5NzlE»",
  "wamid «wamid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIEFDRDg5NzlE=»",
  '{"from":"«5511987654321»","to":"«15551440000»","timestamp":"1760681506"}',
  '{"metadata":{"display_phone_number":"«1 555 144 0000»"}}',
  '{"from_user_id":"«BR.13491208655302741918»","parent_user_id":"«BR.ENT.11815799212886844830»"}',
  '{"contacts":[{"profile":{"name":"«Ana Souza»","username":"«ana.s»"}}]}',
  "caller«5511987654321»",
  "Signal=«5»\r\nDuration=160",
];

const plain = (marked: string): string => marked.replace(/[«»]/g, "");
const hiddenParts = (marked: string): string[] => [...marked.matchAll(/«([^»]+)»/g)].map((match) => match[1] ?? "");

describe("texts", () => {
  test.each(secretTexts)("hides the secret of %j at any setting", (marked) => {
    for (const phoneNumbers of ["masked", "full", "hidden"] as const) {
      const redacted = redactText(plain(marked), { phoneNumbers, digits: "shown" });
      for (const part of hiddenParts(marked)) expect(redacted).not.toContain(part);
    }
  });

  test.each(personTexts)("hides the person of %j", (marked) => {
    const redacted = redactText(plain(marked), masked);
    for (const part of hiddenParts(marked)) expect(redacted).not.toContain(part);
  });

  test.each([...secretTexts, ...personTexts])("changes %j only once", (marked) => {
    const once = redactText(plain(marked), masked);
    expect(redactText(once, masked)).toBe(once);
  });

  test("what surrounds a secret stays", () => {
    expect(redactText("a=ice-ufrag:abcd\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=setup:actpass", masked)).toBe(
      "a=ice-ufrag:abcd\r\na=ice-pwd:[secret]\r\na=setup:actpass",
    );
    expect(redactText("postgres://ponte:pw@db.example:5432/ponte", masked)).toBe(
      "postgres://ponte:[secret]@db.example:5432/ponte",
    );
    expect(redactText("GET /x?access_token=abc&limit=3", masked)).toBe("GET /x?access_token=[secret]&limit=3");
  });

  test.each([
    "call transition",
    "0196f1a2-7c3d-7e4f-8a5b-123456789012",
    "from 10.0.0.1:5060 to 192.168.100.200:40000",
    "a=ssrc:3735928559 cname:ponte",
    "a=candidate:842163049 1 udp 1677729535 203.0.113.7 40000 typ srflx",
    "at 1760681506, in ms 1760681506123",
    "fingerprint sha-256 19:E2:1C:3B:4B:9F:81:E6:B8:5C:F4:A5:A8:D8:73:04",
    "digest 0123456789abcdef0123456789abcdef",
    "phone_number_id 436666719526789",
    "2026-11-20T18:07:31.042+0300",
    "rtt 0.1234567890123",
    "Unexpected token } in JSON at position 4",
  ])("leaves %j as it is", (text) => {
    expect(redactText(text, masked)).toBe(text);
  });

  test.each([
    ["a scheme without end", "a.".repeat(8_000)],
    ["backslashes", `"username${"\\".repeat(16_000)}`],
    ["digits", "7".repeat(16_000)],
    ["quotes", `password="${'\\"'.repeat(8_000)}`],
    ["pluses", "+1 ".repeat(5_000)],
    ["words", "token:".repeat(2_700)],
  ])("takes no long time over %s", (_name, text) => {
    // Of the processor, which others may be using as well.
    const before = process.cpuUsage();
    redactText(text, masked);
    expect(process.cpuUsage(before).user / 1_000).toBeLessThan(250);
  });
});

describe("fields", () => {
  test("are hidden by their name, in any spelling and depth", () => {
    expect(
      redactFields(
        {
          accessToken: "x",
          meta: { app_secrets: ["a", "b"], Authorization: { any: "thing" } },
          password: "",
          api_key: undefined,
          has_token: true,
        },
        masked,
      ),
    ).toEqual({
      accessToken: "[secret]",
      meta: { app_secrets: "[secret]", Authorization: "[secret]" },
      password: "",
      has_token: true,
    });
  });

  test("of a person are masked, channels and times stay", () => {
    expect(
      redactFields(
        {
          caller_number: "5511987654321",
          number: 5511987654321,
          channel_id: "436666719526789",
          timestamp: "1760681506",
          wa_id: "5511987654321",
          user_id: "BR.13491208655302741918",
          profile_name: "Ana",
          list: ["5511987654321", 1760681506123],
        },
        masked,
      ),
    ).toEqual({
      caller_number: "55***21",
      number: "55***21",
      channel_id: "436666719526789",
      timestamp: "1760681506",
      wa_id: "55***21",
      user_id: expect.stringMatching(/^id#h[0-9a-f]{10}$/),
      profile_name: "A***",
      list: ["55***21", 1760681506123],
    });
  });

  test("hold digits only where they may be read", () => {
    expect(redactFields({ digit: "5", digits_in: 3 }, masked)).toEqual({ digit: "[digits]", digits_in: 3 });
    expect(redactFields({ digit: "5" }, { phoneNumbers: "masked", digits: "shown" })).toEqual({ digit: "5" });
  });

  test("show errors with their causes, redacted", () => {
    const cause = new Error("connect postgres://u:hunter2@db");
    const error = Object.assign(new Error("no answer for 5511987654321", { cause }), { code: "x", token: "hunter2" });
    const fields = redactFields({ err: error, all: new AggregateError([cause], "both") }, masked);
    expect(JSON.stringify(fields)).not.toMatch(/hunter2|5511987654321/);
    expect(fields["err"]).toMatchObject({
      type: "Error",
      message: "no answer for 55***21",
      code: "x",
      cause: { message: "connect postgres://u:[secret]@db" },
    });
    expect(fields["all"]).toMatchObject({ errors: [{ message: "connect postgres://u:[secret]@db" }] });
  });

  test("never show bytes", () => {
    const bytes = Buffer.from("hunter2 hunter2");
    expect(redactFields({ bytes, view: new Uint8Array(bytes), raw: bytes.buffer }, masked)).toEqual({
      bytes: "[15 bytes]",
      view: "[15 bytes]",
      raw: expect.stringMatching(/^\[\d+ bytes\]$/),
    });
  });

  test("have limits and survive what is circular or throws", () => {
    const circular: Record<string, unknown> = { text: "a".repeat(40_000), list: Array.from({ length: 300 }, () => 1) };
    circular["self"] = circular;
    expect(JSON.stringify(redactFields(circular, masked)).length).toBeLessThan(300_000);
    const throws = {
      get x(): string {
        throw new TypeError("no");
      },
    };
    expect(redactFields(throws, masked)).toEqual({ unloggable: "TypeError" });
  });

  test("a secret at the place where a text is cut is not halved", () => {
    const text = `${"a ".repeat(8_187)}EAAGm0PX4ZCpsBO7xQ`;
    expect(JSON.stringify(redactFields({ text }, masked))).not.toContain("EAAG");
  });
});
