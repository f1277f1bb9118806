import type { FastifyReply } from "fastify";
import type { Timers } from "./clock.ts";

/** What a simulated server shall answer, and when. */
export type HttpReply =
  | {
      readonly kind: "answer";
      readonly status: number;
      readonly body: object | string;
      readonly headers?: Readonly<Record<string, string>>;
      readonly delayMs: number;
      /** Runs just before the bytes go out. */
      readonly onSent?: () => void;
    }
  /** Close the connection without an answer. */
  | { readonly kind: "hang_up" }
  /** Leave the connection open. */
  | { readonly kind: "silent" };

export function sendReply(reply: FastifyReply, answer: HttpReply, timers: Timers): FastifyReply {
  if (answer.kind === "answer") {
    const send = (): void => {
      answer.onSent?.();
      reply
        .code(answer.status)
        .headers(answer.headers ?? {})
        .send(answer.body);
    };
    if (answer.delayMs === 0) send();
    else timers.after(answer.delayMs, send);
    return reply;
  }
  reply.hijack();
  if (answer.kind === "hang_up") reply.raw.destroy();
  return reply;
}
