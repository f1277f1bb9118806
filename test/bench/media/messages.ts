import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import type { LocalTransport } from "#core/sdp/transport.ts";

/** What the benchmark's three processes tell each other: the parent leads, the load and the subject answer once to each. */

export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** One call as the load plays it: WhatsApp's relay on one side, the PBX on the other. */
export interface LoadCall {
  readonly offer: WhatsAppOffer;
  readonly session: SipMedia;
}

/** The same call as the subject carries it. */
export interface SubjectCall {
  readonly local: LocalTransport;
  readonly sipAddress: Endpoint;
}

export interface Memory {
  /** Of the whole process, as the operating system counts. */
  readonly rssBytes: number;
  /** Heaps and external memory of all threads, after a garbage collection. */
  readonly liveBytes: number;
}

export interface LoadResult {
  readonly sent: number;
  readonly received: number;
  /** One-way delays in milliseconds, as heard by the load: they contain its own wake-up and two trips through the kernel. */
  readonly delay: { readonly p50: number; readonly p99: number; readonly p999: number };
}

export type ToLoad =
  | { readonly type: "prepare_echo"; readonly ports: readonly Endpoint[] }
  | { readonly type: "prepare_calls"; readonly calls: number; readonly codec: "opus" | "PCMU" }
  | { readonly type: "connect"; readonly calls: readonly SubjectCall[] }
  | { readonly type: "run"; readonly ms: number }
  | { readonly type: "stop" };

export type ToSubject =
  | { readonly type: "echo"; readonly sockets: number }
  | { readonly type: "open"; readonly calls: readonly LoadCall[] }
  | { readonly type: "connect" }
  /** User and system time of the whole process since its start, microseconds. */
  | { readonly type: "cpu" }
  | { readonly type: "memory" }
  | { readonly type: "close_calls" }
  | { readonly type: "stop" };
