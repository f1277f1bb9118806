import type { SipMessage } from "./message.ts";

/**
 * The message as it goes on the wire: long header names in their usual spelling, one line per header, a Content-Length
 * that is right. Throws if a value could break out of its line, which the callers have to rule out.
 */
export function serialize(message: SipMessage): Buffer {
  const first =
    message.kind === "request"
      ? `${message.method} ${message.uri} SIP/2.0`
      : `SIP/2.0 ${message.status} ${message.reason}`;
  let head = `${clean(first)}\r\n`;
  for (const [name, value] of message.headers) {
    if (name !== "Content-Length") head += `${clean(name)}: ${clean(value)}\r\n`;
  }
  head += `Content-Length: ${message.body.length}\r\n\r\n`;
  return message.body.length === 0 ? Buffer.from(head) : Buffer.concat([Buffer.from(head), message.body]);
}

function clean(text: string): string {
  if (breaksLine(text)) throw new Error("a header value holds a line break or NUL");
  return text;
}

export function breaksLine(text: string): boolean {
  return text.includes("\r") || text.includes("\n") || text.includes("\0");
}
