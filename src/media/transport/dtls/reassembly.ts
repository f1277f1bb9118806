/**
 * Handshake messages and their fragments (RFC 6347 §4.2.2):
 *
 *     | type 1 | length 3 | message_seq 2 | fragment_offset 3 | fragment_length 3 | fragment |
 */
export const MESSAGE_HEADER_BYTES = 12;

/** A certificate chain of three RSA certificates has about 4 kB; a ClientHello with a post-quantum key share 1.5 kB. */
const MAX_MESSAGE_BYTES = 16_384;

/** A flight has at most six messages; what is further ahead cannot be needed yet. */
const MAX_AHEAD = 8;

export interface HandshakeMessage {
  readonly type: number;
  readonly seq: number;
  readonly body: Buffer;
}

/** The message as it goes into the transcript: as if it had come in one fragment (RFC 6347 §4.2.6). */
export function wholeMessage(message: HandshakeMessage): Buffer {
  const { type, seq, body } = message;
  return Buffer.concat([fragmentHeader(type, seq, body.length, 0, body.length), body]);
}

function fragmentHeader(type: number, seq: number, length: number, offset: number, fragmentLength: number): Buffer {
  const header = Buffer.alloc(MESSAGE_HEADER_BYTES);
  header.writeUInt8(type, 0);
  header.writeUIntBE(length, 1, 3);
  header.writeUInt16BE(seq, 4);
  header.writeUIntBE(offset, 6, 3);
  header.writeUIntBE(fragmentLength, 9, 3);
  return header;
}

/** Cuts a message into fragments of at most `maxBytes` of body each. */
export function fragmentsOf(message: HandshakeMessage, maxBytes: number): Buffer[] {
  const { type, seq, body } = message;
  const fragments: Buffer[] = [];
  let offset = 0;
  do {
    const part = body.subarray(offset, offset + maxBytes);
    fragments.push(Buffer.concat([fragmentHeader(type, seq, body.length, offset, part.length), part]));
    offset += part.length;
  } while (offset < body.length);
  return fragments;
}

interface Partial {
  readonly type: number;
  readonly body: Buffer;
  readonly filled: Uint8Array;
  missing: number;
}

/** `stale`: a fragment of a message that was taken already, so the far end repeats its flight. */
export type Taken = "kept" | "stale" | "malformed";

/** Puts messages together and hands them out in order. */
export class Reassembly {
  readonly #partial = new Map<number, Partial>();
  #next = 0;

  /** Takes the fragments of one record. */
  take(fragment: Buffer): Taken {
    let verdict: Taken = "kept";
    let at = 0;
    while (at < fragment.length) {
      if (at + MESSAGE_HEADER_BYTES > fragment.length) return "malformed";
      const end = at + MESSAGE_HEADER_BYTES + fragment.readUIntBE(at + 9, 3);
      if (end > fragment.length) return "malformed";
      const one = this.#takeOne(fragment.subarray(at, end));
      if (one === "malformed") return one;
      if (one === "stale") verdict = one;
      at = end;
    }
    return verdict;
  }

  #takeOne(fragment: Buffer): Taken {
    const type = fragment.readUInt8(0);
    const length = fragment.readUIntBE(1, 3);
    const seq = fragment.readUInt16BE(4);
    const offset = fragment.readUIntBE(6, 3);
    const part = fragment.subarray(MESSAGE_HEADER_BYTES);
    if (seq < this.#next) return "stale";
    if (length > MAX_MESSAGE_BYTES || offset + part.length > length || seq >= this.#next + MAX_AHEAD)
      return "malformed";
    let partial = this.#partial.get(seq);
    if (partial === undefined) {
      partial = { type, body: Buffer.alloc(length), filled: new Uint8Array(length), missing: length };
      this.#partial.set(seq, partial);
    }
    if (partial.type !== type || partial.body.length !== length) return "malformed";
    for (let i = 0; i < part.length; i += 1) {
      if (partial.filled[offset + i]) continue;
      partial.filled[offset + i] = 1;
      partial.body[offset + i] = part[i] ?? 0;
      partial.missing -= 1;
    }
    return "kept";
  }

  /** The next message in order, when it is complete. */
  next(): HandshakeMessage | undefined {
    const partial = this.#partial.get(this.#next);
    if (partial === undefined || partial.missing > 0) return undefined;
    const seq = this.#next;
    this.#partial.delete(seq);
    this.#next += 1;
    return { type: partial.type, seq, body: partial.body };
  }
}
