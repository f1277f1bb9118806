import { GROUPS } from "./key-exchange.ts";
import { SIGNATURE_SCHEMES } from "./signature.ts";
import {
  ALERT,
  DTLS_1_2,
  DtlsRefusal,
  EXTENSION,
  numbersOf,
  Reader,
  SRTP_AES128_CM_SHA1_80,
  SUITE_ECDHE_ECDSA,
  SUITE_ECDHE_RSA,
  uint8,
  uint16,
  vector,
} from "./wire.ts";

/** Bodies of handshake messages, written and read (RFC 5246 §7.4, RFC 8422 §5, RFC 5764 §4.1). Readers throw DtlsRefusal. */

const UNCOMPRESSED_POINTS = 0;
const NAMED_CURVE = 3;
/** RFC 8422 §5.5, RFC 5246 §7.4.4. */
const CERTIFICATE_TYPES = Buffer.from([64, 1]);

function extension(type: number, content: Buffer): Buffer {
  return Buffer.concat([uint16(type), vector(2, content)]);
}

/** One profile, no MKI. */
const USE_SRTP = extension(
  EXTENSION.useSrtp,
  Buffer.concat([vector(2, uint16(SRTP_AES128_CM_SHA1_80)), vector(1, Buffer.alloc(0))]),
);
const EXTENDED_MASTER_SECRET = extension(EXTENSION.extendedMasterSecret, Buffer.alloc(0));
const RENEGOTIATION_INFO = extension(EXTENSION.renegotiationInfo, Buffer.from([0]));
const POINT_FORMATS = extension(EXTENSION.pointFormats, vector(1, uint8(UNCOMPRESSED_POINTS)));

export function clientHello(random: Buffer, cookie: Buffer): Buffer {
  return Buffer.concat([
    uint16(DTLS_1_2),
    random,
    vector(1, Buffer.alloc(0)),
    vector(1, cookie),
    vector(2, uint16(SUITE_ECDHE_ECDSA, SUITE_ECDHE_RSA)),
    vector(1, uint8(0)),
    vector(
      2,
      EXTENDED_MASTER_SECRET,
      RENEGOTIATION_INFO,
      extension(EXTENSION.supportedGroups, vector(2, uint16(...GROUPS))),
      POINT_FORMATS,
      extension(EXTENSION.signatureAlgorithms, vector(2, uint16(...SIGNATURE_SCHEMES))),
      USE_SRTP,
    ),
  ]);
}

export interface ClientHello {
  readonly random: Buffer;
  /** What we picked of the groups; undefined when none fits. */
  readonly group: number | undefined;
  readonly extendedMasterSecret: boolean;
}

/** Refuses a hello that we have nothing in common with. */
export function readClientHello(body: Buffer): ClientHello {
  const reader = new Reader(body);
  // Versions count down: 0xfefc would be DTLS 1.3, and 0xfeff is DTLS 1.0.
  if (reader.uint16() > DTLS_1_2) throw new DtlsRefusal(ALERT.protocolVersion, "the client is older than DTLS 1.2");
  const random = reader.take(32);
  reader.vector(1);
  reader.vector(1);
  const suites = numbersOf(reader.vector(2));
  reader.vector(1);
  const extensions = readExtensions(reader);
  if (!suites.includes(SUITE_ECDHE_ECDSA)) {
    throw new DtlsRefusal(ALERT.handshakeFailure, "no common cipher suite");
  }
  if (!srtpProfiles(extensions).includes(SRTP_AES128_CM_SHA1_80)) {
    throw new DtlsRefusal(ALERT.handshakeFailure, "the client does not offer SRTP_AES128_CM_HMAC_SHA1_80");
  }
  const groups = extensions.get(EXTENSION.supportedGroups);
  const offered = groups ? numbersOf(new Reader(groups).vector(2)) : GROUPS;
  return {
    random,
    group: GROUPS.find((group) => offered.includes(group)),
    extendedMasterSecret: extensions.has(EXTENSION.extendedMasterSecret),
  };
}

