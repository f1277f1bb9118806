import { parse } from "sdp-transform";
import { expect, test } from "vitest";
import type { LocalTransport } from "#core/sdp/transport.ts";
import { writeWhatsAppAnswer } from "#core/sdp/whatsapp-answer.ts";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";

const local: LocalTransport = {
  ufrag: "X1ho",
  pwd: "7fJSbV2N5qWiA5QiDKwK3vuh",
  lite: false,
  fingerprint: {
    algorithm: "sha-256",
    value: "2E:35:9F:21:9E:63:72:E5:42:74:76:2D:B3:70:F7:CB:24:14:9B:14:52:71:05:48:DA:4D:67:31:09:58:2A:ED",
  },
  candidates: [
    { foundation: "1", component: 1, priority: 2130706431, address: "203.0.113.10", port: 51420, type: "host" },
    { foundation: "2", component: 1, priority: 2130706175, address: "192.0.2.8", port: 51420, type: "host" },
    { foundation: "3", component: 1, priority: 2130706430, address: "2001:db8::10", port: 51420, type: "host" },
  ],
};
const identity = { ssrc: 330833028, cname: "ponte", sessionId: "2822644248144643933" };

function answerTo(name: string, transport: LocalTransport = local): string {
  const offer = readWhatsAppOffer(sdpFixture(name));
  if (!offer.ok) throw new Error(offer.problem.text);
  return writeWhatsAppAnswer(offer.value, transport, identity);
}

test("the answer to Meta's offer is the one that works, line by line", () => {
  expect(answerTo("meta-2025").split("\r\n")).toEqual([
    "v=0",
    "o=- 2822644248144643933 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "a=group:BUNDLE audio",
    "a=msid-semantic: WMS ponte",
    "m=audio 51420 UDP/TLS/RTP/SAVPF 111 126",
    "c=IN IP4 203.0.113.10",
    "a=rtcp:9 IN IP4 0.0.0.0",
    "a=candidate:1 1 udp 2130706431 203.0.113.10 51420 typ host",
    "a=candidate:3 1 udp 2130706430 2001:db8::10 51420 typ host",
    "a=end-of-candidates",
    "a=ice-ufrag:X1ho",
    "a=ice-pwd:7fJSbV2N5qWiA5QiDKwK3vuh",
    `a=fingerprint:sha-256 ${local.fingerprint.value}`,
    "a=setup:active",
    "a=mid:audio",
    "a=sendrecv",
    "a=msid:ponte ponte-audio",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1",
    "a=rtpmap:126 telephone-event/8000",
    "a=ptime:20",
    "a=maxptime:20",
    "a=ssrc:330833028 cname:ponte",
    "",
  ]);
});

/** What Meta checks in an answer, with sdp-transform as a reader that is not ours. */
test.each(["meta-2025", "meta-older", "chromium", "wrtc"])("the answer to %s passes every check of Meta's", (name) => {
  const sdp = answerTo(name);
  const lines = sdp.split("\r\n");
  const { media } = parse(sdp);
  const stream = media[0];
  const count = (prefix: string) => lines.filter((line) => line.startsWith(prefix)).length;
  expect(sdp.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
  expect(lines.at(-1)).toBe("");
  expect(media.map(({ type, protocol }) => [type, protocol])).toEqual([["audio", "UDP/TLS/RTP/SAVPF"]]);
  expect([stream?.iceUfrag, stream?.icePwd]).toEqual([local.ufrag, local.pwd]);
  expect([count("a=fingerprint:"), stream?.fingerprint?.type]).toEqual([1, "sha-256"]);
  expect(stream?.setup).toBe("active");
  expect(sdp).not.toContain("ice-lite");
  expect(stream?.payloads).toBe("111 126");
  expect(stream?.rtp.map(({ payload, codec, rate }) => [payload, codec, rate])).toEqual([
    [111, "opus", 48_000],
    [126, "telephone-event", 8_000],
  ]);
  expect(stream?.rtcpMux).toBe("rtcp-mux");
  expect(count("a=ssrc:")).toBe(1);
  expect(stream?.candidates?.map(({ ip }) => ip)).toEqual(["203.0.113.10", "2001:db8::10"]);
  expect(`${stream?.mid}`).toBe(parse(sdpFixture(name)).media[0]?.mid?.toString());
  expect(stream?.direction).toBe("sendrecv");
  expect([stream?.ptime, stream?.maxptime]).toEqual([20, 20]);
});

test("without candidates it names no address: the relay learns it from our checks", () => {
  const sdp = answerTo("meta-2025", { ...local, candidates: [] });
  expect(sdp).toContain("m=audio 9 UDP/TLS/RTP/SAVPF 111 126\r\nc=IN IP4 0.0.0.0\r\n");
  expect(sdp).not.toContain("a=candidate");
});

test("with IPv6 alone it says so in c=, and a translated candidate hides what is behind it", () => {
  const candidates = local.candidates.slice(2).map((candidate) => ({ ...candidate, type: "srflx" as const }));
  const sdp = answerTo("meta-2025", { ...local, candidates });
  expect(sdp).toContain("c=IN IP6 2001:db8::10\r\n");
  expect(sdp).toContain("a=candidate:3 1 udp 2130706430 2001:db8::10 51420 typ srflx raddr :: rport 9\r\n");
});

test("an offer without mid and digits is answered without them", () => {
  const offer = readWhatsAppOffer(sdpFixture("meta-2025").replace("a=mid:audio\r\n", "").replace("111 126", "111"));
  if (!offer.ok) throw new Error(offer.problem.text);
  const sdp = writeWhatsAppAnswer(offer.value, local, identity);
  expect(sdp).toMatch(/SAVPF 111\r\n/);
  expect(sdp).not.toMatch(/a=mid|BUNDLE|telephone-event/);
});
