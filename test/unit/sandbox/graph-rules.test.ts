import { beforeEach, describe, expect, test } from "vitest";
import { graphRules } from "#sandbox/meta/rules.ts";
import { ana, Bench, goodAnswer, number, otherNumber } from "./support.ts";

/** What Meta answers, without the parts that chance decides. */
interface Refusal {
  readonly status: number;
  readonly code: number;
  readonly subcode?: number;
  readonly details: RegExp;
  readonly type?: string;
}

const invalid = (details: RegExp): Refusal => ({ status: 400, code: 100, details });

type Post = ReturnType<Bench["post"]>;

interface Row {
  readonly rule: string;
  readonly what: string;
  readonly act: (bench: Bench, wacid: string) => Post;
  readonly gets: Refusal;
}

const without = (line: RegExp): string => goodAnswer.replace(line, "");
const session = (sdp: unknown, type: unknown = "answer"): object => ({ session: { sdp_type: type, sdp } });

const graphRows: readonly Row[] = [
  {
    rule: "G1",
    what: "an unknown token",
    act: (bench, wacid) =>
      bench.post({ messaging_product: "whatsapp", call_id: wacid, action: "reject" }, { token: "Bearer x" }),
    gets: { status: 401, code: 190, details: /access token/ },
  },
  {
    rule: "G1",
    what: "no bearer scheme",
    act: (bench, wacid) =>
      bench.post({ messaging_product: "whatsapp", call_id: wacid, action: "reject" }, { token: "token" }),
    gets: { status: 401, code: 190, details: /access token/ },
  },
  {
    rule: "G2",
    what: "a phone number id that is not ours",
    act: (bench, wacid) =>
      bench.post({ messaging_product: "whatsapp", call_id: wacid, action: "reject" }, { id: "999" }),
    gets: { status: 400, code: 100, subcode: 33, details: /999/, type: "GraphMethodException" },
  },
  {
    rule: "G3",
    what: "a malformed version",
    act: (bench, wacid) =>
      bench.post({ messaging_product: "whatsapp", call_id: wacid, action: "reject" }, { version: "latest" }),
    gets: invalid(/version/),
  },
  {
    rule: "G3",
    what: "an old version, when that is refused",
    act: (bench, wacid) => {
      bench.modes = { ...bench.modes, oldVersion: "refuse" };
      return bench.post({ messaging_product: "whatsapp", call_id: wacid, action: "reject" }, { version: "v14.0" });
    },
    gets: invalid(/v14\.0/),
  },
  { rule: "G4", what: "a body that is not JSON", act: (bench) => bench.post("{"), gets: invalid(/JSON object/) },
  { rule: "G4", what: "a list", act: (bench) => bench.post([]), gets: invalid(/JSON object/) },
  {
    rule: "G4",
    what: "no messaging_product",
    act: (bench, wacid) => bench.post({ call_id: wacid, action: "reject" }),
    gets: invalid(/messaging_product/),
  },
  {
    rule: "G5",
    what: "an unknown action",
    act: (bench, wacid) => bench.act("hold", wacid),
    gets: invalid(/PRE_ACCEPT/),
  },
  {
    rule: "G6",
    what: "an unknown field",
    act: (bench, wacid) => bench.act("reject", wacid, { reject_reason: "busy" }),
    gets: invalid(/reject_reason/),
  },
  {
    rule: "G7",
    what: "calling switched off",
    act: (bench, wacid) => {
      bench.settings.set(number.phoneNumberId, { status: "DISABLED", sip: "DISABLED" });
      return bench.act("reject", wacid);
    },
    gets: { status: 401, code: 138000, details: /not enabled/ },
  },
  {
    rule: "G8",
    what: "a number in SIP mode",
    act: (bench, wacid) => {
      bench.settings.set(number.phoneNumberId, { status: "ENABLED", sip: "ENABLED" });
      return bench.act("reject", wacid);
    },
    gets: { status: 400, code: 131055, details: /SIP/ },
  },
  {
    rule: "G9",
    what: "an unknown call_id",
    act: (bench) => bench.act("terminate", "wacid.x"),
    gets: invalid(/unknown/),
  },
  {
    rule: "G9",
    what: "the call of another number",
    act: (bench, wacid) =>
      bench.post(
        { messaging_product: "whatsapp", call_id: wacid, action: "terminate" },
        { id: otherNumber.phoneNumberId },
      ),
    gets: invalid(/unknown/),
  },
  {
    rule: "G10",
    what: "reject of an accepted call",
    act: (bench, wacid) => {
      bench.answering("accept", wacid);
      return bench.act("reject", wacid);
    },
    gets: invalid(/already in progress/),
  },
  {
    rule: "G10",
    what: "accept after the user hung up",
    act: (bench) => {
      const { call } = bench.place();
      call.hangUp();
      return bench.answering("accept", call.wacid);
    },
    gets: invalid(/completed/),
  },
  {
    rule: "G11",
    what: "no session",
    act: (bench, wacid) => bench.act("accept", wacid),
    gets: invalid(/session/),
  },
  {
    rule: "G11",
    what: "an offer as answer",
    act: (bench, wacid) => bench.act("accept", wacid, session(goodAnswer, "offer")),
    gets: invalid(/must be answer/),
  },
  {
    rule: "G13",
    what: "an accept that differs from its pre_accept by one digit",
    act: (bench, wacid) => {
      bench.answering("pre_accept", wacid);
      return bench.answering("accept", wacid, goodAnswer.replace("51420 typ", "51421 typ"));
    },
    gets: invalid(/differs/),
  },
  {
    rule: "G14",
    what: "a second pre_accept",
    act: (bench, wacid) => {
      bench.answering("pre_accept", wacid);
      return bench.answering("pre_accept", wacid);
    },
    gets: invalid(/already pre-accepted/),
  },
  {
    rule: "G14",
    what: "a second accept",
    act: (bench, wacid) => {
      bench.answering("accept", wacid);
      return bench.answering("accept", wacid);
    },
    gets: invalid(/already accepted/),
  },
  {
    rule: "G15",
    what: "an accept after the ring time",
    act: (bench, wacid) => {
      bench.clock.advance(60_001);
      return bench.answering("accept", wacid);
    },
    gets: invalid(/not answered in time/),
  },
  {
    rule: "G16",
    what: "a terminate after the end",
    act: (bench, wacid) => {
      bench.act("reject", wacid);
      return bench.act("terminate", wacid);
    },
    gets: invalid(/already completed/),
  },
  {
    rule: "G17",
    what: "connect: this sandbox has no permissions to call",
    act: (bench) =>
      bench.post({
        messaging_product: "whatsapp",
        to: "5511987654321",
        action: "connect",
        ...session(goodAnswer, "offer"),
      }),
    gets: { status: 401, code: 138006, details: /permission/ },
  },
  {
    rule: "G27",
    what: "513 characters of opaque data",
    act: (bench, wacid) => bench.answering("accept", wacid, goodAnswer, { biz_opaque_callback_data: "x".repeat(513) }),
    gets: invalid(/512/),
  },
  {
    rule: "G33",
    what: "recording without a purpose",
    act: (bench, wacid) =>
      bench.answering("accept", wacid, goodAnswer, { recording: { status: "ENABLED", announcement_language: "pt" } }),
    gets: invalid(/purpose/),
  },
  {
    rule: "G33",
    what: "transcription in an unknown language",
    act: (bench, wacid) =>
      bench.answering("accept", wacid, goodAnswer, {
        transcription: { status: "ENABLED", purpose: "quality", announcement_language: "tlh" },
      }),
    gets: invalid(/language/),
  },
  {
    rule: "G33",
    what: "recording with an unknown status",
    act: (bench, wacid) => bench.answering("accept", wacid, goodAnswer, { recording: { status: "ON" } }),
    gets: invalid(/status/),
  },
];

