import { parse } from "sdp-transform";
import { expect, test } from "vitest";
import type { SipMedia } from "#core/sdp/session.ts";
import { answerSipReoffer, readSipAnswer } from "#core/sdp/sip-answer.ts";
import type { SipLocal } from "#core/sdp/sip-offer.ts";
import { writeSipOffer } from "#core/sdp/sip-offer.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";

const local: SipLocal = {
  address: "192.0.2.1",
  port: 40_000,
  codecs: ["opus", "PCMU", "PCMA"],
  sessionId: "1760681506",
  version: 1,
  direction: "sendrecv",
};

function value<T>(result: { ok: true; value: T } | { ok: false; problem: { text: string } }): T {
  if (!result.ok) throw new Error(result.problem.text);
  return result.value;
}

const talking: SipMedia = value(readSipAnswer(sdpFixture("asterisk-answer"), local));

test("offers the trunk's codecs in its order, with a telephone-event for each clock", () => {
  expect(writeSipOffer(local).split("\r\n")).toEqual([
    "v=0",
    "o=ponte 1760681506 1 IN IP4 192.0.2.1",
    "s=ponte",
    "c=IN IP4 192.0.2.1",
    "t=0 0",
    "m=audio 40000 RTP/AVP 107 0 8 101 110",
    "a=rtcp:40001",
    "a=rtpmap:107 opus/48000/2",
    "a=fmtp:107 maxplaybackrate=16000;sprop-maxcapturerate=16000;maxaveragebitrate=20000;minptime=20;stereo=0;useinbandfec=1",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:8 PCMA/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=rtpmap:110 telephone-event/48000",
    "a=fmtp:110 0-15",
    "a=ptime:20",
    "a=maxptime:20",
    "a=sendrecv",
    "",
  ]);
});

test("offers G.711 over IPv6 without any word of Opus", () => {
  const sdp = writeSipOffer({ ...local, address: "2001:db8::1", codecs: ["PCMA", "PCMU", "PCMA"] });
  expect(sdp).toContain("o=ponte 1760681506 1 IN IP6 2001:db8::1\r\n");
  expect(sdp).toContain("c=IN IP6 2001:db8::1\r\n");
  expect(parse(sdp).media[0]?.payloads).toBe("8 0 101");
  expect(sdp).not.toMatch(/opus|48000/);
});

const narrowDigits = { payloadType: 101, clockRate: 8_000 };
const answers: readonly (readonly [string, Partial<SipMedia>])[] = [
  [
    "asterisk-answer",
    { address: "192.0.2.10", port: 11_038, rtcpPort: 11_039, digits: narrowDigits, direction: "sendrecv", ptimeMs: 20 },
  ],
  ["asterisk-opus-answer", { port: 11_040, digits: { payloadType: 110, clockRate: 48_000 } }],
  ["freeswitch-answer", { address: "198.51.100.4", port: 27_394, rtcpPort: 27_395, digits: narrowDigits }],
  ["ipv6-answer", { address: "2001:db8::7", port: 40_000, rtcpPort: 40_011, ptimeMs: 30 }],
  [
    "minimal-answer",
    {
      address: "10.0.0.5",
      audio: { codec: "PCMU", payloadType: 0, clockRate: 8_000 },
      digits: { payloadType: 96, clockRate: 8_000 },
    },
  ],
];

test.each(answers)("reads %s", (name, expected) => {
  expect(value(readSipAnswer(sdpFixture(name), local))).toMatchObject(expected);
});

test("the clock of the digits follows that of the audio, and 8000 Hz beside Opus is better than none", () => {
  const opus = sdpFixture("asterisk-opus-answer");
  const digitsOf = (sdp: string) => value(readSipAnswer(sdp, local)).digits;
  expect(digitsOf(opus.replace("107 110 101", "107 101 110"))).toEqual({ payloadType: 110, clockRate: 48_000 });
  expect(digitsOf(opus.replace("107 110 101", "107 101"))).toEqual(narrowDigits);
  expect(digitsOf(opus.replace("107 110 101", "107"))).toBeUndefined();
});

