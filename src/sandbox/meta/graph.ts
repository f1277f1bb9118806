import type { Faults } from "#sandbox/faults.ts";
import type { HttpReply } from "#sandbox/http-reply.ts";
import type { Random } from "#sandbox/random.ts";
import type { Calls } from "./calls.ts";
import { errorBody, graphErrors } from "./errors.ts";
import { errorOf, type Fault } from "./faults.ts";
import type { MetaLog } from "./log.ts";
import type { Messages } from "./messages.ts";
import type { Modes } from "./modes.ts";
import type { BusinessNumber, CallingSettings } from "./numbers.ts";
import { type Action, actions, type CallsRequest, judge } from "./rule.ts";
import { graphRules } from "./rules.ts";
import { viewSdp } from "./sdp-view.ts";

/** One HTTP request, as the server got it. */
export interface GraphCall {
  readonly method: string;
  readonly path: string;
  readonly version: string;
  readonly phoneNumberId: string;
  readonly authorization: string | undefined;
  readonly body: string;
}

interface Options {
  readonly random: Random;
  readonly log: MetaLog;
  readonly calls: Calls;
  readonly messages: Messages;
  readonly faults: Faults<Action, Fault>;
  readonly numbers: ReadonlyMap<string, BusinessNumber>;
  readonly settings: ReadonlyMap<string, CallingSettings>;
  readonly tokens: ReadonlySet<string>;
  readonly modes: () => Modes;
}

/** The Graph API's answers: reads a request, judges it by the table, does what it asks for. Knows no sockets. */
export class Graph {
  readonly #options: Options;

  constructor(options: Options) {
    this.#options = options;
  }

  /** `POST /<version>/<id>/calls`. */
  postCalls(http: GraphCall): HttpReply {
    const request = this.#read(http);
    const { faults, log } = this.#options;
    const fault = request.action === undefined ? undefined : faults.take(request.action);
    if (fault?.kind === "request_lost" || fault?.kind === "silent") {
      this.#log(http, request, 0);
      return { kind: fault.kind === "silent" ? "silent" : "hang_up" };
    }
    if (fault?.kind === "error") return this.#refuse(http, request, errorOf(fault), fault.details);

    const breaches = judge(graphRules, request);
    for (const { rule, details } of breaches) {
      log.add({ kind: "violation", rule, text: details, ...wacidOf(request) });
    }
    const refused = breaches.at(-1);
    if (refused?.error !== undefined) return this.#refuse(http, request, refused.error, refused.details);

    const connects = !breaches.some((breach) => breach.effect === "media");
    const onSent = this.#perform(request, connects);
    if (fault?.kind === "answer_lost") {
      onSent?.();
      this.#log(http, request, 0);
      return { kind: "hang_up" };
    }
    this.#log(http, request, 200);
    const body = { messaging_product: "whatsapp", success: true };
    const delayMs = fault?.kind === "slow" ? fault.delayMs : 0;
    return { kind: "answer", status: 200, body, delayMs, ...(onSent === undefined ? {} : { onSent }) };
  }

