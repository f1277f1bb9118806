/** Webhooks that no gateway sends: broken, hostile, or from somebody else. */
export type Forgery = keyof typeof forgeries;

/** Beyond any limit that a receiver may have. */
const OVERSIZED_BYTES = 20 * 1_048_576;
const TOO_DEEP = 20_000;

const forgeries = {
  empty: () => "",
  not_json: () => "event=message&from=5511987654321",
  truncated: (proper: string) => proper.slice(0, Math.floor(proper.length / 2)),
  /** Nested far deeper than anything that is meant. */
  too_deep: () => `{"event":"message","data":${"[".repeat(TOO_DEEP)}${"]".repeat(TOO_DEEP)}}`,
  oversized: (proper: string) => changed(proper, { padding: "x".repeat(OVERSIZED_BYTES) }),
  /** Says that it belongs to somebody else's channel. */
  other_channel: (proper: string) => changed(proper, { channel: "somebody-else", session: "somebody-else" }),
  unknown_event: (proper: string) => changed(proper, { event: "party" }),
  /** The right names with values of the wrong types. */
  wrong_types: (proper: string) =>
    changed(proper, { data: { id: 7, from: [], to: null, body: { $gt: "" }, t: "soon" }, id: {}, from: 1, to: false }),
  wrong_secret: (proper: string) => proper,
  no_secret: (proper: string) => proper,
} satisfies Readonly<Record<string, (proper: string) => string>>;

export function forge(
  kind: Forgery,
  proper: string,
): { readonly body: string; readonly proof: "right" | "wrong" | "missing" } {
  const proof = kind === "wrong_secret" ? "wrong" : kind === "no_secret" ? "missing" : "right";
  return { body: forgeries[kind](proper), proof };
}

function changed(proper: string, fields: object): string {
  return JSON.stringify({ ...(JSON.parse(proper) as object), ...fields });
}
