import type { Candidate, RemoteTransport } from "#core/sdp/transport.ts";
import { hasAttribute, type SdpView, valuesOf } from "#sandbox/meta/sdp-view.ts";

/** What an answer that passed the rules says about its transport; undefined when it lacks something. */
export function transportOf(view: SdpView): RemoteTransport | undefined {
  const [ufrag] = valuesOf(view, "ice-ufrag");
  const [pwd] = valuesOf(view, "ice-pwd");
  const [algorithm, value] = valuesOf(view, "fingerprint")[0]?.split(" ") ?? [];
  const [setup] = valuesOf(view, "setup");
  if (ufrag === undefined || pwd === undefined || algorithm === undefined || value === undefined) return undefined;
  return {
    ufrag,
    pwd,
    lite: hasAttribute(view, "ice-lite"),
    fingerprint: { algorithm: algorithm.toLowerCase(), value: value.toUpperCase() },
    setup: setup === "passive" ? "passive" : "active",
    candidates: valuesOf(view, "candidate").flatMap(candidateOf),
  };
}

/** `foundation component udp priority address port typ type …`; anything else is passed over. */
function candidateOf(text: string): Candidate[] {
  const [foundation = "", component, protocol, priority, address = "", port, , type] = text.split(" ");
  if (protocol?.toLowerCase() !== "udp" || component !== "1") return [];
  if (type !== "host" && type !== "srflx" && type !== "prflx" && type !== "relay") return [];
  return [{ foundation, component: 1, priority: Number(priority), address, port: Number(port), type }];
}