  /** `GET` and `POST /<version>/<id>/settings`: the two switches that the call rules look at. */
  settings(http: GraphCall): HttpReply {
    const request = { ...this.#read(http), action: undefined };
    const general = graphRules.filter((rule) => ["G1", "G2", "G3"].includes(rule.id));
    const refused = judge(general, request).at(-1);
    if (refused?.error !== undefined) return this.#refuse(http, request, refused.error, refused.details);
    const settings = this.#options.settings.get(http.phoneNumberId);
    if (settings === undefined) return { kind: "hang_up" };
    if (http.method === "POST") {
      const calling = record(request.fields?.["calling"]);
      settings.status = switchOf(calling?.["status"]) ?? settings.status;
      settings.sip = switchOf(record(calling?.["sip"])?.["status"]) ?? settings.sip;
    }
    this.#log(http, request, 200);
    const { status, sip } = settings;
    const body =
      http.method === "POST"
        ? { success: true }
        : {
            calling: {
              status,
              call_icon_visibility: "DEFAULT",
              callback_permission_status: "DISABLED",
              sip: { status: sip },
            },
          };
    return { kind: "answer", status: 200, body, delayMs: 0 };
  }

  /** `POST /<version>/<id>/messages`. */
  postMessages(http: GraphCall): HttpReply {
    const request = { ...this.#read(http), action: undefined };
    const general = graphRules.filter((rule) => ["G1", "G2", "G3", "G4"].includes(rule.id));
    const refused = judge(general, request).at(-1);
    if (refused?.error !== undefined) return this.#refuse(http, request, refused.error, refused.details);
    const taken = this.#options.messages.take(http.phoneNumberId, request.fields ?? {});
    if ("refused" in taken) return this.#refuse(http, request, graphErrors[100], taken.refused);
    this.#log(http, request, 200);
    return { kind: "answer", status: 200, delayMs: 0, ...taken };
  }

  #read(http: GraphCall): CallsRequest {
    const { numbers, settings, tokens, calls, modes } = this.#options;
    const fields = record(parseJson(http.body));
    const session = record(fields?.["session"]);
    const sdp = session?.["sdp"];
    const action = fields?.["action"];
    return {
      version: http.version,
      phoneNumberId: http.phoneNumberId,
      token: /^Bearer (\S+)$/.exec(http.authorization ?? "")?.[1],
      fields,
      action: typeof action === "string" ? actions.find((known) => known === action.toLowerCase()) : undefined,
      number: numbers.get(http.phoneNumberId),
      settings: settings.get(http.phoneNumberId),
      call: calls.find(fields?.["call_id"]),
      session: session === undefined ? undefined : { sdpType: session["sdp_type"], sdp },
      view: viewSdp(typeof sdp === "string" ? sdp : ""),
      tokens,
      modes: modes(),
    };
  }

  /** Does what was asked for; returns what is to happen when the answer goes out. */
  #perform(request: CallsRequest, connects: boolean): (() => void) | undefined {
    const { calls } = this.#options;
    const wacid = String(request.fields?.["call_id"]);
    const sdp = String(request.session?.sdp);
    const opaque = request.fields?.["biz_opaque_callback_data"];
    const perform: Readonly<Record<Action, () => void>> = {
      connect: () => undefined,
      pre_accept: () => calls.preAccept(wacid, sdp, request.view, connects),
      accept: () => calls.accept(wacid, sdp, request.view, connects, typeof opaque === "string" ? opaque : undefined),
      reject: () => calls.reject(wacid),
      terminate: () => calls.terminate(wacid),
    };
    if (request.action !== undefined) perform[request.action]();
    return request.action === "accept" ? () => calls.accepted(wacid) : undefined;
  }

  #refuse(
    http: GraphCall,
    request: CallsRequest,
    error: Parameters<typeof errorBody>[0],
    details: string | undefined,
  ): HttpReply {
    this.#log(http, request, error.httpStatus, { code: error.code, ...(details === undefined ? {} : { details }) });
    return {
      kind: "answer",
      status: error.httpStatus,
      body: errorBody(error, details, this.#options.random),
      delayMs: 0,
    };
  }

  #log(http: GraphCall, request: CallsRequest, status: number, more: { code?: number; details?: string } = {}): void {
    const action = request.action === undefined ? {} : { action: request.action };
    const { method, path } = http;
    const body = request.fields ?? http.body;
    this.#options.log.add({ kind: "request", method, path, ...action, ...wacidOf(request), body, status, ...more });
  }
}

function wacidOf(request: CallsRequest): { wacid?: string } {
  const wacid = request.fields?.["call_id"];
  return typeof wacid === "string" ? { wacid } : {};
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Rule G4 says so to the sender.
  }
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Readonly<Record<string, unknown>>)
    : undefined;
}

function switchOf(value: unknown): "ENABLED" | "DISABLED" | undefined {
  return value === "ENABLED" || value === "DISABLED" ? value : undefined;
}
