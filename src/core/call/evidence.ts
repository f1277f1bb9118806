import type { Instant } from "./call.ts";

/** The steps by which a call proves that it is heard, in their usual order. */
export const evidenceSteps = ["ice", "dtls", "first_rtp_out", "first_rtp_in", "first_pbx_rtp_in", "two_way"] as const;

export type EvidenceStep = (typeof evidenceSteps)[number];

/** When each step was first seen. Evidence, not belief: absent means it was not seen. */
export type Evidence = { readonly [step in EvidenceStep]?: Instant };

/** What a silence check finds out about the two directions, since the call was accepted. */
export interface SilenceFindings {
  /** Packets from WhatsApp that passed authentication. */
  readonly fromWhatsApp: number;
  readonly toWhatsApp: number;
  readonly fromPbx: number;
  readonly toPbx: number;
  /** SRTP packets that failed authentication. */
  readonly unauthenticated: number;
  /** Packets on the PBX port that came from somebody else than the PBX. */
  readonly strangers: number;
  /** The RTP address that the PBX announced is private, loopback or 0.0.0.0. */
  readonly pbxAddressSuspect: boolean;
}

export type SilenceVerdict =
  | "two_way"
  | "no_media_from_whatsapp"
  | "no_media_from_pbx"
  | "no_media_from_either"
  | "srtp_not_authentic"
  | "pbx_sends_from_elsewhere"
  | "pbx_address_not_reachable";

/** When the silence checks run, in milliseconds after accept. */
export const silenceChecksMs = [2_000, 10_000, 18_000] as const;

/** The likely cause of silence, for one log line that names it. */
export function judgeSilence(found: SilenceFindings): SilenceVerdict {
  const whatsAppSilent = found.fromWhatsApp === 0;
  const pbxSilent = found.fromPbx === 0;
  if (!whatsAppSilent && !pbxSilent) return "two_way";
  if (whatsAppSilent && found.unauthenticated > 0) return "srtp_not_authentic";
  if (pbxSilent && found.strangers > 0) return "pbx_sends_from_elsewhere";
  if (pbxSilent && found.pbxAddressSuspect) return "pbx_address_not_reachable";
  if (whatsAppSilent && pbxSilent) return "no_media_from_either";
  return whatsAppSilent ? "no_media_from_whatsapp" : "no_media_from_pbx";
}

/** What a person on call should look at, for each verdict. */
export const silenceHints: Readonly<Record<SilenceVerdict, string>> = {
  two_way: "Audio flows both ways.",
  no_media_from_whatsapp:
    "No packet came from WhatsApp since we sent first. Check media.public_address, the firewall for the public UDP port, and that our packets leave from that address.",
  no_media_from_pbx:
    "The PBX answered but sends no RTP. Check its RTP port range in the firewall and its external media address.",
  no_media_from_either: "No packet from either side. Check the host's firewall and the public and SIP media addresses.",
  srtp_not_authentic: "Packets from WhatsApp fail SRTP authentication: something on the path changes them.",
  pbx_sends_from_elsewhere:
    "RTP comes from an address that the PBX did not announce. Set latching for this trunk, or correct the external media address of the PBX.",
  pbx_address_not_reachable:
    "The PBX announced a private or unspecified RTP address. Correct the external media address of the PBX.",
};