export function serverHello(random: Buffer, extendedMasterSecret: boolean): Buffer {
  return Buffer.concat([
    uint16(DTLS_1_2),
    random,
    vector(1, Buffer.alloc(0)),
    uint16(SUITE_ECDHE_ECDSA),
    uint8(0),
    vector(2, ...(extendedMasterSecret ? [EXTENDED_MASTER_SECRET] : []), RENEGOTIATION_INFO, POINT_FORMATS, USE_SRTP),
  ]);
}

export interface ServerHello {
  readonly random: Buffer;
  readonly suite: number;
  readonly extendedMasterSecret: boolean;
}

export function readServerHello(body: Buffer): ServerHello {
  const reader = new Reader(body);
  if (reader.uint16() !== DTLS_1_2) throw new DtlsRefusal(ALERT.protocolVersion, "the server does not speak DTLS 1.2");
  const random = reader.take(32);
  reader.vector(1);
  const suite = reader.uint16();
  const compression = reader.uint8();
  const extensions = readExtensions(reader);
  if ((suite !== SUITE_ECDHE_ECDSA && suite !== SUITE_ECDHE_RSA) || compression !== 0) {
    throw new DtlsRefusal(ALERT.illegalParameter, "the server chose what was not offered");
  }
  const profiles = srtpProfiles(extensions);
  if (profiles.length !== 1 || profiles[0] !== SRTP_AES128_CM_SHA1_80) {
    throw new DtlsRefusal(ALERT.handshakeFailure, "the server did not choose SRTP_AES128_CM_HMAC_SHA1_80");
  }
  return { random, suite, extendedMasterSecret: extensions.has(EXTENSION.extendedMasterSecret) };
}

function readExtensions(reader: Reader): ReadonlyMap<number, Buffer> {
  const extensions = new Map<number, Buffer>();
  if (reader.left === 0) return extensions;
  const list = new Reader(reader.vector(2));
  while (list.left > 0) extensions.set(list.uint16(), list.vector(2));
  return extensions;
}

function srtpProfiles(extensions: ReadonlyMap<number, Buffer>): number[] {
  const content = extensions.get(EXTENSION.useSrtp);
  return content ? numbersOf(new Reader(content).vector(2)) : [];
}

/** The cookie of a HelloVerifyRequest (RFC 6347 §4.2.1). */
export function readCookie(body: Buffer): Buffer {
  const reader = new Reader(body);
  reader.uint16();
  return Buffer.from(reader.vector(1));
}

export function certificateMessage(der: Buffer): Buffer {
  return vector(3, vector(3, der));
}

/** The end's own certificate, the first of the list. */
export function readCertificate(body: Buffer): Buffer {
  const list = new Reader(new Reader(body).vector(3));
  if (list.left === 0) throw new DtlsRefusal(ALERT.badCertificate, "the far end has no certificate");
  return Buffer.from(list.vector(3));
}

/** The signed part of ServerKeyExchange. */
export function keyParameters(group: number, publicKey: Buffer): Buffer {
  return Buffer.concat([uint8(NAMED_CURVE), uint16(group), vector(1, publicKey)]);
}

export function signed(scheme: number, signature: Buffer): Buffer {
  return Buffer.concat([uint16(scheme), vector(2, signature)]);
}

export interface Signed {
  readonly scheme: number;
  readonly signature: Buffer;
}

/** CertificateVerify, or the end of ServerKeyExchange. */
export function readSigned(reader: Reader): Signed {
  return { scheme: reader.uint16(), signature: reader.vector(2) };
}

export interface ServerKeyExchange extends Signed {
  readonly group: number;
  readonly publicKey: Buffer;
}

export function readServerKeyExchange(body: Buffer): ServerKeyExchange {
  const reader = new Reader(body);
  const curveType = reader.uint8();
  const group = reader.uint16();
  if (curveType !== NAMED_CURVE || !GROUPS.includes(group)) {
    throw new DtlsRefusal(ALERT.illegalParameter, "the server chose a group that was not offered");
  }
  return { group, publicKey: reader.vector(1), ...readSigned(reader) };
}

export function certificateRequest(): Buffer {
  const schemes = vector(2, uint16(...SIGNATURE_SCHEMES));
  return Buffer.concat([vector(1, CERTIFICATE_TYPES), schemes, vector(2, Buffer.alloc(0))]);
}
