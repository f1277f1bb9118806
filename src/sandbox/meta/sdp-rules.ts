import { graphErrors } from "./errors.ts";
import type { Action, GraphRule } from "./rule.ts";
import { hasAttribute, rtpMaps, type SdpView, valuesOf } from "./sdp-view.ts";

const answering: readonly Action[] = ["pre_accept", "accept"];
const invalid = graphErrors[100];

/** What the SDP of an answer has to be: the part of the table that G12 stands for. */
export const sdpRules: readonly GraphRule[] = [
  {
    id: "D1",
    what: "the SDP is RFC 8866 with CRLF, also at its end",
    actions: answering,
    check: (r) => r.view.problems[0],
    breach: invalid,
  },
  {
    id: "D2",
    what: "exactly one m-line: audio over UDP/TLS/RTP/SAVPF",
    actions: answering,
    check: (r) => {
      const [media] = r.view.media;
      if (r.view.media.length !== 1 || media?.kind !== "audio") return "SDP must have exactly one m-line, for audio";
      return media.proto === "UDP/TLS/RTP/SAVPF" ? undefined : `SDP has the unsupported protocol ${media.proto}`;
    },
    breach: invalid,
  },
  {
    id: "D3",
    what: "ice-ufrag and ice-pwd are there",
    actions: answering,
    check: (r) =>
      hasAttribute(r.view, "ice-ufrag") && hasAttribute(r.view, "ice-pwd")
        ? undefined
        : "No ice-ufrag or ice-pwd found in SDP",
    breach: invalid,
  },
  {
    id: "D4",
    what: "there is a fingerprint",
    actions: answering,
    check: (r) => (hasAttribute(r.view, "fingerprint") ? undefined : "No fingerprint found in SDP"),
    breach: invalid,
  },
  {
    id: "D4",
    what: "exactly one fingerprint, and it is sha-256",
    actions: answering,
    check: (r) => {
      const [first, ...others] = valuesOf(r.view, "fingerprint");
      return others.length === 0 && /^sha-256 ([0-9A-F]{2}:){31}[0-9A-F]{2}$/i.test(first ?? "")
        ? undefined
        : "SDP must have exactly one fingerprint, of sha-256";
    },
    breach: graphErrors[138008],
  },
  {
    id: "D5",
    what: "the answer's setup is active or passive",
    actions: answering,
    check: (r) =>
      valuesOf(r.view, "setup").length === 1 && /^(active|passive)$/.test(valuesOf(r.view, "setup")[0] ?? "")
        ? undefined
        : "The setup attribute of an answer must be active or passive",
    breach: invalid,
    inferred: true,
  },
  {
    id: "D6",
    what: "no ice-lite in the answer: two lite agents never connect",
    actions: answering,
    check: (r) => (hasAttribute(r.view, "ice-lite") ? "Both sides are ice-lite: media will never connect" : undefined),
    breach: "media",
  },
  {
    id: "D7",
    what: "the answer keeps 111 opus/48000/2 and 126 telephone-event/8000",
    actions: answering,
    check: (r) => {
      const maps = rtpMaps(r.view);
      const formats = r.view.media[0]?.formats ?? [];
      if (!formats.includes("111") || maps.get("111") !== "opus/48000/2")
        return "SDP lacks payload type 111 opus/48000/2";
      return formats.includes("126") && maps.get("126") === "telephone-event/8000"
        ? undefined
        : "SDP lacks payload type 126 telephone-event/8000";
    },
    breach: invalid,
    inferred: true,
  },
  {
    id: "D8",
    what: "rtcp-mux is there",
    actions: answering,
    check: (r) => (hasAttribute(r.view, "rtcp-mux") ? undefined : "No rtcp-mux found in SDP"),
    breach: invalid,
    inferred: true,
  },
  {
    id: "D9",
    what: "at most one SSRC",
    actions: answering,
    check: (r) =>
      new Set(valuesOf(r.view, "ssrc").map((value) => value.split(" ")[0])).size <= 1
        ? undefined
        : "SDP announces more than one SSRC: the audio breaks at the user",
    breach: "warning",
  },
  {
    id: "D10",
    what: "candidates are optional, and none needs a name to be resolved",
    actions: answering,
    check: (r) =>
      valuesOf(r.view, "candidate").some((value) => !/^[0-9a-f.:]+$/i.test(value.split(" ")[4] ?? ""))
        ? "A candidate's address is a name: it is not resolved"
        : undefined,
    breach: "warning",
  },
  {
    id: "D11",
    what: "the answer's mid is audio, as in the offer",
    actions: answering,
    check: (r) =>
      valuesOf(r.view, "mid").length === 1 && valuesOf(r.view, "mid")[0] === "audio"
        ? undefined
        : "The mid of the answer must be audio",
    breach: invalid,
    inferred: true,
  },
  {
    id: "D12",
    what: "sendrecv",
    actions: answering,
    check: (r) => (isSendRecv(r.view) ? undefined : "The answer is not sendrecv: media will never connect"),
    breach: "media",
  },
];

function isSendRecv(view: SdpView): boolean {
  return !["sendonly", "recvonly", "inactive"].some((direction) => hasAttribute(view, direction));
}
