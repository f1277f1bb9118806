import { Agent, request as httpRequest } from "node:http";
import { request as httpsRequest, Agent as SecureAgent } from "node:https";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

/** Sends one request; rejects when no answer came, or when the signal aborts. */
export type HttpSend = (request: HttpRequest, signal: AbortSignal) => Promise<HttpAnswer>;

/** A webhook's answer is not read further than this; nobody needs more than a challenge. */
const MAX_ANSWER_BYTES = 64 * 1024;

/** Connections to the webhook that are open at once, as with a sender of some size. */
const MAX_SOCKETS = 32;

/** HTTP with connections of its own, so that `close()` leaves no socket behind. */
export class HttpClient {
  readonly #plain = new Agent({ keepAlive: true, maxSockets: MAX_SOCKETS });
  readonly #secure = new SecureAgent({ keepAlive: true, maxSockets: MAX_SOCKETS });

  readonly send: HttpSend = (request, signal) =>
    new Promise((resolve, reject) => {
      const secure = request.url.startsWith("https:");
      const body = request.body === undefined ? undefined : Buffer.from(request.body);
      const headers = body === undefined ? request.headers : { ...request.headers, "content-length": body.length };
      const options = { method: request.method, headers, signal, agent: secure ? this.#secure : this.#plain };
      const sent = (secure ? httpsRequest : httpRequest)(request.url, options, (response) => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
          if (text.length > MAX_ANSWER_BYTES) response.destroy(new Error("the answer is too long"));
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, body: text }));
        response.on("error", reject);
      });
      sent.on("error", reject);
      sent.end(body);
    });

  close(): void {
    this.#plain.destroy();
    this.#secure.destroy();
  }
}
