import { type Random, randomBytes } from "#sandbox/random.ts";

/** A refusal of the Graph API before it is written down as JSON. */
export interface GraphError {
  readonly httpStatus: number;
  readonly code: number;
  readonly subcode?: number;
  readonly type: "OAuthException" | "GraphMethodException";
  /** Without the leading `(#code)`. */
  readonly message: string;
  readonly transient?: true;
}

const oauth = (httpStatus: number, code: number, message: string): GraphError => ({
  httpStatus,
  code,
  type: "OAuthException",
  message,
});

/** The codes of Meta's error tables that calls can get as an answer, with their HTTP status. */
export const graphErrors = {
  4: oauth(429, 4, "Application request limit reached"),
  100: oauth(400, 100, "Invalid parameter"),
  190: oauth(401, 190, "Invalid OAuth access token - Cannot parse access token"),
  130429: oauth(429, 130429, "Rate limit hit"),
  131000: { ...oauth(500, 131000, "Something went wrong"), transient: true },
  131016: { ...oauth(503, 131016, "Service unavailable"), transient: true },
  131044: oauth(400, 131044, "Business eligibility payment issue"),
  131055: oauth(400, 131055, "Method not allowed"),
  138000: oauth(401, 138000, "Calling not enabled"),
  138001: oauth(400, 138001, "Receiver uncallable"),
  138002: oauth(429, 138002, "Concurrent calls limit reached"),
  138003: oauth(400, 138003, "Duplicate call"),
  138004: { ...oauth(500, 138004, "Connection error"), transient: true },
  138005: oauth(429, 138005, "Call rate limit exceeded"),
  138006: oauth(401, 138006, "No approved call permission found"),
  138007: { ...oauth(500, 138007, "Connection timeout"), transient: true },
  138008: oauth(400, 138008, "SDP validation error"),
  138012: oauth(400, 138012, "Call limit reached"),
  138013: oauth(400, 138013, "Business-initiated calling is not available"),
  138014: oauth(400, 138014, "Business calling paused"),
} as const satisfies Record<number, GraphError>;

export type GraphErrorCode = keyof typeof graphErrors;

/** General Graph behaviour for an id that does not exist or that the token may not see. */
export function unknownObject(id: string): GraphError {
  return {
    httpStatus: 400,
    code: 100,
    subcode: 33,
    type: "GraphMethodException",
    message:
      `Unsupported post request. Object with ID '${id}' does not exist, cannot be loaded due to missing permissions, ` +
      "or does not support this operation. Please read the Graph API documentation at https://developers.facebook.com/docs/graph-api",
  };
}

/** The `error` body, with `details` where the exact reason belongs. */
export function errorBody(error: GraphError, details: string | undefined, random: Random): object {
  const prefix = error.type === "OAuthException" && error.code !== 190 ? `(#${error.code}) ` : "";
  return {
    error: {
      message: `${prefix}${error.message}`,
      type: error.type,
      code: error.code,
      ...(error.subcode === undefined ? {} : { error_subcode: error.subcode }),
      ...(error.transient === undefined ? {} : { is_transient: true }),
      ...(details === undefined ? {} : { error_data: { messaging_product: "whatsapp", details } }),
      fbtrace_id: `A${randomBytes(random, 16).toString("base64url")}`,
    },
  };
}

/** Codes that come only in terminate webhooks, with title and message. */
export const callErrors = {
  138019: { title: "Call setup failed", message: "The call could not be set up at the WhatsApp client." },
  138020: { title: "Client connectivity issue", message: "The WhatsApp client could not reach the media relay." },
  138021: {
    title: "Media receive timeout",
    message: "WhatsApp client terminated the call due to not receiving any media for a long time. Please try again",
  },
  138022: { title: "Media send timeout", message: "WhatsApp client sent no media for a long time." },
  138023: { title: "No media signals", message: "The call was accepted, but no media signals came." },
} as const;

export type CallErrorCode = keyof typeof callErrors;
