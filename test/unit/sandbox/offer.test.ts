import { expect, test } from "vitest";
import { rtpMaps, valuesOf, viewSdp } from "#sandbox/meta/sdp-view.ts";
import { currentOffer, olderOffer } from "#sandbox/relay/offer.ts";

const local = {
  ufrag: "AeinEGDfvqBctbtM",
  pwd: "F6/jjqL0/8/Dzluc0IoZEQ==",
  lite: true,
  fingerprint: {
    algorithm: "sha-256",
    value: "A2:EC:E2:C4:E4:FE:75:63:39:0D:77:45:DF:70:64:BC:F9:96:73:DE:F4:92:E5:78:D0:5B:1F:8F:E7:46:D3:C6",
  },
  candidates: [
    { foundation: "1", component: 1, priority: 1, address: "57.144.215.49", port: 3484, type: "host" as const },
    {
      foundation: "2",
      component: 1,
      priority: 2,
      address: "2a03:2880:f36b:131:face:b00c:0:699c",
      port: 3484,
      type: "host" as const,
    },
  ],
};

const facts = {
  local,
  ssrc: 1047224411,
  streamId: "c3867497-e6f7-4408-82b7-80dbd11b94cf",
  now: 1760681506762.4,
  ipv6: "reachable" as const,
};

test("the current shape equals a capture of October 2025", () => {
  expect(currentOffer(facts)).toBe(
    [
      "v=0",
      "o=- 1760681506762 2 IN IP4 127.0.0.1",
      "s=-",
      "t=0 0",
      "a=group:BUNDLE audio",
      "a=msid-semantic: WMS c3867497-e6f7-4408-82b7-80dbd11b94cf",
      "a=ice-lite",
      "m=audio 3484 UDP/TLS/RTP/SAVPF 111 126",
      "c=IN IP4 57.144.215.49",
      "a=rtcp:9 IN IP4 0.0.0.0",
      "a=candidate:3935165743 1 udp 2122260223 57.144.215.49 3484 typ host generation 0 network-cost 50",
      "a=candidate:2617197009 1 udp 2122262783 2a03:2880:f36b:131:face:b00c:0:699c 3484 typ host generation 0 network-cost 50",
      "a=ice-ufrag:AeinEGDfvqBctbtM",
      "a=ice-pwd:F6/jjqL0/8/Dzluc0IoZEQ==",
      "a=fingerprint:sha-256 A2:EC:E2:C4:E4:FE:75:63:39:0D:77:45:DF:70:64:BC:F9:96:73:DE:F4:92:E5:78:D0:5B:1F:8F:E7:46:D3:C6",
      "a=setup:actpass",
      "a=mid:audio",
      "a=sendrecv",
      "a=msid:c3867497-e6f7-4408-82b7-80dbd11b94cf WhatsAppTrack1",
      "a=rtcp-mux",
      "a=rtpmap:111 opus/48000/2",
      "a=rtcp-fb:111 transport-cc",
      "a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1",
      "a=rtpmap:126 telephone-event/8000",
      "a=maxptime:20",
      "a=ptime:20",
      "a=ssrc:1047224411 cname:WhatsAppAudioStream1",
      "",
    ].join("\r\n"),
  );
});

test("the older shape has header extensions, other priorities and four ssrc lines", () => {
  const view = viewSdp(olderOffer(facts));
  expect(view.problems).toEqual([]);
  expect(valuesOf(view, "extmap")).toHaveLength(3);
  expect(valuesOf(view, "ssrc")).toHaveLength(4);
  expect(valuesOf(view, "candidate")[1]).toMatch(/ 2113939711 2a03:.* ufrag AeinEGDfvqBctbtM$/);
  expect(rtpMaps(view).get("111")).toBe("opus/48000/2");
});

test("M3: an IPv6 candidate that leads nowhere, with the higher priority", () => {
  const only4 = { ...facts, local: { ...local, candidates: local.candidates.slice(0, 1) } };
  expect(valuesOf(viewSdp(currentOffer({ ...only4, ipv6: "none" })), "candidate")).toHaveLength(1);
  expect(valuesOf(viewSdp(currentOffer({ ...only4, ipv6: "unreachable" })), "candidate")[1]).toMatch(
    / 2122262783 2001:db8:/,
  );
});
