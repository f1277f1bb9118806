const CR = 13;
const LF = 10;
const HEAD_END = Buffer.from("\r\n\r\n");

export type StreamPiece =
  | { readonly type: "message"; readonly bytes: Buffer }
  /** CRLF CRLF between messages: a keep-alive that wants an answer (RFC 5626 §4.4.1). */
  | { readonly type: "ping" };

/**
 * Cuts a TCP stream into SIP messages (RFC 3261 §18.3): head up to the empty line, body of Content-Length bytes. A message
 * without Content-Length has no body here. After `overflow` the stream cannot be read on.
 */
export class StreamFramer {
  readonly #maxMessageBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  /** How far the head was searched for its end, so that bytes that drip in are not searched again and again. */
  #searched = 0;
  /** Line end bytes seen since the last message. */
  #lineEnds = 0;
  #overflow = false;

  constructor(maxMessageBytes: number) {
    this.#maxMessageBytes = maxMessageBytes;
  }

  get overflow(): boolean {
    return this.#overflow;
  }

  push(chunk: Buffer): StreamPiece[] {
    if (this.#overflow) return [];
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const pieces: StreamPiece[] = [];
    for (let piece = this.#next(); piece !== undefined; piece = this.#next()) pieces.push(piece);
    return pieces;
  }

  #next(): StreamPiece | undefined {
    if (this.#searched === 0) {
      const ping = this.#skipLineEnds();
      if (ping) return { type: "ping" };
    }
    const end = this.#buffer.indexOf(HEAD_END, Math.max(0, this.#searched - 3));
    if (end === -1) {
      this.#searched = this.#buffer.length;
      this.#overflow = this.#buffer.length > this.#maxMessageBytes;
      return undefined;
    }
    const total = end + 4 + contentLength(this.#buffer.toString("latin1", 0, end));
    if (!(total <= this.#maxMessageBytes)) {
      this.#overflow = true;
      return undefined;
    }
    if (this.#buffer.length < total) return undefined;
    // A copy, so that a kept message does not hold the whole chunk it came in.
    const bytes = Buffer.from(this.#buffer.subarray(0, total));
    this.#buffer = this.#buffer.subarray(total);
    this.#searched = 0;
    return { type: "message", bytes };
  }

  #skipLineEnds(): boolean {
    let at = 0;
    while (this.#buffer[at] === CR || this.#buffer[at] === LF) {
      at++;
      this.#lineEnds++;
      if (this.#lineEnds === 4) {
        this.#lineEnds = 0;
        this.#buffer = this.#buffer.subarray(at);
        return true;
      }
    }
    if (at > 0) this.#buffer = this.#buffer.subarray(at);
    if (this.#buffer.length > 0) this.#lineEnds = 0;
    return false;
  }
}

/** NaN for a value that is no number; the caller takes that as too long. */
function contentLength(head: string): number {
  const [, value] = /(?:^|\n)(?:content-length|l)[ \t]*:[ \t]*(?:\r?\n[ \t]+)?([^\r\n]*)/i.exec(head) ?? [];
  if (value === undefined) return 0;
  return /^\d{1,9}[ \t]*$/.test(value) ? Number.parseInt(value, 10) : Number.NaN;
}
