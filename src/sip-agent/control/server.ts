import { once } from "node:events";
import { createServer, type Server } from "node:net";
import type { Address } from "#sip-agent/transport/address.ts";
import type { Application, Applications } from "#sip-agent/ua/application.ts";
import { Client, type ClientContext } from "./client.ts";

export type ControlOptions = {
  readonly host: string;
  readonly port: number;
  readonly maxClients: number;
};

/** The listener for applications, and their rota. */
export class ControlServer implements Applications {
  readonly #options: ControlOptions;
  readonly #context: ClientContext;
  readonly #server: Server;
  /** In order of use: whoever got a request goes to the end. */
  #clients: Client[] = [];

  constructor(
    options: ControlOptions,
    context: Omit<ClientContext, "closed">,
    lost: (application: Application) => void,
  ) {
    this.#options = options;
    this.#context = {
      ...context,
      closed: (client) => {
        this.#clients = this.#clients.filter((other) => other !== client);
        lost(client);
      },
    };
    this.#server = createServer();
    this.#server.on("connection", (socket) => {
      if (this.#clients.length >= this.#options.maxClients) {
        this.#context.counters.add("clients_refused");
        socket.on("error", (error) => this.#context.log.debug({ err: error }, "refused control connection failed"));
        socket.destroy();
      } else this.#clients.push(new Client(socket, this.#context));
    });
  }

  get clientCount(): number {
    return this.#clients.length;
  }

  async start(): Promise<Address> {
    const listening = once(this.#server, "listening");
    this.#server.listen({ host: this.#options.host, port: this.#options.port, exclusive: true });
    await listening;
    this.#server.on("error", (error) => this.#context.log.warn({ err: error }, "control server error"));
    const address = this.#server.address();
    return { host: this.#options.host, port: typeof address === "object" && address !== null ? address.port : 0 };
  }

  async stop(): Promise<void> {
    for (const client of [...this.#clients]) client.destroy();
    if (this.#server.listening) await new Promise<void>((done) => this.#server.close(() => done()));
  }

  /** Round robin over the applications that asked for this method. */
  next(method: string): Application | undefined {
    const verb = method.toLowerCase();
    const chosen = this.#clients.find((client) => client.wants(verb));
    if (chosen === undefined) return undefined;
    this.#clients = [...this.#clients.filter((client) => client !== chosen), chosen];
    return chosen;
  }
}