/** SDP that no answer may be. */
const sdpRows: readonly (readonly [rule: string, what: string, sdp: string, gets: Refusal])[] = [
  ["D1", "bare LF", goodAnswer.replaceAll("\r\n", "\n"), invalid(/CRLF/)],
  ["D1", "no final CRLF", goodAnswer.trimEnd(), invalid(/end in CRLF/)],
  ["D1", "a line that is none", goodAnswer.replace("a=rtcp-mux", "rtcp-mux"), invalid(/Line 19/)],
  ["D1", "no origin", without(/o=.*\r\n/), invalid(/o=/)],
  [
    "D1",
    "connection data behind attributes",
    goodAnswer.replace(/c=.*\r\n/, "").replace("a=sendrecv\r\n", "a=sendrecv\r\nc=IN IP4 1.2.3.4\r\n"),
    invalid(/order/),
  ],
  ["D2", "two m-lines", `${goodAnswer}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n`, invalid(/one m-line/)],
  ["D2", "video", goodAnswer.replace("m=audio", "m=video"), invalid(/one m-line/)],
  ["D2", "plain RTP", goodAnswer.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP"), invalid(/RTP\/AVP/)],
  ["D3", "no ice-ufrag", without(/a=ice-ufrag.*\r\n/), invalid(/ice-ufrag/)],
  ["D3", "no ice-pwd", without(/a=ice-pwd.*\r\n/), invalid(/ice-pwd/)],
  ["D4", "no fingerprint", without(/a=fingerprint.*\r\n/), invalid(/^No fingerprint found in SDP$/)],
  [
    "D4",
    "two fingerprints",
    goodAnswer.replace(/(a=fingerprint:)sha-256 (\S+)\r\n/, "$1sha-256 $2\r\n$1sha-384 $2\r\n"),
    { status: 400, code: 138008, details: /one fingerprint/ },
  ],
  ["D4", "sha-1", goodAnswer.replace("sha-256", "sha-1"), { status: 400, code: 138008, details: /sha-256/ }],
  ["D5", "setup:actpass", goodAnswer.replace("setup:active", "setup:actpass"), invalid(/setup/)],
  ["D5", "no setup", without(/a=setup.*\r\n/), invalid(/setup/)],
  ["D7", "Opus under another payload type", goodAnswer.replaceAll("111", "96"), invalid(/111 opus/)],
  ["D7", "telephone-event/48000", goodAnswer.replace("telephone-event/8000", "telephone-event/48000"), invalid(/126/)],
  ["D8", "no rtcp-mux", without(/a=rtcp-mux\r\n/), invalid(/rtcp-mux/)],
  ["D11", "mid 0", goodAnswer.replace("a=mid:audio", "a=mid:0"), invalid(/mid/)],
];

let bench: Bench;
let wacid: string;

beforeEach(() => {
  bench = new Bench();
  wacid = bench.place().call.wacid;
});

function expectRefusal(answer: Post, rule: string, gets: Refusal): void {
  const error = answer.body["error"] as Record<string, unknown>;
  expect({ status: answer.status, code: error["code"], subcode: error["error_subcode"] }).toEqual({
    status: gets.status,
    code: gets.code,
    subcode: gets.subcode,
  });
  expect(error["type"]).toBe(gets.type ?? "OAuthException");
  expect(error["fbtrace_id"]).toMatch(/^A[\w-]{22}$/);
  expect((error["error_data"] as Record<string, unknown>)["details"]).toMatch(gets.details);
  expect(bench.log.violations().at(-1)?.rule).toBe(rule);
  expect(bench.log.requests().at(-1)).toMatchObject({ status: gets.status, code: gets.code });
}

describe("each broken rule gets its error", () => {
  test.each(graphRows)("$rule: $what", ({ rule, act, gets }) => {
    expectRefusal(act(bench, wacid), rule, gets);
  });

  test.each(sdpRows)("%s: %s", (rule, _what, sdp, gets) => {
    expectRefusal(bench.answering("pre_accept", wacid, sdp), rule, gets);
    expect(bench.calls.find(wacid)?.state).toBe("offered");
  });

  test("no rule of the table is left without a row", () => {
    const tolerated = ["D6", "D9", "D10", "D12"];
    const tested = new Set([...graphRows.map((row) => row.rule), ...sdpRows.map(([rule]) => rule), ...tolerated]);
    expect(graphRules.map((rule) => rule.id).filter((id) => !tested.has(id))).toEqual([]);
  });
});

describe("what Meta takes without a word, and what then becomes of it", () => {
  test.each([
    ["D6", "a lite answer", goodAnswer.replace("t=0 0\r\n", "t=0 0\r\na=ice-lite\r\n")],
    ["D12", "a one-way answer", goodAnswer.replace("sendrecv", "sendonly")],
  ])("%s: %s never connects", (rule, _what, sdp) => {
    expect(bench.answering("pre_accept", wacid, sdp).status).toBe(200);
    expect(bench.relay.told).toEqual(["answer that never connects"]);
    expect(bench.log.violations(rule)).toHaveLength(1);
  });

  test.each([
    ["D9", "two SSRCs", `${goodAnswer}a=ssrc:5 cname:other\r\n`],
    ["D10", "an mDNS candidate", goodAnswer.replace("203.0.113.10 51420", "1f2d.local 51420")],
  ])("%s: %s is only noted", (rule, _what, sdp) => {
    expect(bench.answering("pre_accept", wacid, sdp).status).toBe(200);
    expect(bench.relay.told).toEqual(["answer"]);
    expect(bench.log.violations(rule)).toHaveLength(1);
  });

  test("G3: an old version is only noted", () => {
    const body = { messaging_product: "whatsapp", call_id: wacid, action: "reject" };
    expect(bench.post(body, { version: "v14.0" }).status).toBe(200);
    expect(bench.log.violations("G3")).toHaveLength(1);
  });

  test("G5: actions in any case, G6: `to` in accept, G33: recording with all that it needs", () => {
    const recording = { status: "ENABLED", purpose: "quality", announcement_language: "es_ES" };
    const more = { ...session(goodAnswer, "ANSWER"), to: ana.number, recording, transcription: { status: "DISABLED" } };
    expect(bench.act("ACCEPT", wacid, more).status).toBe(200);
    expect(bench.log.violations()).toEqual([]);
  });

  test("G6: unknown fields, when they are ignored", () => {
    bench.modes = { ...bench.modes, unknownBodyFields: "ignore" };
    expect(bench.act("reject", wacid, { reject_reason: "busy" }).status).toBe(200);
  });

  test("G11: an offer as answer, when Meta takes it and never connects", () => {
    bench.modes = { ...bench.modes, wrongSdpType: "never_connect" };
    expect(bench.act("accept", wacid, session(goodAnswer, "offer")).status).toBe(200);
    expect(bench.relay.told).toEqual(["answer that never connects", "accept"]);
  });
});
