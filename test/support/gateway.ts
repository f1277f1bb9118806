import { createServer, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type GatewayOptions, SimulatedGateway } from "#sandbox/wpp/gateway.ts";

export const GATEWAY_SECRET = "gateway-secret";
export const HOOK_SECRET = "hook-secret";

export interface HookRequest {
  readonly url: string;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: string;
}

/** Takes webhooks: records them, and answers what it was told to. */
export class Hook {
  readonly requests: HookRequest[] = [];
  /** Status for the next ones, then 200; `hang_up` closes the connection instead. */
  readonly answers: (number | "hang_up")[] = [];
  /** Decides where nothing was told. */
  answer: (request: HookRequest) => Promise<number> | number = () => 200;
  #server: Server | undefined;
  #url = "";

  get url(): string {
    return this.#url;
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("error", () => response.destroy());
      request.on("end", () => {
        const headers = request.headers as HookRequest["headers"];
        const seen = { url: request.url ?? "", headers, body: Buffer.concat(chunks).toString() };
        this.requests.push(seen);
        void this.#reply(seen, response);
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.#url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
  }

  /** The bodies, parsed. */
  documents(): readonly Readonly<Record<string, unknown>>[] {
    return this.requests.map(({ body }) => JSON.parse(body) as Readonly<Record<string, unknown>>);
  }

  async #reply(request: HookRequest, response: ServerResponse): Promise<void> {
    const told = this.answers.shift() ?? (await this.answer(request));
    if (told === "hang_up") response.destroy();
    else response.writeHead(told).end();
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => (this.#server ? this.#server.close(() => resolve()) : resolve()));
  }
}

export interface GatewayAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: unknown;
}

export interface RunningGateway {
  readonly gateway: SimulatedGateway;
  readonly url: string;
  /** As whoever knows the secret. */
  ask(method: "GET" | "POST", path: string, body?: unknown, headers?: Record<string, string>): Promise<GatewayAnswer>;
}

/** A gateway that repeats its webhooks within milliseconds. */
export async function startGateway(options: Partial<GatewayOptions> = {}): Promise<RunningGateway> {
  const webhookTimings = { retryDelaysMs: [5, 5], ...options.webhookTimings };
  const gateway = new SimulatedGateway({ secret: GATEWAY_SECRET, ...options, webhookTimings });
  const { url } = await gateway.start();
  const ask: RunningGateway["ask"] = async (method, path, body, headers = {}) => {
    const init = body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) };
    const response = await fetch(url + path, {
      method,
      ...init,
      headers: { "x-gateway-secret": GATEWAY_SECRET, connection: "close", ...headers },
    });
    const text = await response.text();
    const isJson = response.headers.get("content-type")?.startsWith("application/json") === true;
    return { status: response.status, headers: response.headers, text, json: isJson ? JSON.parse(text) : undefined };
  };
  return { gateway, url, ask };
}
