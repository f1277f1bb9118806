import { graphErrors, unknownObject } from "./errors.ts";
import { type Action, actions, type CallsRequest, type GraphRule } from "./rule.ts";
import { sdpRules } from "./sdp-rules.ts";

const answering: readonly Action[] = ["pre_accept", "accept"];
const ofCall: readonly Action[] = ["pre_accept", "accept", "reject", "terminate"];
const invalid = graphErrors[100];

const MIN_VERSION = 17;
const MAX_OPAQUE_CHARACTERS = 512;
const MAX_PURPOSE_CHARACTERS = 250;

const knownFields = new Set(["messaging_product", "action", "call_id", "session", "biz_opaque_callback_data", "to"]);
const connectFields = new Set(["recipient", "recording", "transcription"]);
const acceptFields = new Set(["recording", "transcription"]);

/** Languages of Meta's recording announcement. */
const announcementLanguages = new Set(
  "en en_US en_AU en_CA en_GB en_IN en_NZ nl fr de hi it kn pt es es_ES te vi".split(" "),
);

/**
 * Everything that the simulated Graph API refuses, in the order in which it looks. Correct a row here when the real Meta
 * proves it wrong.
 */
export const graphRules: readonly GraphRule[] = [
  {
    id: "G1",
    what: "Authorization: Bearer with a known token",
    check: (r) =>
      r.token !== undefined && r.tokens.has(r.token) ? undefined : "The access token is missing or unknown",
    breach: graphErrors[190],
  },
  {
    id: "G3",
    what: "the version segment is vN.N",
    check: (r) => (/^v\d+\.\d+$/.test(r.version) ? undefined : `Unknown version segment ${r.version}`),
    breach: invalid,
    inferred: true,
  },
  {
    id: "G3",
    what: "the version is v17.0 or newer",
    check: (r) => (r.modes.oldVersion === "refuse" ? oldVersion(r) : undefined),
    breach: invalid,
    inferred: true,
  },
  {
    id: "G3",
    what: "the version is v17.0 or newer (otherwise only a warning)",
    check: (r) => oldVersion(r),
    breach: "warning",
  },
  {
    id: "G2",
    what: "the phone number id is known to this token",
    check: (r) => (r.number === undefined ? `Unknown phone number id ${r.phoneNumberId}` : undefined),
    breach: (r) => unknownObject(r.phoneNumberId),
    inferred: true,
  },
  {
    id: "G4",
    what: "the body is a JSON object",
    check: (r) => (r.fields === undefined ? "The request body is not a JSON object" : undefined),
    breach: invalid,
  },
  {
    id: "G4",
    what: "messaging_product is whatsapp",
    check: (r) =>
      r.fields?.["messaging_product"] === "whatsapp" ? undefined : "The parameter messaging_product is required",
    breach: invalid,
  },
  {
    id: "G5",
    what: "action is one of the five, in any case",
    check: (r) =>
      r.action === undefined ? `Param action must be one of {${actions.join(", ").toUpperCase()}}` : undefined,
    breach: invalid,
  },
  {
    id: "G6",
    what: "no unknown top-level fields; `to` is let through, as Meta's own samples send it with accept",
    check: (r) => (r.modes.unknownBodyFields === "refuse" ? unknownField(r) : undefined),
    breach: invalid,
  },
  {
    id: "G27",
    what: `biz_opaque_callback_data has at most ${MAX_OPAQUE_CHARACTERS} characters`,
    check: (r) => {
      const opaque = r.fields?.["biz_opaque_callback_data"];
      if (opaque === undefined || (typeof opaque === "string" && opaque.length <= MAX_OPAQUE_CHARACTERS))
        return undefined;
      return `biz_opaque_callback_data must be a string of at most ${MAX_OPAQUE_CHARACTERS} characters`;
    },
    breach: invalid,
    inferred: true,
  },
  {
    id: "G33",
    what: "recording and transcription have a status, and when enabled a purpose and a known language",
    actions: ["connect", "accept"],
    check: (r) => recordingProblem(r, "recording") ?? recordingProblem(r, "transcription"),
    breach: invalid,
    inferred: true,
  },
  {
    id: "G7",
    what: "calling is enabled for the number",
    check: (r) => (r.settings?.status === "ENABLED" ? undefined : "Calling is not enabled for this phone number"),
    breach: graphErrors[138000],
  },
  {
    id: "G8",
    what: "the number is not in SIP mode",
    check: (r) =>
      r.settings?.sip === "ENABLED" ? "Calls of a SIP-enabled number cannot be controlled by Graph" : undefined,
    breach: graphErrors[131055],
  },
  {
    id: "G17",
    what: "connect: the user permitted calls of this business",
    actions: ["connect"],
    check: () => "No approved call permission: the sandbox does not place business-initiated calls",
    breach: graphErrors[138006],
  },
  {
    id: "G9",
    what: "call_id is known and belongs to this number",
    actions: ofCall,
    check: (r) =>
      r.call?.phoneNumberId === r.phoneNumberId ? undefined : "The call_id is unknown for this phone number",
    breach: invalid,
    inferred: true,
  },
  {
    id: "G15",
    what: "accept comes before the phone stops ringing (30 to 60 s)",
    actions: ["pre_accept", "accept", "reject"],
    check: (r) => (r.call?.rangOut === true ? "The call is already completed: it was not answered in time" : undefined),
    breach: invalid,
    inferred: true,
  },
  {
    id: "G16",
    what: "reject and terminate come before the end of the call",
    actions: ["reject", "terminate"],
    check: (r) => (r.call?.state === "ended" ? "The call is already completed or failed" : undefined),
    breach: invalid,
    inferred: true,
  },
  {
    id: "G14",
    what: "pre_accept and accept come once each",
    actions: answering,
    check: (r) => {
      if (r.action === "pre_accept" && r.call?.state === "pre_accepted") return "The call was already pre-accepted";
      if (r.action === "accept" && r.call?.state === "accepted") return "The call was already accepted";
      return undefined;
    },
    breach: invalid,
    inferred: true,
  },
  {
    id: "G10",
    what: "pre_accept, accept and reject are for calls that still ring",
    actions: ["pre_accept", "accept", "reject"],
    check: (r) =>
      r.call?.state === "offered" || r.call?.state === "pre_accepted"
        ? undefined
        : "The call is already in progress, completed or failed",
    breach: invalid,
    inferred: true,
  },
  {
    id: "G11",
    what: "session has sdp and sdp_type",
    actions: answering,
    check: (r) =>
      typeof r.session?.sdp === "string" && typeof r.session.sdpType === "string"
        ? undefined
        : "The parameter session needs sdp_type and sdp",
    breach: invalid,
  },
  {
    id: "G11",
    what: "session.sdp_type is answer",
    actions: answering,
    check: (r) => (r.modes.wrongSdpType === "refuse" && !isAnswer(r) ? "session.sdp_type must be answer" : undefined),
    breach: invalid,
  },
  {
    id: "G11",
    what: "session.sdp_type is answer (otherwise it never connects)",
    actions: answering,
    check: (r) => (isAnswer(r) ? undefined : "session.sdp_type is not answer: media will never connect"),
    breach: "media",
  },
  ...sdpRules,
  {
    id: "G13",
    what: "the SDP of accept equals that of pre_accept, byte for byte",
    actions: ["accept"],
    check: (r) =>
      r.call?.answer === undefined || r.call.answer === r.session?.sdp
        ? undefined
        : "The SDP differs from the one sent with pre_accept",
    breach: invalid,
    inferred: true,
  },
];
function oldVersion(r: CallsRequest): string | undefined {
  const major = Number(/^v(\d+)\./.exec(r.version)?.[1]);
  return major >= MIN_VERSION ? undefined : `Version ${r.version} is older than v${MIN_VERSION}.0`;
}

