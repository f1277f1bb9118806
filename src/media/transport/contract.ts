import type { LocalTransport, RemoteTransport } from "#core/sdp/transport.ts";

/**
 * What the rest of the media plane needs of the secure transport:
 *
 *     PublicPort ──open()──▶ SecureSession ──connect()──▶ ICE ──▶ DTLS ──▶ SRTP
 *         └── one UDP socket for all sessions of a worker
 */

/** `full` sends checks (RFC 8445); `lite` only answers them, as Meta's relay does (RFC 8445 §2.5). */
export type IceMode = "full" | "lite";

/** Who sends the ClientHello. */
export type DtlsRole = "client" | "server";

export type FailureReason =
  | "ice_timeout"
  | "dtls_timeout"
  | "dtls_refused"
  | "fingerprint_mismatch"
  | "consent_expired"
  | "closed_by_peer"
  /** An exception of ours while a packet or a timer of this session was handled. */
  | "bug";

/** Called from within packet or timer handlers. Must not throw. After `onFailed`, and after `close()`, nothing is called. */
export interface SecureSessionEvents {
  /** A pair of addresses is validated and nominated. */
  onIceConnected(): void;
  /** The media keys are there: `sendRtp` works from now on. */
  onConnected(): void;
  /** A decrypted RTP packet: a view that is only valid during the call, and may be changed in place. */
  onRtp(packet: Buffer): void;
  /** A decrypted compound RTCP packet; the same rules. */
  onRtcp(packet: Buffer): void;
  /** The session is over and wants to be closed. Called at most once. */
  onFailed(reason: FailureReason, detail: string): void;
}

export interface SecureSession {
  /** What our description has to say. */
  readonly local: LocalTransport;
  /**
   * Tells the session its far end, once.
   * full: starts checks, then DTLS when a pair is nominated. lite: waits for checks; a DTLS client waits for a nomination.
   * Packets of the far end that come earlier are kept where they are few (checks) or dropped and repeated by it (DTLS).
   */
  connect(remote: RemoteTransport, dtls: DtlsRole): void;
  /**
   * Protects and sends one plaintext RTP packet, at most 1500 bytes. The packet is copied: the caller may reuse the buffer
   * at once, and needs no spare room in it. False when it was not sent: not connected, no RTP packet, or a sequence number
   * that was used already, because one key stream must never cover two payloads (RFC 3711 §9.1).
   */
  sendRtp(packet: Buffer): boolean;
  /** The same for one compound RTCP packet. */
  sendRtcp(packet: Buffer): boolean;
  /** A copy. */
  counters(): SessionCounters;
  /** The address that media goes to, once there is one. */
  readonly remoteAddress: { readonly address: string; readonly port: number } | undefined;
  /** Says goodbye (close_notify) when connected, forgets all keys and timers. May be called twice. */
  close(): void;
}

/** What one session did and refused. Counts since it was opened. */
export interface SessionCounters {
  rtpIn: number;
  rtpOut: number;
  rtcpIn: number;
  rtcpOut: number;
  /** Bytes of UDP payload of RTP and RTCP. */
  bytesIn: number;
  bytesOut: number;
  /** Binding requests and answers that fitted. */
  stunIn: number;
  stunOut: number;
  /** STUN that cannot be parsed. */
  stunMalformed: number;
  /** Requests, or responses to our checks, without MESSAGE-INTEGRITY. */
  stunUnsigned: number;
  /** A wrong MESSAGE-INTEGRITY or FINGERPRINT, or a USERNAME that is not of this session. */
  stunForged: number;
  /** Responses that belong to no check of ours, or come from another address than the check went to. */
  stunUnexpected: number;
  /** 487 sent or received (RFC 8445 §7.3.1.1). */
  roleConflicts: number;
  /** DTLS from an address that ICE validated but did not choose. */
  strangerPackets: number;
  /** Media before the keys are there. */
  earlyMedia: number;
  /** Authentication tag of SRTP or SRTCP wrong. */
  srtpForged: number;
  /** Already received, or older than the replay window. */
  srtpReplayed: number;
  /** RTP or RTCP that is too short, too long or of an unknown shape. */
  srtpMalformed: number;
  /** A new SSRC when `MAX_SSRCS` are known already. */
  srtpTooManySources: number;
  /** Plaintext (epoch 0) DTLS alerts that were dropped. */
  dtlsPlaintextAlerts: number;
  /** Signature of ServerKeyExchange or CertificateVerify wrong. */
  dtlsForgedSignature: number;
  dtlsForgedFinished: number;
  dtlsWrongFingerprint: number;
  /** Records that cannot be parsed or decrypted, or have no place in the handshake. */
  dtlsMalformed: number;
}

/** What the port did and refused, on top of the sessions' own counters (closed sessions included). */
export interface PublicPortCounters extends SessionCounters {
  sessions: number;
  /** STUN requests whose USERNAME names no session. */
  unknownUfrag: number;
  /** Anything else from an address that belongs to no session. */
  unknownSource: number;
  /** Addresses that ICE validated for a session while another one was talking to them; they stay with the other one. */
  takenSource: number;
  /** Neither STUN, DTLS nor RTP by its first byte (RFC 7983 §7), or empty. */
  unknownPackets: number;
  /** Errors of the sockets themselves. */
  socketErrors: number;
  /** Exceptions while a packet was handled. */
  bugs: number;
}
