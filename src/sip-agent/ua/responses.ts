import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { responseTo } from "#sip-agent/transaction/layer.ts";
import type { Flow } from "#sip-agent/transport/listener.ts";
import { type Delivery, fromNetwork, type Verdict } from "./application.ts";

/** The final response that an application gets when none came from the network. */
export function madeUp(request: SipRequest, status: number): SipResponse {
  return responseTo(request, status);
}

/**
 * Puts challenges for MD5 behind those for other algorithms. The usual client reads all challenges as one, so that the
 * last one wins, and it knows MD5 only.
 */
function md5Last(response: SipResponse): SipResponse {
  const name = response.status === 407 ? "Proxy-Authenticate" : "WWW-Authenticate";
  if (response.status !== 401 && response.status !== 407) return response;
  const challenges = response.headers.all(name);
  if (challenges.length < 2) return response;
  const isMd5 = (value: string): boolean => !/algorithm\s*=\s*"?(?!md5(?:["\s,]|$))/i.test(value);
  const sorted = [...challenges.filter((value) => !isMd5(value)), ...challenges.filter(isMd5)];
  return { ...response, headers: response.headers.clone().setAll(name, sorted) };
}

/**
 * A response on its way to the application that sent the request. It came over `flow`, or the agent made it up; then `intended`
 * says what the request would have gone over.
 */
export function answerFor(
  response: SipResponse,
  flow: Flow | undefined,
  intended: Flow,
  transactionId: string,
  dialogId: string,
): Delivery {
  const message = md5Last(response);
  if (flow !== undefined) return fromNetwork(message, flow, transactionId, dialogId);
  return { source: "network", message, protocol: intended.listener.protocol, transactionId, dialogId };
}

/** What an application is told about a request that went out. */
export function echoOf(message: SipRequest, flow: Flow, transactionId: string): Verdict {
  const isUdp = flow.listener.protocol === "udp";
  const address = isUdp ? flow.listener.advertised(flow.remote.host) : flow.remote;
  return { ok: true, echo: { message, protocol: flow.listener.protocol, address, transactionId, dialogId: "" } };
}
