import { createHmac, timingSafeEqual } from "node:crypto";
import { isIPv4 } from "node:net";
import { crc32 } from "node:zlib";
import { addressBytes, addressText } from "./address.ts";

/**
 * STUN messages (RFC 8489 §5), as far as ICE needs them: Binding requests, responses and indications.
 *
 *      0                   1                   2                   3
 *     |0 0|     message type          |         message length        |
 *     |                     magic cookie 0x2112A442                   |
 *     |                  transaction id (96 bits)                     |
 *     |  attributes: type (16), length (16), value padded to 4 bytes  |
 */
const HEADER_BYTES = 20;
const MAGIC_COOKIE = 0x2112a442;
const FINGERPRINT_XOR = 0x5354554e;

/** A Binding message of ICE has well under 200 bytes; more is not ICE. */
const MAX_STUN_BYTES = 1_280;
/** A message of ours: header, USERNAME of at most 513 bytes (RFC 8489 §14.3) and small attributes. */
const MAX_BUILT_BYTES = 800;
/** As many attributes as anybody sends, three times over. */
const MAX_ATTRIBUTES = 32;

const ATTRIBUTE = {
  mappedAddress: 0x0001,
  username: 0x0006,
  messageIntegrity: 0x0008,
  errorCode: 0x0009,
  unknownAttributes: 0x000a,
  xorMappedAddress: 0x0020,
  priority: 0x0024,
  useCandidate: 0x0025,
  fingerprint: 0x8028,
  iceControlled: 0x8029,
  iceControlling: 0x802a,
} as const;

/** Below this number an attribute must be understood (RFC 8489 §14). */
const FIRST_OPTIONAL_ATTRIBUTE = 0x8000;
const UNDERSTOOD: ReadonlySet<number> = new Set(Object.values(ATTRIBUTE));

const CLASSES = ["request", "indication", "success", "error"] as const;
export type StunClass = (typeof CLASSES)[number];
const CLASS_BITS: Readonly<Record<StunClass, number>> = {
  request: 0x0000,
  indication: 0x0010,
  success: 0x0100,
  error: 0x0110,
};
const BINDING = 0x0001;

export interface TransportAddress {
  readonly address: string;
  readonly port: number;
}

/** A parsed message. Nothing in it may be believed before `stunIntegrity` said "valid". */
export interface StunMessage {
  readonly class: StunClass;
  /** 12 bytes as hexadecimal. */
  readonly transactionId: string;
  readonly username: string | undefined;
  readonly priority: number | undefined;
  readonly useCandidate: boolean;
  /** Tie-breakers of RFC 8445 §7.3.1.1, 64 bits. */
  readonly iceControlled: bigint | undefined;
  readonly iceControlling: bigint | undefined;
  readonly mappedAddress: TransportAddress | undefined;
  readonly errorCode: number | undefined;
  /** Attributes that must be understood and are not. */
  readonly unknown: readonly number[];
  /** Offset of the attribute MESSAGE-INTEGRITY; undefined when there is none. */
  readonly integrityAt: number | undefined;
  /** False when there is a FINGERPRINT and it is wrong. */
  readonly fingerprintFits: boolean;
}

type Draft = { -readonly [K in keyof StunMessage]: StunMessage[K] } & { unknown: number[] };

/** Reads a Binding message; undefined for anything else or anything broken. Never throws. */
export function parseStun(packet: Buffer): StunMessage | undefined {
  if (packet.length < HEADER_BYTES || packet.length > MAX_STUN_BYTES || packet.length % 4 !== 0) return undefined;
  const type = packet.readUInt16BE(0);
  if (packet.readUInt16BE(2) !== packet.length - HEADER_BYTES || packet.readUInt32BE(4) !== MAGIC_COOKIE) {
    return undefined;
  }
  const kind = CLASSES.find((name) => (BINDING | CLASS_BITS[name]) === type);
  if (kind === undefined) return undefined;
  const draft: Draft = {
    class: kind,
    transactionId: packet.toString("hex", 8, HEADER_BYTES),
    username: undefined,
    priority: undefined,
    useCandidate: false,
    iceControlled: undefined,
    iceControlling: undefined,
    mappedAddress: undefined,
    errorCode: undefined,
    unknown: [],
    integrityAt: undefined,
    fingerprintFits: true,
  };
  return readAttributes(packet, draft) ? draft : undefined;
}

