import { expect, test } from "vitest";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";

const offer = sdpFixture("meta-2025");

/** Candidates of RFC 8839 that are not for us: TCP, RTCP, a name, nobody, a group, no port. */
const strange = [
  "a=candidate:1 1 tcp 1518283007 192.0.2.1 9 typ host tcptype active",
  "a=candidate:1 2 udp 2122260222 192.0.2.1 3485 typ host",
  "a=candidate:1 1 udp 2122260223 0b1f7a3e-8f1e-4b3e-9f57-2f1de0d6b6b8.local 50000 typ host",
  "a=candidate:1 1 udp 2122260223 0.0.0.0 3484 typ host",
  "a=candidate:1 1 udp 2122260223 239.1.1.1 3484 typ host",
  "a=candidate:1 1 udp 2122260223 192.0.2.1 0 typ host",
  "a=candidate:1 1 udp 99999999999 192.0.2.1 3484 typ host",
];

function read(sdp: string) {
  const result = readWhatsAppOffer(sdp);
  if (!result.ok) throw new Error(`${result.problem.code}: ${result.problem.text}`);
  return result.value;
}

test("reads the offer that Meta sends today", () => {
  expect(read(offer)).toEqual({
    mid: "audio",
    transport: {
      ufrag: "AeinEGDfvqBctbtM",
      pwd: "F6/jjqL0/8/Dzluc0IoZEQ==",
      lite: true,
      fingerprint: {
        algorithm: "sha-256",
        value: "A2:EC:E2:C4:E4:FE:75:63:39:0D:77:45:DF:70:64:BC:F9:96:73:DE:F4:92:E5:78:D0:5B:1F:8F:E7:46:D3:C6",
      },
      setup: "actpass",
      candidates: [
        {
          foundation: "3935165743",
          component: 1,
          priority: 2122260223,
          address: "57.144.215.49",
          port: 3484,
          type: "host",
        },
        {
          foundation: "2617197009",
          component: 1,
          priority: 2122262783,
          address: "2a03:2880:f36b:131:face:b00c:0:699c",
          port: 3484,
          type: "host",
        },
      ],
    },
    audio: {
      codec: "opus",
      payloadType: 111,
      clockRate: 48_000,
      fmtp: "maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1",
    },
    digits: { payloadType: 126, clockRate: 8_000 },
    ssrc: 1047224411,
    ptimeMs: 20,
  });
});

test.each([
  ["meta-older", { mid: "audio", lite: true, candidates: 2, ssrc: 3407645770 }],
  ["chromium", { mid: "0", lite: false, candidates: 2, ssrc: 4022259021 }],
  ["wrtc", { mid: "0", lite: false, candidates: 4, ssrc: 4113396252 }],
] as const)("reads %s: its UDP candidates, opus/48000/2 and telephone-event/8000 only", (name, expected) => {
  const { mid, transport, audio, digits, ssrc } = read(sdpFixture(name));
  expect({ mid, lite: transport.lite, candidates: transport.candidates.length, ssrc }).toEqual(expected);
  expect([audio.codec, audio.payloadType, digits]).toEqual(["opus", 111, { payloadType: 126, clockRate: 8_000 }]);
});

test.each([
  ["LF only", offer.replaceAll("\r\n", "\n")],
  ["unknown lines and attributes", offer.replace("t=0 0", "t=0 0\r\nx=y\r\nb=AS:60\r\na=nobody-knows:this")],
  ["names in other case", offer.replace("opus/48000/2", "OPUS/48000/2").replace("sha-256", "SHA-256")],
  [
    "more fingerprints before the right one",
    offer.replace("a=fingerprint", "a=fingerprint:sha-1 AA:BB\r\na=fingerprint"),
  ],
  [
    "candidates that mean nothing to us",
    offer.replace("a=candidate", `a=candidate:x\r\n${strange.join("\r\n")}\r\na=candidate`),
  ],
  ["ice-lite in the stream", offer.replace("a=ice-lite\r\n", "").replace("a=rtcp-mux", "a=rtcp-mux\r\na=ice-lite")],
  ["no setup, which means actpass", offer.replace("a=setup:actpass\r\n", "")],
])("understands the same with %s", (_, sdp) => {
  expect(sdp).not.toBe(offer);
  expect(read(sdp)).toEqual(read(offer));
});

