const HASH = 35;
/** More digits than any allowed length has. */
const MAX_DIGITS = 9;

/** Cuts the byte stream of a client into payloads. After `fault` the stream cannot be read on. */
export class FrameDecoder {
  readonly #maxFrameBytes: number;
  #buffer: Buffer = Buffer.alloc(0);
  #fault: string | undefined;

  constructor(maxFrameBytes: number) {
    this.#maxFrameBytes = maxFrameBytes;
  }

  get fault(): string | undefined {
    return this.#fault;
  }

  push(chunk: Buffer): Buffer[] {
    if (this.#fault !== undefined) return [];
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    const payloads: Buffer[] = [];
    for (let payload = this.#next(); payload !== undefined; payload = this.#next()) payloads.push(payload);
    return payloads;
  }

  #next(): Buffer | undefined {
    const hash = this.#buffer.indexOf(HASH);
    const digits = this.#buffer.toString(
      "latin1",
      0,
      Math.min(hash === -1 ? this.#buffer.length : hash, MAX_DIGITS + 1),
    );
    if (digits.length > MAX_DIGITS || !/^\d*$/.test(digits) || hash === 0) {
      this.#fault = "a frame does not begin with its length";
      return undefined;
    }
    if (hash === -1) return undefined;
    const length = Number(digits);
    if (length === 0 || length > this.#maxFrameBytes) {
      this.#fault = length === 0 ? "an empty frame" : "a frame is too long";
      return undefined;
    }
    const end = hash + 1 + length;
    if (this.#buffer.length < end) return undefined;
    const payload = this.#buffer.subarray(hash + 1, end);
    this.#buffer = this.#buffer.subarray(end);
    return payload;
  }
}