const asterisk = sdpFixture("asterisk-answer");
test.each([
  ["a=sendonly in the stream", asterisk.replace("sendrecv", "sendonly"), "sendonly"],
  [
    "a=inactive for the session",
    asterisk.replace("a=sendrecv\r\n", "").replace("t=0 0", "t=0 0\r\na=inactive"),
    "inactive",
  ],
  ["no word", asterisk.replace("a=sendrecv\r\n", ""), "sendrecv"],
  ["c=0.0.0.0", asterisk.replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0"), "sendonly"],
  [
    "c=0.0.0.0 and recvonly",
    asterisk.replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0").replace("sendrecv", "recvonly"),
    "inactive",
  ],
] as const)("the PBX's direction with %s", (_, sdp, direction) => {
  expect(value(readSipAnswer(sdp, local)).direction).toBe(direction);
});

test.each([
  ["unparsable", "SIP/2.0 200 OK", /line 1/],
  ["unparsable", asterisk.replace("c=IN IP4 192.0.2.10\r\n", ""), /no c= line/],
  ["not_audio", asterisk.replace("m=audio", "m=image"), /no m=audio/],
  ["refused_stream", asterisk.replace("m=audio 11038", "m=audio 0"), /port 0/],
  ["bad_transport", asterisk.replace("RTP/AVP", "RTP/SAVP"), /RTP\/SAVP is not/],
  ["bad_transport", asterisk.replace("c=IN IP4 192.0.2.10", "c=IN IP4 pbx.example.com"), /line 4/],
  ["bad_transport", asterisk.replace("c=IN IP4 192.0.2.10", "c=IN IP6 192.0.2.10"), /line 4/],
  ["bad_transport", asterisk.replace("c=IN IP4 192.0.2.10", "c=IN IP4 239.1.1.1"), /group/],
  ["no_common_codec", asterisk.replace("AVP 0 101", "AVP 18 101"), /telephone-event\/8000 against opus, PCMU, PCMA/],
  ["no_common_codec", asterisk.replace("AVP 0 101", "AVP 3"), /payload types 3/],
])("an answer is refused as %s", (code, sdp, text) => {
  expect(readSipAnswer(sdp, local)).toEqual({ ok: false, problem: { code, text: expect.stringMatching(text) } });
});

test("takes only what the trunk allows", () => {
  const result = readSipAnswer(sdpFixture("asterisk-answer"), { ...local, codecs: ["PCMA"] });
  expect(result).toMatchObject({ ok: false, problem: { code: "no_common_codec" } });
});

test("answers a hold with recvonly, one version further, under the offer's payload types", () => {
  const { sdp, media, local: next } = value(answerSipReoffer(sdpFixture("hold-reoffer"), talking, local));
  expect(sdp.split("\r\n")).toEqual([
    "v=0",
    "o=ponte 1760681506 2 IN IP4 192.0.2.1",
    "s=ponte",
    "c=IN IP4 192.0.2.1",
    "t=0 0",
    "m=audio 40000 RTP/AVP 0 101",
    "a=rtcp:40001",
    "a=rtpmap:0 PCMU/8000",
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-15",
    "a=ptime:20",
    "a=maxptime:20",
    "a=recvonly",
    "",
  ]);
  expect(media).toEqual({ ...talking, direction: "sendonly" });
  expect(next).toEqual({ ...local, version: 2, direction: "recvonly" });
});

test.each([
  ["sendrecv", "sendrecv"],
  ["sendonly", "recvonly"],
  ["recvonly", "sendonly"],
  ["inactive", "inactive"],
])("an offer of %s is answered with %s", (offered, answered) => {
  const { sdp, media } = value(
    answerSipReoffer(sdpFixture("hold-reoffer").replace("a=sendonly", `a=${offered}`), talking, local),
  );
  expect([parse(sdp).media[0]?.direction, media.direction]).toEqual([answered, offered]);
});

test("hold and back count versions up, and the address that was there before c=0.0.0.0 is kept", () => {
  const old = sdpFixture("hold-reoffer")
    .replace("a=sendonly\r\n", "")
    .replace("c=IN IP4 192.0.2.10", "c=IN IP4 0.0.0.0");
  const held = value(answerSipReoffer(old, talking, local));
  expect(held.media).toEqual({ ...talking, direction: "sendonly" });
  const back = value(answerSipReoffer(asterisk, held.media, held.local));
  expect(back.media).toEqual(talking);
  expect(back.sdp).toContain("o=ponte 1760681506 3 IN");
  expect(back.local.direction).toBe("sendrecv");
});

test("another codec: the first of the PBX's that the trunk allows, alone, under its payload type", () => {
  const offer = sdpFixture("asterisk-opus-answer")
    .replace("107 110 101", "96 107 110 101")
    .replaceAll(":107 opus", ":96 opus");
  const { sdp, media } = value(answerSipReoffer(offer, talking, local));
  expect(media.audio).toMatchObject({ codec: "opus", payloadType: 96 });
  expect(parse(sdp).media[0]?.payloads).toBe("96 110");
  expect(sdp).toContain("a=rtpmap:96 opus/48000/2\r\n");
});

test("other streams keep their place with port 0, and the audio among them is answered", () => {
  const { sdp, media } = value(answerSipReoffer(sdpFixture("video-reoffer"), talking, local));
  expect(sdp.split("\r\n").filter((line) => line.startsWith("m="))).toEqual([
    "m=video 0 RTP/AVP 99",
    "m=audio 40000 RTP/AVP 8 98",
    "m=application 0 UDP/BFCP *",
  ]);
  expect(media).toMatchObject({ address: "192.0.2.11", audio: { codec: "PCMA" }, digits: { payloadType: 98 } });
});

test.each([
  ["refused_stream", asterisk.replace("m=audio 11038", "m=audio 0")],
  ["not_audio", asterisk.replace("m=audio", "m=video")],
  ["no_common_codec", asterisk.replace("AVP 0 101", "AVP 18")],
  ["bad_transport", asterisk.replace("RTP/AVP", "UDP/TLS/RTP/SAVPF")],
])("a re-offer is refused as %s", (code, sdp) => {
  expect(answerSipReoffer(sdp, talking, local)).toMatchObject({ ok: false, problem: { code } });
});
