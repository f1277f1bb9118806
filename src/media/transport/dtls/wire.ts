/** Numbers and small readers of DTLS 1.2 (RFC 6347, RFC 5246). */

export const CONTENT = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const;

export const HANDSHAKE = {
  helloRequest: 0,
  clientHello: 1,
  serverHello: 2,
  helloVerifyRequest: 3,
  certificate: 11,
  serverKeyExchange: 12,
  certificateRequest: 13,
  serverHelloDone: 14,
  certificateVerify: 15,
  clientKeyExchange: 16,
  finished: 20,
} as const;

export const ALERT = {
  closeNotify: 0,
  unexpectedMessage: 10,
  handshakeFailure: 40,
  badCertificate: 42,
  illegalParameter: 47,
  decodeError: 50,
  decryptError: 51,
  protocolVersion: 70,
  internalError: 80,
} as const;

export const EXTENSION = {
  supportedGroups: 10,
  pointFormats: 11,
  signatureAlgorithms: 13,
  useSrtp: 14,
  extendedMasterSecret: 23,
  renegotiationInfo: 0xff01,
} as const;

export const DTLS_1_2 = 0xfefd;

export const SUITE_ECDHE_ECDSA = 0xc02b;
export const SUITE_ECDHE_RSA = 0xc02f;

/** RFC 5764 §4.1.2: SRTP_AES128_CM_HMAC_SHA1_80, the one that every WebRTC stack has. */
export const SRTP_AES128_CM_SHA1_80 = 0x0001;

/** Why a handshake must end. Thrown by the parts of the handshake, caught where datagrams come in. */
export class DtlsRefusal extends Error {
  readonly alert: number;
  readonly kind: "refused" | "wrong_fingerprint" | "forged_signature" | "forged_finished";

  constructor(alert: number, message: string, kind: DtlsRefusal["kind"] = "refused") {
    super(message);
    this.name = "DtlsRefusal";
    this.alert = alert;
    this.kind = kind;
  }
}

/** Reads big-endian fields one after the other; beyond the end it refuses with decode_error. */
export class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  take(length: number): Buffer {
    if (length > this.left) throw new DtlsRefusal(ALERT.decodeError, "a message is shorter than it says");
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }

  uint8(): number {
    return this.take(1).readUInt8(0);
  }

  uint16(): number {
    return this.take(2).readUInt16BE(0);
  }

  /** A vector with a length of one, two or three bytes in front (RFC 5246 §4.3). */
  vector(lengthBytes: 1 | 2 | 3): Buffer {
    return this.take(this.take(lengthBytes).readUIntBE(0, lengthBytes));
  }
}

/** `bytes` with its length in `lengthBytes` bytes in front. */
export function vector(lengthBytes: 1 | 2 | 3, ...parts: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(parts);
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(bytes.length, 0, lengthBytes);
  return Buffer.concat([length, bytes]);
}

export function uint8(value: number): Buffer {
  return Buffer.from([value]);
}

export function uint16(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  for (const [index, value] of values.entries()) bytes.writeUInt16BE(value, index * 2);
  return bytes;
}

/** A vector of 16-bit numbers, as many as there are whole ones. */
export function numbersOf(bytes: Buffer): number[] {
  const numbers: number[] = [];
  for (let at = 0; at + 2 <= bytes.length; at += 2) numbers.push(bytes.readUInt16BE(at));
  return numbers;
}
