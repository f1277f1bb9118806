import type { DrachtioReply, DrachtioRequest, DrachtioResponse } from "./drachtio.ts";

/** The headers of one message that we send; names in the spelling that goes onto the wire. */
export type Headers = Readonly<Record<string, string>>;

export interface ResponseOptions {
  /** Reason phrase; the usual one when absent. */
  readonly reason?: string;
  readonly headers?: Headers;
  readonly body?: string;
}

/** A response that came for one of our requests. */
export interface Answer {
  readonly status: number;
  readonly reason: string;
  readonly body: string;
  /** Dialog id of the engine; empty outside dialogs. */
  readonly dialogId: string;
  /** False when the engine made it itself: a time-out or an unreachable address. */
  readonly fromNetwork: boolean;
  header(name: string): string | undefined;
}

export function toAnswer(response: DrachtioResponse): Answer {
  return {
    status: response.status,
    reason: response.reason ?? "",
    body: response.body ?? "",
    dialogId: response.stackDialogId ?? "",
    fromNetwork: response.source === "network" && (response.source_address ?? "") !== "",
    header: (name) => response.get(name),
  };
}

/** A request that we have sent, as it went onto the wire. */
export interface SentRequest {
  /** Request-URI; inside a dialog the remote target. */
  readonly uri: string;
  header(name: string): string | undefined;
  /** CANCEL (RFC 3261 §9.1). The engine holds it back until a provisional response has come. */
  cancel(headers: Headers): void;
}

/** What a response that was sent looked like. */
export interface SentResponse {
  readonly dialogId: string;
  header(name: string): string | undefined;
}

/** A request that came, from the network or from the engine. */
export class IncomingRequest {
  readonly method: string;
  readonly uri: string;
  readonly body: string;
  readonly callId: string;
  /** Dialog id of the engine; empty outside dialogs. */
  readonly dialogId: string;
  /** The engine made it itself: it has ended a dialog. No answer goes anywhere. */
  readonly fromEngine: boolean;
  readonly sourceAddress: string;
  readonly sourcePort: number;
  readonly #request: DrachtioRequest;
  readonly #reply: DrachtioReply;

  constructor(request: DrachtioRequest, reply: DrachtioReply) {
    this.#request = request;
    this.#reply = reply;
    this.method = request.method;
    this.uri = request.uri;
    this.body = request.body ?? "";
    this.callId = request.get("Call-ID") ?? "";
    this.dialogId = request.stackDialogId ?? "";
    this.fromEngine = request.source === "application";
    this.sourceAddress = request.source_address ?? "";
    this.sourcePort = request.source_port ?? 0;
  }

  header(name: string): string | undefined {
    return this.#request.get(name);
  }

  /** Type of the body in lower case, without parameters. */
  get contentType(): string {
    return (this.header("Content-Type") ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  }

  /** Whether To carries a tag: the sender believes in a dialog (RFC 3261 §12.2). */
  get inDialog(): boolean {
    return /;\s*tag=/i.test(this.header("To") ?? "");
  }

  /** The sender took its INVITE back; the engine has answered both requests already. */
  onCancel(listener: () => void): void {
    this.#request.on("cancel", listener);
  }

  /** Sends a response; a second final one is dropped. `sent` gets it as it left, or undefined when it did not. */
  respond(status: number, options: ResponseOptions = {}, sent?: (response: SentResponse | undefined) => void): void {
    if (this.fromEngine || this.#reply.finished) {
      sent?.(undefined);
      return;
    }
    const body = options.body === undefined ? {} : { body: options.body };
    this.#reply.send(status, options.reason, { headers: { ...options.headers }, ...body }, (error, message) => {
      if (error !== null || message === undefined) sent?.(undefined);
      else sent?.({ dialogId: this.#reply.stackDialogId ?? "", header: (name) => message.get(name) });
    });
  }
}
