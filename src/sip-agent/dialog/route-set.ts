import { parseUri } from "#sip-agent/message/uri.ts";
import { parseNameAddr } from "#sip-agent/message/values.ts";

export type Routed = {
  readonly requestUri: string;
  /** The values of the Route header, in order. */
  readonly routes: readonly string[];
  /** The URI that says where the packet goes. */
  readonly nextHop: string;
};

/**
 * Request-URI, Route header and next hop of a request inside a dialog (RFC 3261 §12.2.1.1).
 *
 *     route set          Request-URI      Route                next hop
 *     empty              target           –                    target
 *     a;lr, b            target           a;lr, b              a       loose routing
 *     a, b               a                b, target            a       strict routing, RFC 2543
 */
export function routed(target: string, routeSet: readonly string[]): Routed {
  const [first, ...rest] = routeSet;
  const uri = first === undefined ? undefined : parseNameAddr(first)?.uri;
  if (first === undefined || uri === undefined) return { requestUri: target, routes: [], nextHop: target };
  if (parseUri(uri)?.params.has("lr")) return { requestUri: target, routes: routeSet, nextHop: uri };
  // What a Request-URI must not hold goes: headers and the method parameter (RFC 3261 §19.1.1 table 1).
  const requestUri = uri.replace(/\?.*$/, "").replace(/;method=[^;]*/i, "");
  return { requestUri, routes: [...rest, `<${target}>`], nextHop: uri };
}
