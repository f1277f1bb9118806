import type { SipRequest, SipResponse } from "#sip-agent/message/message.ts";
import { responseTo } from "#sip-agent/transaction/layer.ts";

/** The final response that an application gets when none came from the network. */
export function madeUp(request: SipRequest, status: number): SipResponse {
  return responseTo(request, status);
}

/**
 * Puts challenges for MD5 behind those for other algorithms. The usual client reads all challenges as one, so that the
 * last one wins, and it knows MD5 only.
 */
export function md5Last(response: SipResponse): SipResponse {
  const name = response.status === 407 ? "Proxy-Authenticate" : "WWW-Authenticate";
  if (response.status !== 401 && response.status !== 407) return response;
  const challenges = response.headers.all(name);
  if (challenges.length < 2) return response;
  const isMd5 = (value: string): boolean => !/algorithm\s*=\s*"?(?!md5(?:["\s,]|$))/i.test(value);
  const sorted = [...challenges.filter((value) => !isMd5(value)), ...challenges.filter(isMd5)];
  return { ...response, headers: response.headers.clone().setAll(name, sorted) };
}
