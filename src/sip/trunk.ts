import type { DialRequest } from "#engine/ports.ts";
import { nameAddr, uriUser } from "./header.ts";

/** A SIP peering, as far as signalling goes. */
export interface TrunkOptions {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly transport: "udp" | "tcp";
  /** Digest credentials (RFC 8760); without them a challenge ends the call. */
  readonly username?: string;
  readonly password?: string;
  /** Host part of From and P-Asserted-Identity; without it `host`. */
  readonly fromDomain?: string;
  /** Where the caller's number is shown. */
  readonly callerIdentity: "from" | "p-asserted-identity" | "both" | "none";
  /** How often the PBX is asked whether it is there, ms; 0 never. */
  readonly optionsIntervalMs: number;
}

/** `host:port`, an IPv6 literal in brackets. */
function hostPort(trunk: TrunkOptions): string {
  const host = trunk.host.includes(":") && !trunk.host.startsWith("[") ? `[${trunk.host}]` : trunk.host;
  return `${host}:${trunk.port}`;
}

/** Request-URI for a number behind the trunk, or for the PBX itself. */
export function trunkUri(trunk: TrunkOptions, user?: string): string {
  const transport = trunk.transport === "tcp" ? ";transport=tcp" : "";
  return `sip:${user === undefined ? "" : `${uriUser(user)}@`}${hostPort(trunk)}${transport}`;
}

/**
 * Host part of our own addresses. `localhost` would be replaced by the engine's address and port, so it is written as the
 * address that it means.
 */
export function identityDomain(trunk: TrunkOptions): string {
  const host = trunk.fromDomain ?? trunk.host;
  if (host.toLowerCase() === "localhost") return "127.0.0.1";
  return host.includes(":") && !host.startsWith("[") ? `[${host}]` : host;
}

/** Who we are on this trunk when no caller is shown. */
export function ownUri(trunk: TrunkOptions): string {
  return `sip:${uriUser(trunk.username ?? "ponte")}@${identityDomain(trunk)}`;
}

/**
 * From and P-Asserted-Identity (RFC 3325 §9.1) of a call. A caller without a number is shown by name, as `anonymous`; a
 * trunk that hides callers sees our own address.
 */
export function identityHeaders(
  trunk: TrunkOptions,
  caller: Pick<DialRequest, "callerNumber" | "callerName">,
): Record<string, string> {
  if (trunk.callerIdentity === "none") return { From: nameAddr(ownUri(trunk)) };
  const number = caller.callerNumber ?? "";
  const user = number === "" ? "anonymous" : uriUser(number);
  const callerAddress = nameAddr(`sip:${user}@${identityDomain(trunk)}`, caller.callerName);
  const asserted = trunk.callerIdentity !== "from" && number !== "";
  return {
    From: trunk.callerIdentity === "p-asserted-identity" ? nameAddr(ownUri(trunk), caller.callerName) : callerAddress,
    ...(asserted ? { "P-Asserted-Identity": callerAddress } : {}),
  };
}