function readAttributes(packet: Buffer, draft: Draft): boolean {
  let at = HEADER_BYTES;
  for (let count = 0; at < packet.length; count += 1) {
    if (count >= MAX_ATTRIBUTES || at + 4 > packet.length) return false;
    const type = packet.readUInt16BE(at);
    const length = packet.readUInt16BE(at + 2);
    if (at + 4 + length > packet.length) return false;
    if (type === ATTRIBUTE.fingerprint) {
      // RFC 8489 §14.7: always the last, so that what it covers is clear.
      if (length !== 4 || at + 8 !== packet.length) return false;
      draft.fingerprintFits = packet.readUInt32BE(at + 4) === fingerprintOf(packet.subarray(0, at));
    } else if (draft.integrityAt === undefined) {
      // RFC 8489 §14.5: what follows MESSAGE-INTEGRITY is not covered by it and is ignored, but for FINGERPRINT.
      if (!readAttribute(packet, at, type, packet.subarray(at + 4, at + 4 + length), draft)) return false;
    }
    at += 4 + ((length + 3) & ~3);
  }
  return at === packet.length;
}

function readAttribute(packet: Buffer, at: number, type: number, value: Buffer, draft: Draft): boolean {
  switch (type) {
    case ATTRIBUTE.username:
      draft.username = value.toString("utf8");
      return true;
    case ATTRIBUTE.messageIntegrity:
      draft.integrityAt = at;
      return value.length === 20;
    case ATTRIBUTE.priority:
      if (value.length !== 4) return false;
      draft.priority = value.readUInt32BE(0);
      return true;
    case ATTRIBUTE.useCandidate:
      draft.useCandidate = true;
      return true;
    case ATTRIBUTE.iceControlled:
    case ATTRIBUTE.iceControlling:
      if (value.length !== 8) return false;
      draft[type === ATTRIBUTE.iceControlled ? "iceControlled" : "iceControlling"] = value.readBigUInt64BE(0);
      return true;
    case ATTRIBUTE.xorMappedAddress:
      draft.mappedAddress = readXorAddress(packet, value);
      return draft.mappedAddress !== undefined;
    case ATTRIBUTE.errorCode:
      if (value.length < 4) return false;
      draft.errorCode = ((value[2] ?? 0) & 7) * 100 + (value[3] ?? 0);
      return true;
    default:
      if (type < FIRST_OPTIONAL_ATTRIBUTE && !UNDERSTOOD.has(type)) draft.unknown.push(type);
      return true;
  }
}

/** RFC 8489 §14.2: port and address are XORed with the cookie and, for IPv6, the transaction id. */
function readXorAddress(packet: Buffer, value: Buffer): TransportAddress | undefined {
  const bytes = value.length === 8 && value[1] === 1 ? 4 : value.length === 20 && value[1] === 2 ? 16 : 0;
  if (bytes === 0) return undefined;
  const address = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i += 1) address[i] = (value[4 + i] ?? 0) ^ (packet[4 + i] ?? 0);
  return { address: addressText(address), port: value.readUInt16BE(2) ^ (MAGIC_COOKIE >>> 16) };
}

function fingerprintOf(covered: Buffer): number {
  // The header's length counts FINGERPRINT already, both when it is made and when it is checked.
  return (crc32(covered) ^ FINGERPRINT_XOR) >>> 0;
}

export type StunIntegrity = "valid" | "missing" | "wrong";

/** Whether `packet`, which was parsed to `message`, was made by somebody who knows `password` (RFC 8489 §14.5). */
export function stunIntegrity(packet: Buffer, message: StunMessage, password: string): StunIntegrity {
  const at = message.integrityAt;
  if (at === undefined) return "missing";
  if (!message.fingerprintFits) return "wrong";
  const digest = integrityOf(packet.subarray(0, at), password);
  return timingSafeEqual(digest, packet.subarray(at + 4, at + 24)) ? "valid" : "wrong";
}

