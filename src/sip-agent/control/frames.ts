import { serialize } from "#sip-agent/message/serialize.ts";
import type { Delivery, Echo } from "#sip-agent/ua/application.ts";

/**
 *     frame   = length "#" payload          length in bytes, decimal
 *     payload = head [ CRLF sip-text ]
 *     head    = token *( "|" token )
 */
export function encodeFrame(head: string, text?: Buffer): Buffer {
  const start = Buffer.from(text === undefined ? head : `${head}\r\n`);
  const length = start.length + (text?.length ?? 0);
  return Buffer.concat([Buffer.from(`${length}#`), start, ...(text === undefined ? [] : [text])]);
}

/** Tokens must not break the head, whatever the network put into them. */
function token(text: string): string {
  return text.replace(/[|\r\n]/g, " ");
}

/** `HH:MM:SS.uuuuuu`, UTC. */
function timeOf(nowMs: number): string {
  return `${new Date(nowMs).toISOString().slice(11, 23)}000`;
}

/** SOURCE|SIZE|PROTO|ADDR|PORT|TIME */
function meta(
  source: "network" | "application",
  size: number,
  protocol: string,
  remote: { readonly host: string; readonly port: number } | undefined,
  nowMs: number,
): string {
  return [source, size, protocol, remote?.host ?? "", remote?.port ?? 0, timeOf(nowMs)].join("|");
}

/** A message on its way to the application. The client ignores heads with fewer than ten tokens. */
export function encodeDelivery(frameId: string, delivery: Delivery, nowMs: number): Buffer {
  const text = serialize(delivery.message);
  const size = delivery.remote === undefined ? 0 : text.length;
  const about = meta(delivery.source, size, delivery.protocol, delivery.remote, nowMs);
  const received = delivery.receivedOn;
  const place = received === undefined ? "" : `${token(received.host)}|${received.port}|`;
  const head = `${frameId}|sip|${about}|${token(delivery.transactionId)}|${token(delivery.dialogId)}|${place}`;
  return encodeFrame(head, text);
}

/** The answer to a `sip` command that was carried out: the message as sent. */
export function encodeEcho(frameId: string, requestId: string, echo: Echo, isResponse: boolean, nowMs: number): Buffer {
  const text = serialize(echo.message);
  const about = meta("application", text.length, echo.protocol, echo.address, nowMs);
  const place = isResponse ? `${token(echo.dialogId)}||` : "";
  const head = `${frameId}|response|${requestId}|OK|${about}|${token(echo.transactionId)}|${place}Msg sent:|`;
  return encodeFrame(head, text);
}

export function encodeAnswer(frameId: string, requestId: string, ...tokens: readonly string[]): Buffer {
  return encodeFrame([frameId, "response", requestId, ...tokens.map(token)].join("|"));
}
