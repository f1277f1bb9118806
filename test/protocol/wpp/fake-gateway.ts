import type { IncomingHttpHeaders, Server, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: unknown;
}

export type Behaviour = (response: ServerResponse, request: SeenRequest) => void;

/** Answers each request with the next behaviour of its script, the last one again and again. */
export class FakeGateway {
  readonly seen: SeenRequest[] = [];
  script: Behaviour[] = [];
  readonly #server: Server = createServer(async (request, response) => {
    let text = "";
    for await (const chunk of request.setEncoding("utf8")) text += chunk;
    const { method = "", url = "", headers } = request;
    const seen = { method, path: url, headers, body: text === "" ? undefined : (JSON.parse(text) as unknown) };
    this.seen.push(seen);
    const behave = this.script.length > 1 ? this.script.shift() : this.script[0];
    if (behave === undefined) response.writeHead(500).end();
    else behave(response, seen);
  });

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export const json =
  (status: number, body: unknown, headers: Record<string, string> = {}): Behaviour =>
  (response) =>
    response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));

export const raw =
  (status: number, contentType: string, body: string | Buffer): Behaviour =>
  (response) =>
    response.writeHead(status, { "content-type": contentType }).end(body);

export const hangUp: Behaviour = (response) => response.destroy();