test("takes credentials of digits as text, and an offer without mid, digits and ssrc", () => {
  const plain = offer
    .replace(/a=ice-pwd:.*/, "a=ice-pwd:1234567890123456789012")
    .replace(/a=ice-ufrag:.*/, "a=ice-ufrag:0012")
    .replace("a=mid:audio\r\n", "")
    .replace("111 126", "111")
    .replace(/a=ssrc.*\r\n/, "");
  const { mid, transport, digits, ssrc } = read(plain);
  expect([mid, transport.ufrag, transport.pwd, digits, ssrc]).toEqual([
    "",
    "0012",
    "1234567890123456789012",
    undefined,
    undefined,
  ]);
});

test("a candidate of another generation is passed over", () => {
  const sdp = sdpFixture("meta-older").replace("network-cost 50 ufrag 6k2qP1R6kBfI/2", "network-cost 50 ufrag old");
  expect(read(sdp).transport.candidates.map(({ address }) => address)).toEqual(["2a03:2880:f211:d1:face:b00c:0:699c"]);
});

const broken: readonly (readonly [string, string, string, RegExp])[] = [
  ["nothing", "", "unparsable", /line 1/],
  ["no SDP at all", "<html>502</html>", "unparsable", /line 1/],
  ["a line that is none", offer.replace("s=-", "hello"), "unparsable", /line 3/],
  ["a control character", offer.replace("a=mid:audio", "a=mid:au\u0000dio"), "unparsable", /line \d+/],
  ["an m= without formats", offer.replace(" 111 126", ""), "unparsable", /m= lacks/],
  ["a port beyond 65535", offer.replace("m=audio 3484", "m=audio 70000"), "unparsable", /m= lacks/],
  ["a mid that is no token", offer.replace("a=mid:audio", "a=mid:a b"), "unparsable", /a=mid/],
  ["too long", offer + "a=x:y\r\n".repeat(5_000), "unparsable", /characters/],
  ["too many lines", offer + "a=x\r\n".repeat(1_000), "unparsable", /lines/],
  ["no stream", "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n", "not_audio", /no m= line/],
  ["video beside audio", `${offer}m=video 9 UDP/TLS/RTP/SAVPF 96\r\n`, "not_audio", /m=video/],
  ["video instead of audio", offer.replace("m=audio", "m=video"), "not_audio", /m=video/],
  ["port 0", offer.replace("m=audio 3484", "m=audio 0"), "refused_stream", /port 0/],
  ["audio in one direction", offer.replace("a=sendrecv", "a=recvonly"), "refused_stream", /a=recvonly/],
  ["SDES", offer.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVP"), "bad_transport", /srtp_key_exchange_protocol/],
  ["no rtcp-mux", offer.replace("a=rtcp-mux\r\n", ""), "bad_transport", /a=rtcp-mux/],
  ["setup:active", offer.replace("setup:actpass", "setup:active"), "bad_transport", /setup:active/],
  ["setup:holdconn", offer.replace("setup:actpass", "setup:holdconn"), "bad_transport", /line \d+: a=setup/],
  ["no opus", offer.replace("opus/48000/2", "opus/16000/2"), "no_common_codec", /opus\/16000, telephone-event/],
  ["opus not among the formats", offer.replace("111 126", "126"), "no_common_codec", /telephone-event\/8000/],
  ["no fingerprint", offer.replace(/a=fingerprint.*\r\n/, ""), "no_fingerprint", /missing/],
  ["sha-1 only", offer.replace("sha-256 ", "sha-1 "), "no_fingerprint", /line \d+/],
  ["half a fingerprint", offer.replace(":D0:5B:1F:8F:E7:46:D3:C6", ""), "no_fingerprint", /32 bytes/],
  ["no ufrag", offer.replace(/a=ice-ufrag.*\r\n/, ""), "no_ice", /a=ice-ufrag is missing/],
  ["no pwd", offer.replace(/a=ice-pwd.*\r\n/, ""), "no_ice", /a=ice-pwd is missing/],
  ["an empty pwd", offer.replace(/a=ice-pwd.*/, "a=ice-pwd:"), "no_ice", /line \d+: a=ice-pwd/],
  ["ice-lite without candidates", offer.replace(/a=candidate.*\r\n/g, ""), "no_ice", /a=ice-lite/],
];

test.each(broken)("refuses an offer with %s and says where", (_, sdp, code, text) => {
  expect(readWhatsAppOffer(sdp)).toEqual({ ok: false, problem: { code, text: expect.stringMatching(text) } });
});