function unknownField(r: CallsRequest): string | undefined {
  const extra = r.action === "connect" ? connectFields : r.action === "accept" ? acceptFields : undefined;
  const unknown = Object.keys(r.fields ?? {}).find((name) => !knownFields.has(name) && extra?.has(name) !== true);
  return unknown === undefined ? undefined : `Unexpected key "${unknown}" on param`;
}

/** `sdp_type` is `answer`, in any case: at least one working implementation sends it in capitals. */
function isAnswer(r: CallsRequest): boolean {
  return typeof r.session?.sdpType === "string" && r.session.sdpType.toLowerCase() === "answer";
}

function recordingProblem(r: CallsRequest, name: "recording" | "transcription"): string | undefined {
  const given = r.fields?.[name];
  if (given === undefined) return undefined;
  if (typeof given !== "object" || given === null) return `${name} must be an object`;
  const { status, purpose, announcement_language: language } = given as Readonly<Record<string, unknown>>;
  if (status === "DISABLED") return undefined;
  if (status !== "ENABLED") return `${name}.status must be ENABLED or DISABLED`;
  if (typeof purpose !== "string" || purpose.length < 1 || purpose.length > MAX_PURPOSE_CHARACTERS)
    return `${name}.purpose must have 1 to ${MAX_PURPOSE_CHARACTERS} characters`;
  return typeof language === "string" && announcementLanguages.has(language)
    ? undefined
    : `${name}.announcement_language is unknown`;
}
