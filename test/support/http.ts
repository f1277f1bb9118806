import type { Call } from "#core/call/call.ts";
import type { CallEvent, CallQuery, CallRecord, MediaStatistics } from "#engine/ports.ts";
import type { AppParts } from "#http/build-app.ts";
import { HttpServer } from "#http/server.ts";
import { FakeClock } from "./fake-clock.ts";
import { type CollectedLog, collectLog } from "./log.ts";

export const API_KEY = "ponte_test_key-that-is-good";

/** What stands behind the API in tests: everything is set and looked at from outside. */
export class FakeHouse {
  readonly clock = new FakeClock();
  readonly collected: CollectedLog = collectLog();
  records: CallRecord[] = [];
  events: CallEvent[] = [];
  liveCalls: Call[] = [];
  liveStatistics: MediaStatistics | undefined;
  storeFailure: Error | undefined;
  next: string | undefined;
  readonly queries: CallQuery[] = [];
  readonly terminated: string[] = [];
  readonly received: { readonly body: Buffer; readonly signature: string | undefined }[] = [];
  webhookAnswer: () => Promise<{ status: number; body?: string }> = async () => ({ status: 200 });
  keysAsked = 0;
  readonly watchers = new Set<(callId: string, event: CallEvent) => void>();

  tell(callId: string, event: CallEvent): void {
    for (const watcher of this.watchers) watcher(callId, event);
  }

  parts(): AppParts {
    return {
      version: "1.2.3",
      clock: this.clock,
      log: this.collected.log,
      calls: {
        list: async (query) => {
          this.#store();
          this.queries.push(query);
          return { calls: this.records, ...(this.next === undefined ? {} : { next: this.next }) };
        },
        get: async (id) => {
          this.#store();
          const call = this.records.find((record) => record.id === id);
          return call && { call, events: this.events };
        },
        ping: async () => this.#store(),
      },
      switchboard: {
        terminate: (id) => {
          const alive = this.liveCalls.some((call) => call.id === id);
          if (alive) this.terminated.push(id);
          return alive;
        },
        live: () => this.liveCalls,
        statistics: async () => this.liveStatistics,
        watch: (listener) => {
          this.watchers.add(listener);
          return () => this.watchers.delete(listener);
        },
      },
      apiKeys: {
        verify: async (key) => {
          this.keysAsked += 1;
          return key === API_KEY ? { id: "k1", name: "test" } : undefined;
        },
      },
      metaWebhook: {
        verify: ({ mode, token, challenge }) =>
          mode === "subscribe" && token === "verify-me" && challenge !== undefined
            ? { status: 200, body: challenge }
            : { status: 403 },
        receive: async (body, signature) => {
          this.received.push({ body, signature });
          return this.webhookAnswer();
        },
      },
      readyChecks: [],
    };
  }

  #store(): void {
    if (this.storeFailure !== undefined) throw this.storeFailure;
  }
}

export interface RunningHttp {
  readonly url: string;
  readonly port: number;
  readonly server: HttpServer;
  /** With the good API key. */
  get(path: string, headers?: Record<string, string>): Promise<Answer>;
  send(path: string, init: RequestInit): Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The body, parsed; undefined when it is not JSON. */
  readonly json: unknown;
}

export async function startHttp(house: FakeHouse, changes: Partial<AppParts> = {}): Promise<RunningHttp> {
  const server = new HttpServer({ host: "127.0.0.1", port: 0, ...house.parts(), ...changes });
  const { url, port } = await server.start();
  const send = async (path: string, init: RequestInit): Promise<Answer> => {
    const response = await fetch(url + path, init);
    const text = await response.text();
    const isJson = text !== "" && response.headers.get("content-type")?.startsWith("application/json");
    return {
      status: response.status,
      headers: response.headers,
      text,
      json: isJson === true ? (JSON.parse(text) as unknown) : undefined,
    };
  };
  const get = (path: string, headers: Record<string, string> = {}): Promise<Answer> =>
    send(path, { headers: { authorization: `Bearer ${API_KEY}`, ...headers } });
  return { url, port, server, get, send };
}
