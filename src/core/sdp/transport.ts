/**
 * What two ends tell each other in SDP about how their packets travel: ICE credentials and candidates (RFC 8839), the
 * certificate's fingerprint (RFC 8122) and who opens the DTLS handshake (RFC 5763 §5). Plain values, without SDP syntax.
 */

/** RFC 8839 §5.4. Taken as they come: Meta pads its password with `=`, which is outside of the grammar's `ice-char`. */
export interface IceCredentials {
  readonly ufrag: string;
  readonly pwd: string;
}

/** RFC 8122 §5. */
export interface Fingerprint {
  /** Hash function in lower case, as in SDP: `sha-256`. */
  readonly algorithm: string;
  /** Bytes of the hash as upper-case hexadecimal pairs, joined by colons. */
  readonly value: string;
}

export type CandidateType = "host" | "srflx" | "prflx" | "relay";

/** RFC 8839 §5.1. Only UDP: neither end of a WhatsApp call offers ICE-TCP. */
export interface Candidate {
  readonly foundation: string;
  /** 1 for RTP; with rtcp-mux there is no other. */
  readonly component: number;
  /** RFC 8445 §5.1.2, 1 to 2^31 - 1. */
  readonly priority: number;
  /** An IPv4 or IPv6 literal; a name (mDNS) is not resolved. */
  readonly address: string;
  readonly port: number;
  readonly type: CandidateType;
}

/** RFC 4145 §4: `active` sends the ClientHello, `passive` waits for it, `actpass` (offers only) leaves the choice. */
export type DtlsSetup = "active" | "passive" | "actpass";

/** The far end, as its description says. */
export interface RemoteTransport extends IceCredentials {
  /** `a=ice-lite`: it answers checks and sends none, and is always controlled (RFC 8445 §2.5). */
  readonly lite: boolean;
  readonly fingerprint: Fingerprint;
  readonly setup: DtlsSetup;
  /** May be empty: then its address is learnt from its checks. */
  readonly candidates: readonly Candidate[];
}

/** Our end, as our description must say. */
export interface LocalTransport extends IceCredentials {
  readonly lite: boolean;
  readonly fingerprint: Fingerprint;
  readonly candidates: readonly Candidate[];
}