function integrityOf(covered: Buffer, password: string): Buffer {
  // The length in the header must be as if MESSAGE-INTEGRITY were the last attribute.
  const header = Buffer.from(covered.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(covered.length - HEADER_BYTES + 24, 2);
  return createHmac("sha1", password).update(header).update(covered.subarray(HEADER_BYTES)).digest();
}

/** What goes into a message of ours; see `StunMessage` for the fields. */
export interface StunContent {
  readonly class: StunClass;
  readonly transactionId: string;
  readonly username?: string;
  readonly priority?: number;
  readonly useCandidate?: boolean;
  readonly iceControlled?: bigint;
  readonly iceControlling?: bigint;
  readonly mappedAddress?: TransportAddress;
  readonly error?: { readonly code: number; readonly reason: string };
  readonly unknown?: readonly number[];
}

/** Serialises a Binding message with MESSAGE-INTEGRITY (unless `password` is undefined) and FINGERPRINT. */
export function buildStun(content: StunContent, password: string | undefined): Buffer {
  const packet = Buffer.alloc(MAX_BUILT_BYTES);
  let at = HEADER_BYTES;
  const put = (type: number, value: Buffer): void => {
    packet.writeUInt16BE(type, at);
    packet.writeUInt16BE(value.length, at + 2);
    value.copy(packet, at + 4);
    at += 4 + ((value.length + 3) & ~3);
  };
  packet.writeUInt16BE(BINDING | CLASS_BITS[content.class], 0);
  packet.writeUInt32BE(MAGIC_COOKIE, 4);
  packet.write(content.transactionId, 8, 12, "hex");
  if (content.username !== undefined) put(ATTRIBUTE.username, Buffer.from(content.username, "utf8"));
  if (content.priority !== undefined) put(ATTRIBUTE.priority, uint32(content.priority));
  if (content.iceControlled !== undefined) put(ATTRIBUTE.iceControlled, uint64(content.iceControlled));
  if (content.iceControlling !== undefined) put(ATTRIBUTE.iceControlling, uint64(content.iceControlling));
  if (content.useCandidate) put(ATTRIBUTE.useCandidate, Buffer.alloc(0));
  if (content.mappedAddress) put(ATTRIBUTE.xorMappedAddress, xorAddress(packet, content.mappedAddress));
  if (content.error) put(ATTRIBUTE.errorCode, errorValue(content.error));
  if (content.unknown) put(ATTRIBUTE.unknownAttributes, Buffer.concat(content.unknown.map(uint16)));
  if (password !== undefined) put(ATTRIBUTE.messageIntegrity, integrityOf(packet.subarray(0, at), password));
  packet.writeUInt16BE(at - HEADER_BYTES + 8, 2);
  put(ATTRIBUTE.fingerprint, uint32(fingerprintOf(packet.subarray(0, at))));
  return packet.subarray(0, at);
}

function xorAddress(packet: Buffer, mapped: TransportAddress): Buffer {
  const address = addressBytes(mapped.address);
  const value = Buffer.alloc(4 + address.length);
  value[1] = isIPv4(mapped.address) ? 1 : 2;
  value.writeUInt16BE(mapped.port ^ (MAGIC_COOKIE >>> 16), 2);
  for (let i = 0; i < address.length; i += 1) value[4 + i] = (address[i] ?? 0) ^ (packet[4 + i] ?? 0);
  return value;
}

function errorValue(error: { readonly code: number; readonly reason: string }): Buffer {
  const head = Buffer.from([0, 0, Math.trunc(error.code / 100), error.code % 100]);
  return Buffer.concat([head, Buffer.from(error.reason, "utf8")]);
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function uint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
}

/** The local part of a request's USERNAME, `receiver:sender` (RFC 8445 §7.2.2); undefined when it is not of that shape. */
export function receiverUfrag(username: string | undefined): string | undefined {
  const colon = username?.indexOf(":") ?? -1;
  return colon > 0 ? username?.slice(0, colon) : undefined;
}
