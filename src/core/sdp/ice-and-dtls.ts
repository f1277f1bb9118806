import { ipVersion, isGroupAddress, isUnspecified } from "./address.ts";
import type { Description, MediaSection } from "./description.ts";
import { attributeOf, attributesOf, problem, wholeNumber } from "./description.ts";
import type { Result, SdpProblem } from "./session.ts";
import type { Candidate, CandidateType, DtlsSetup, Fingerprint, IceCredentials } from "./transport.ts";

/** The attributes of RFC 8839 (ICE) and RFC 5763 (DTLS-SRTP) of one stream, read into values. */

/** RFC 8839 §5.4: at most 256 characters. Which characters is not asked: Meta pads with `=`. */
const CREDENTIAL = /^\S{1,256}$/;
/** Meta offers two; a browser on a machine with many interfaces a dozen. */
const MAX_CANDIDATES = 32;
const SHA_256_VALUE = /^(?:[0-9A-F]{2}:){31}[0-9A-F]{2}$/;
const MAX_PRIORITY = 2 ** 31 - 1;

export function readCredentials(description: Description, media: MediaSection): Result<IceCredentials, SdpProblem> {
  const ufrag = attributeOf(description, media, "ice-ufrag");
  const pwd = attributeOf(description, media, "ice-pwd");
  if (ufrag === undefined || !CREDENTIAL.test(ufrag.value)) return problem("no_ice", wanting("a=ice-ufrag", ufrag));
  if (pwd === undefined || !CREDENTIAL.test(pwd.value)) return problem("no_ice", wanting("a=ice-pwd", pwd));
  return { ok: true, value: { ufrag: ufrag.value, pwd: pwd.value } };
}

function wanting(name: string, found: { readonly line: number } | undefined): string {
  return found === undefined ? `${name} is missing` : `line ${found.line}: ${name} is unusable`;
}

const candidateTypes: readonly CandidateType[] = ["host", "srflx", "prflx", "relay"];

/**
 * The candidates that ponte can use; others are passed over, as RFC 8839 §5.1 asks: TCP, RTCP, names, and those of another
 * generation (`ufrag` at the end, as browsers and Meta's older offers write it).
 */
export function readCandidates(media: MediaSection, ufrag: string): readonly Candidate[] {
  return media.attributes
    .filter(({ name }) => name === "candidate")
    .slice(0, MAX_CANDIDATES)
    .flatMap(({ value }) => readCandidate(value, ufrag) ?? []);
}

/** `3935165743 1 udp 2122260223 57.144.215.49 3484 typ host generation 0 network-cost 50 ufrag x`. */
function readCandidate(value: string, ownUfrag: string): Candidate | undefined {
  const [foundation = "", componentText, protocol, priorityText, address = "", portText, typ, typeText, ...extensions] =
    value.split(/\s+/);
  const component = wholeNumber(componentText, 1, 1);
  const priority = wholeNumber(priorityText, 1, MAX_PRIORITY);
  const port = wholeNumber(portText, 1, 65_535);
  const type = candidateTypes.find((known) => known === typeText);
  if (component === undefined || priority === undefined || port === undefined || type === undefined) return undefined;
  if (!/^[\w+/-]{1,32}$/.test(foundation) || protocol?.toLowerCase() !== "udp" || typ !== "typ") return undefined;
  if (ipVersion(address) === 0 || isUnspecified(address) || isGroupAddress(address)) return undefined;
  const ufragAt = extensions.findIndex((word, index) => index % 2 === 0 && word === "ufrag");
  if (ufragAt >= 0 && extensions[ufragAt + 1] !== ownUfrag) return undefined;
  return { foundation, component, priority, address, port, type };
}

/** The sha-256 fingerprint; others beside it are passed over (RFC 8122 §5). */
export function readFingerprint(description: Description, media: MediaSection): Result<Fingerprint, SdpProblem> {
  const found = attributesOf(description, media, "fingerprint");
  const first = found[0];
  if (first === undefined) return problem("no_fingerprint", "a=fingerprint is missing");
  for (const { value } of found) {
    const [algorithm = "", hash = ""] = value.split(/\s+/);
    const upper = hash.toUpperCase();
    if (algorithm.toLowerCase() === "sha-256" && SHA_256_VALUE.test(upper))
      return { ok: true, value: { algorithm: "sha-256", value: upper } };
  }
  return problem("no_fingerprint", `line ${first.line}: a=fingerprint holds no sha-256 of 32 bytes`);
}

const setups: readonly DtlsSetup[] = ["active", "passive", "actpass"];

/** RFC 5763 §5 makes offers `actpass`; where the line is missing that is what is meant. */
export function readSetup(description: Description, media: MediaSection): Result<DtlsSetup, SdpProblem> {
  const found = attributeOf(description, media, "setup");
  if (found === undefined) return { ok: true, value: "actpass" };
  const setup = setups.find((known) => known === found.value.toLowerCase());
  if (setup === undefined)
    return problem("bad_transport", `line ${found.line}: a=setup names no role that can connect`);
  return { ok: true, value: setup };
}
