/**
 * Meta's error codes, as far as call control can meet them: whether the same request may succeed in a moment, and what a
 * person should do. Sources: Meta's pages "Error codes" and "Calling API troubleshooting", November 2025 to June 2026.
 */

/**
 * `soon`: a trouble of Meta's own, which may be over in a fraction of a second. `throttled`: too many requests, so the
 * pauses are longer. `never`: the same request gets the same answer.
 */
export type Retry = "soon" | "throttled" | "never";

export interface GraphErrorRow {
  readonly retry: Retry;
  readonly hint: string;
}

const never = (hint: string): GraphErrorRow => ({ retry: "never", hint });
const soon = (hint: string): GraphErrorRow => ({ retry: "soon", hint });
const throttled = (hint: string): GraphErrorRow => ({ retry: "throttled", hint });

const TOKEN = "Check the access token of the channel: it is expired, revoked or not for this app.";
const PERMISSION = "Give the token whatsapp_business_messaging for this number (advanced access for other companies).";
const THROTTLED = "Too many requests for this app or number; the limit lifts by itself.";
const META_TROUBLE = "A trouble at Meta's side; see metastatus.com when it lasts.";
const ACCOUNT = "The business account is restricted; see Business Support Home.";
const PAYMENT = "Add a valid payment method to the WhatsApp Business Account.";

const rows: ReadonlyMap<number, GraphErrorRow> = new Map([
  [0, never(TOKEN)],
  [1, soon(META_TROUBLE)],
  [2, soon(META_TROUBLE)],
  [3, never(PERMISSION)],
  [4, throttled(THROTTLED)],
  [10, never(PERMISSION)],
  [33, never("The phone number id is unknown: check the channel's phone_number_id.")],
  [100, never("A parameter or the SDP was refused; the details say which.")],
  [190, never(TOKEN)],
  [368, never(ACCOUNT)],
  [613, throttled(THROTTLED)],
  [80007, throttled(THROTTLED)],
  [130429, throttled(THROTTLED)],
  [130497, never("The business may not serve users of this country.")],
  [131000, soon(META_TROUBLE)],
  [131005, never(PERMISSION)],
  [131008, never("A required parameter is missing: this is a defect of ponte, please report it.")],
  [131009, never("A parameter has a value that Meta does not take here.")],
  [131016, soon(META_TROUBLE)],
  [131021, never("The business number called itself.")],
  [131026, never("The user cannot receive this.")],
  [131030, never("A test number only talks to the recipients listed for it in the app dashboard.")],
  [131031, never(ACCOUNT)],
  [131042, never(PAYMENT)],
  [131044, never(PAYMENT)],
  [131045, never("The number is not registered for the Cloud API.")],
  [131047, never("The 24 h window of this user is closed.")],
  [131048, throttled(THROTTLED)],
  [131055, never("The number is in SIP mode: set its sip.status to DISABLED to answer calls by the Graph API.")],
  [131056, throttled(THROTTLED)],
  [131057, soon("The account is under maintenance at Meta; it ends by itself.")],
  [131062, never("Business-scoped user ids are not supported here.")],
  [132001, never("The message template does not exist in this language.")],
  [138000, never("Calling is off for this number: switch it on in its settings (calling.status ENABLED).")],
  [138001, never("The user cannot be called: not on WhatsApp, terms not accepted, or an old client.")],
  [138002, never("1000 calls are going on with this number, which is Meta's limit.")],
  [138003, never("A call with this user is already going on.")],
  [138004, soon("Meta could not connect; it may work in a moment.")],
  [138005, never("The number has reached its limit of calls per day.")],
  [138006, never("The user has not permitted calls of this business.")],
  [138007, soon("Meta could not apply the SDP in time.")],
  [138008, never("Meta refused the SDP: exactly one sha-256 fingerprint is allowed.")],
  [138009, never("Too many call permission requests to this user.")],
  [138011, never("There is no earlier conversation with this user.")],
  [138012, never("Too many connected calls to this user today; the details name the next time.")],
  [138013, never("Business-initiated calls are not available for numbers of this country.")],
  [138014, never("Calling is paused for this number because of low quality.")],
  [138015, never("Calling needs a messaging limit of at least 2000 users per day.")],
  [138017, never("The user has permitted calls for good already.")],
  [138018, never("Subscribe the app to the webhook field calls, and to the WhatsApp Business Account.")],
]);

/** What a refusal means. Codes without a row are judged by the HTTP status (RFC 9110 §15). */
export function judge(
  code: number,
  subcode: number | undefined,
  httpStatus: number,
  transient: boolean,
): GraphErrorRow {
  // A code of 0 is "AuthException" with a status of 401; without a JSON body it only means that there was no code.
  const row =
    code === 0 && httpStatus !== 401 ? undefined : code === 100 && subcode === 33 ? rows.get(33) : rows.get(code);
  const known = row ?? byPermissionRange(code) ?? byStatus(httpStatus);
  return transient && known.retry === "never" ? { ...known, retry: "soon" } : known;
}

function byPermissionRange(code: number): GraphErrorRow | undefined {
  return code >= 200 && code <= 299 ? never(PERMISSION) : undefined;
}

function byStatus(httpStatus: number): GraphErrorRow {
  if (httpStatus === 0)
    return soon("Meta's Graph API did not answer: check meta.graph_url, DNS and the way out to port 443.");
  if (httpStatus === 401) return never(TOKEN);
  if (httpStatus === 403) return never(PERMISSION);
  if (httpStatus === 404) return never("Check meta.graph_url, meta.graph_version and the channel's phone_number_id.");
  if (httpStatus === 408 || httpStatus >= 500) return soon(META_TROUBLE);
  if (httpStatus === 429) return throttled(THROTTLED);
  if (httpStatus >= 300 && httpStatus < 400)
    return never("A redirection is not followed, it would give the token away: check meta.graph_url.");
  return never("See Meta's list of error codes.");
}

/** What Meta says about the state of the call; it has no code of its own for it, only code 100 and a text. */
export interface CallWord {
  /** The call has ended, or was never known. */
  readonly over: boolean;
  /** The same step was taken before. */
  readonly taken: boolean;
}

const OVER = new RegExp(
  [
    // "The call has already ended", "call … in progress, completed or failed", but not "Call setup failed".
    String.raw`\bcall(?:[ _-]?id)?\b.{0,60}?\b(?:has|is|was|been|already|or|progress,)\s+` +
      String.raw`(?:ended|over|completed|terminated|rejected|expired|failed|gone|unknown|inactive|not active|not found)\b`,
    String.raw`\bcall(?:[ _-]?id)?\b.{0,60}?\b(?:not found|does(?:n't| not) exist|no longer)\b`,
    String.raw`\b(?:unknown|no such|invalid|nonexistent) call(?:[ _-]?id)?\b`,
  ].join("|"),
  "i",
);
const TAKEN =
  /\balready\b(?! (?:ended|over|completed|terminated|rejected|expired|failed|gone)\b)|\bin progress\b|\bduplicate\b/i;

/**
 * Which numeric code the refusals "unknown call", "already in progress, completed or failed" have is not documented; the
 * text decides, and only for refusals of a parameter.
 */
export function callWordOf(code: number, subcode: number | undefined, httpStatus: number, text: string): CallWord {
  const aboutParameter = code === 100 && subcode !== 33 && httpStatus >= 400 && httpStatus < 500;
  return { over: aboutParameter && OVER.test(text), taken: aboutParameter && TAKEN.test(text) };
}
