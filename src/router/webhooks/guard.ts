import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { isPublicAddress } from "./address.ts";

/** All addresses of a name; rejects when there are none. */
export type Resolve = (hostname: string) => Promise<readonly string[]>;

export interface GuardRules {
  /** Private addresses, http and odd ports may be dialled. */
  readonly allowPrivate: boolean;
  readonly resolve: Resolve;
}

export type Verdict =
  | { readonly ok: true; readonly url: URL; readonly addresses: readonly [string, ...string[]] }
  | { readonly ok: false; readonly code: "bad_url" | "refused_address" | "unknown_host"; readonly message: string };

const MAX_URL_LENGTH = 2_048;

/** The system's resolver, as sockets use it. */
export const systemResolve: Resolve = async (hostname) =>
  (await lookup(hostname, { all: true, verbatim: true })).map(({ address }) => address);

/** What can be told of an address without asking anybody. */
export function readTarget(text: string, allowPrivate: boolean): URL | string {
  if (text.length > MAX_URL_LENGTH) return `The address is longer than ${MAX_URL_LENGTH} characters.`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || url.hostname === "") return "This is no address of the form https://host/path.";
  if (url.protocol !== "https:" && !(url.protocol === "http:" && allowPrivate))
    return "The address must begin with https.";
  // They would stand in logs and lists; the signature says who sends.
  if (url.username !== "" || url.password !== "") return "The address must not hold a user name or password.";
  return url;
}

/**
 * Whether an endpoint may be dialled, and at which addresses. Asked when it is saved, so that whoever enters it hears why not,
 * and again at each request, whose socket then goes to these very addresses: a name may point elsewhere by then.
 *
 * One address that is not public is enough to refuse the name: which of them a socket takes is nobody's choice.
 */
export async function guardTarget(text: string, { allowPrivate, resolve }: GuardRules): Promise<Verdict> {
  const url = readTarget(text, allowPrivate);
  if (typeof url === "string") return { ok: false, code: "bad_url", message: url };
  // The URL parser has made 127.0.0.1 of 0x7f.1, 2130706433 and the like.
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses = await addressesOf(host, resolve);
  const [first, ...others] = addresses;
  if (first === undefined) return { ok: false, code: "unknown_host", message: `${host} has no address.` };
  if (!allowPrivate && !addresses.every(isPublicAddress))
    return { ok: false, code: "refused_address", message: `${host} is not an address of the public internet.` };
  return { ok: true, url, addresses: [first, ...others] };
}

async function addressesOf(host: string, resolve: Resolve): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  try {
    return (await resolve(host)).filter((address) => isIP(address) !== 0);
  } catch {
    return [];
  }
}
