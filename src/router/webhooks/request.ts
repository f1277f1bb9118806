import type { Agent as HttpAgent, IncomingMessage } from "node:http";
import { request as httpRequest } from "node:http";
import type { Agent as HttpsAgent } from "node:https";
import { request as httpsRequest } from "node:https";
import type { LookupFunction } from "node:net";
import { isIP } from "node:net";

export interface PinnedRequest {
  readonly url: URL;
  /** The only ones that are dialled; their name is not asked for again. */
  readonly addresses: readonly [string, ...string[]];
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Aborted at the deadline. */
  readonly signal: AbortSignal;
  readonly agent?: HttpAgent | HttpsAgent;
}

export interface PinnedAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
  /** The beginning, up to `MAX_ANSWER_BYTES`. */
  readonly body: Buffer;
  /** There was more. */
  readonly cut: boolean;
}

/** A reply with a list of choices has some kilobytes. */
export const MAX_ANSWER_BYTES = 65_536;

/** Posts to addresses that were checked before. Follows no redirect. Rejects with the system's error, or that of the signal. */
export function postPinned({ url, addresses, headers, body, signal, agent }: PinnedRequest): Promise<PinnedAnswer> {
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = send(url, {
      method: "POST",
      headers: { ...headers, "content-length": body.length },
      lookup: pinned(addresses),
      signal,
      ...(agent === undefined ? {} : { agent }),
    });
    request.once("error", reject);
    request.once("response", (response) => {
      readBeginning(response).then(resolve, reject);
    });
    request.end(body);
  });
}

/** Answers whoever asks with the addresses that were checked. Literal addresses in the URL are dialled without being asked for. */
function pinned(addresses: readonly [string, ...string[]]): LookupFunction {
  const entries = addresses.map((address) => ({ address, family: isIP(address) }));
  return (_hostname, options, callback) => {
    const fit = entries.filter(({ family }) => !options.family || options.family === family);
    const [first] = fit;
    if (options.all) callback(null, fit);
    else if (first === undefined) callback(Object.assign(new Error("no address"), { code: "ENOTFOUND" }), "", 4);
    else callback(null, first.address, first.family);
  };
}

async function readBeginning(response: IncomingMessage): Promise<PinnedAnswer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    // Leaving the loop destroys the stream and its socket.
    if (length > MAX_ANSWER_BYTES) break;
  }
  return {
    status: response.statusCode ?? 0,
    retryAfter: response.headers["retry-after"],
    body: Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES),
    cut: length > MAX_ANSWER_BYTES,
  };
}
