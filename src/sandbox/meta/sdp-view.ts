/**
 * A session description as its lines say it (RFC 8866), for the checks of the simulated Meta. Written apart from ponte's own
 * reading of SDP, so that one mistake cannot hide in both.
 */
export interface SdpView {
  /** What is wrong with the form, in words. */
  readonly problems: readonly string[];
  readonly session: SdpSection;
  readonly media: readonly SdpMedia[];
}

export interface SdpSection {
  readonly attributes: readonly SdpAttribute[];
}

export interface SdpMedia extends SdpSection {
  readonly kind: string;
  readonly port: number;
  readonly proto: string;
  readonly formats: readonly string[];
}

export interface SdpAttribute {
  readonly name: string;
  readonly value: string;
}

/** RFC 8866 §5: the order of types in the session part and in each media part. */
const SESSION_ORDER = "vosiuepcbtrzka";
const MEDIA_ORDER = "micbka";

/** Reads any text; never throws. */
export function viewSdp(text: string): SdpView {
  const problems: string[] = [];
  if (!text.endsWith("\r\n")) problems.push("The description does not end in CRLF");
  if (/(?<!\r)\n|\r(?!\n)/.test(text)) problems.push("A line does not end in CRLF");
  const lines = text.split(/\r\n|\n|\r/);
  if (lines.at(-1) === "") lines.pop();
  const session: { attributes: SdpAttribute[] } = { attributes: [] };
  const media: (Omit<SdpMedia, "attributes"> & { attributes: SdpAttribute[] })[] = [];
  let order = 0;
  for (const [index, line] of lines.entries()) {
    const match = /^([a-z])=(.*)$/.exec(line);
    if (match === null) {
      problems.push(`Line ${index + 1} is not <type>=<value>`);
      continue;
    }
    const [, type = "", value = ""] = match;
    if (type === "m") {
      media.push(mediaLine(value, problems));
      order = 0;
    }
    const place = (media.length > 0 ? MEDIA_ORDER : SESSION_ORDER).indexOf(type);
    if (place < order) problems.push(`Line ${index + 1} (${type}=) is out of order or unknown`);
    else order = place;
    if (type === "a") (media.at(-1) ?? session).attributes.push(attributeLine(value));
  }
  if (lines[0] !== "v=0") problems.push("The first line is not v=0");
  if (!/^o=\S+ \d+ \d+ IN IP[46] \S+$/.test(lines[1] ?? "")) problems.push("The second line is not a valid o=");
  if (!/^s=/.test(lines[2] ?? "")) problems.push("The third line is not s=");
  if (!lines.some((line) => /^t=\d+ \d+$/.test(line))) problems.push("There is no valid t= line");
  return { problems, session, media };
}

function mediaLine(value: string, problems: string[]): Omit<SdpMedia, "attributes"> & { attributes: SdpAttribute[] } {
  const [kind = "", port = "", proto = "", ...formats] = value.split(" ");
  if (!/^\d+$/.test(port) || Number(port) > 65_535 || formats.length === 0) problems.push("An m= line is malformed");
  return { kind, port: Number.parseInt(port, 10), proto, formats, attributes: [] };
}

function attributeLine(value: string): SdpAttribute {
  const colon = value.indexOf(":");
  return colon < 0 ? { name: value, value: "" } : { name: value.slice(0, colon), value: value.slice(colon + 1) };
}

/** All values of an attribute, first those of the media part, then those of the session. */
export function valuesOf(view: SdpView, name: string): string[] {
  const all = [...(view.media[0]?.attributes ?? []), ...view.session.attributes];
  return all.filter((attribute) => attribute.name === name).map((attribute) => attribute.value);
}

export function hasAttribute(view: SdpView, name: string): boolean {
  return valuesOf(view, name).length > 0;
}

/** `opus/48000/2` for payload type 111, and so on; names in lower case. */
export function rtpMaps(view: SdpView): ReadonlyMap<string, string> {
  const maps = new Map<string, string>();
  for (const value of valuesOf(view, "rtpmap")) {
    const [payloadType = "", encoding = ""] = value.split(" ");
    maps.set(payloadType, encoding.toLowerCase());
  }
  return maps;
}
