import type { AddressInfo } from "node:net";
import { PonteError } from "#core/error.ts";
import type { App } from "./app.ts";
import { type AppParts, buildApp } from "./build-app.ts";
import { EventStreams } from "./events.ts";

export interface HttpServerOptions extends AppParts {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
}

/** What requests in progress are given when the daemon stops; then their sockets are closed. */
const DRAIN_LIMIT_MS = 5_000;

/** The API, the webhooks and the health pages. */
export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #streams: EventStreams;
  #app: App | undefined;
  #stopping: Promise<void> | undefined;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#streams = new EventStreams(options);
  }

  /** Listens. Rejects with PonteError `port_taken` or `listen_failed`. */
  async start(): Promise<{ readonly url: string; readonly port: number }> {
    const { host, port } = this.#options;
    const app = await buildApp(this.#options, this.#streams, () => this.#stopping !== undefined);
    this.#app = app;
    try {
      await app.listen({ host, port });
    } catch (error) {
      await app.close();
      throw listenFailure(error, host, port);
    }
    const bound = app.server.address() as AddressInfo;
    const shown = bound.family === "IPv6" ? `[${bound.address}]` : bound.address;
    return { url: `http://${shown}:${bound.port}`, port: bound.port };
  }

  /** Ends the event streams, lets requests in progress finish for a while, closes everything. May be called twice. */
  stop(): Promise<void> {
    this.#stopping ??= this.#close();
    return this.#stopping;
  }

  async #close(): Promise<void> {
    this.#streams.stop();
    const app = this.#app;
    if (app === undefined) return;
    const cancel = this.#options.clock.after(DRAIN_LIMIT_MS, () => {
      this.#options.log.warn({ drain_ms: DRAIN_LIMIT_MS }, "http connections closed while requests were in progress");
      app.server.closeAllConnections();
    });
    try {
      await app.close();
    } finally {
      cancel();
    }
  }
}

function listenFailure(error: unknown, host: string, port: number): PonteError {
  const code = (error as NodeJS.ErrnoException).code ?? "";
  const where = `${host}:${port}`;
  if (code === "EADDRINUSE")
    return new PonteError(
      "port_taken",
      `${where} is in use already: another program, perhaps another ponte, listens there. Stop it, or set PONTE_HTTP_PORT, or http.port of the configuration file, to a free port; 0 takes any.`,
      { cause: error },
    );
  const advice: Readonly<Record<string, string>> = {
    EACCES: "ports below 1024 need a privilege; take a higher one and let a reverse proxy listen",
    EADDRNOTAVAIL:
      "this machine does not have that address; set PONTE_HTTP_HOST, or http.host of the configuration file, to one it has",
    ENOTFOUND:
      "that name has no address; set PONTE_HTTP_HOST, or http.host of the configuration file, to an address of this machine",
  };
  return new PonteError("listen_failed", `cannot listen on ${where}: ${advice[code] ?? code}.`, { cause: error });
}
