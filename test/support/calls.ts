import type { Call, CallLimits, Offer } from "#core/call/call.ts";
import { offeredCall } from "#core/call/call.ts";

/** Builders for calls and offers. */

export const NOW = 1_760_681_506_000;

export const limits: CallLimits = {
  staleAfterMs: 60_000,
  answerBudgetMs: 28_000,
  ringTimeoutMs: 25_000,
  mediaTimeoutMs: 5_000,
};

/** Meta's offer of October 2025, with invented values. */
export const offerSdp = [
  "v=0",
  "o=- 1760681506762 2 IN IP4 127.0.0.1",
  "s=-",
  "t=0 0",
  "a=group:BUNDLE audio",
  "a=msid-semantic: WMS c3867497-e6f7-4408-82b7-80dbd11b94cf",
  "a=ice-lite",
  "m=audio 3484 UDP/TLS/RTP/SAVPF 111 126",
  "c=IN IP4 192.0.2.49",
  "a=rtcp:9 IN IP4 0.0.0.0",
  "a=candidate:3935165743 1 udp 2122260223 192.0.2.49 3484 typ host generation 0 network-cost 50",
  "a=ice-ufrag:AeinEGDfvqBctbtM",
  "a=ice-pwd:F6/jjqL0/8/Dzluc0IoZEQ==",
  "a=fingerprint:sha-256 A2:EC:E2:C4:E4:FE:75:63:39:0D:77:45:DF:70:64:BC:F9:96:73:DE:F4:92:E5:78:D0:5B:1F:8F:E7:46:D3:C6",
  "a=setup:actpass",
  "a=mid:audio",
  "a=sendrecv",
  "a=rtcp-mux",
  "a=rtpmap:111 opus/48000/2",
  "a=rtcp-fb:111 transport-cc",
  "a=fmtp:111 maxaveragebitrate=20000;maxplaybackrate=16000;minptime=20;sprop-maxcapturerate=16000;useinbandfec=1",
  "a=rtpmap:126 telephone-event/8000",
  "a=maxptime:20",
  "a=ptime:20",
  "a=ssrc:1047224411 cname:WhatsAppAudioStream1",
  "",
].join("\r\n");

export function anOffer(changes: Partial<Offer> = {}): Offer {
  return {
    wacid: "wacid.HBgNNTUxMTk4NzY1NDMyMRUCABIYIEFDRDg5NzlENzcyODI2QUU2RTRBNjM1NzQxMzQ4OEVFHBgLMTU1NTE0NDAwMDAVAgAVCgA=",
    channelId: "436666719526789",
    caller: { number: "5511987654321", profileName: "Ana" },
    calledNumber: "15551440000",
    sdp: offerSdp,
    offeredAt: NOW,
    ...changes,
  };
}

export function aCall(changes: Partial<Offer> = {}): Call {
  return offeredCall("0199f0c5-7d40-7000-8000-000000000001", anOffer(changes), limits, NOW);
}

/** An answer of a PBX. */
export function pbxAnswer(codec: "PCMU" | "PCMA" = "PCMU", direction = "sendrecv"): string {
  const payloadType = codec === "PCMU" ? 0 : 8;
  return [
    "v=0",
    "o=- 1 1 IN IP4 192.0.2.20",
    "s=-",
    "c=IN IP4 192.0.2.20",
    "t=0 0",
    `m=audio 26000 RTP/AVP ${payloadType} 101`,
    `a=rtpmap:${payloadType} ${codec}/8000`,
    "a=rtpmap:101 telephone-event/8000",
    "a=fmtp:101 0-16",
    "a=ptime:20",
    `a=${direction}`,
    "",
  ].join("\r\n");
}
