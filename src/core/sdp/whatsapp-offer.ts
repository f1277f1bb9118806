import type { Description, MediaSection } from "./description.ts";
import { attributeOf, problem, readDescription, wholeNumber } from "./description.ts";
import { audioFormatsOf, digitFormatsOf, directionOf, formatNamesOf, ptimeOf } from "./formats.ts";
import { readCandidates, readCredentials, readFingerprint, readSetup } from "./ice-and-dtls.ts";
import type { Result, SdpProblem, WhatsAppOffer } from "./session.ts";
import type { RemoteTransport } from "./transport.ts";

/** RFC 5888 §4 gives `mid` the characters of a token. */
const MID = /^[\w!#$%&'*+.^`{|}~-]{1,64}$/;

/**
 * Understands the offer of a user-initiated WhatsApp call, in both shapes that Meta sends, and a browser's with one audio
 * stream. Only opus/48000/2 and telephone-event/8000 are picked: Meta's older offers list G.722 and telephone-event/48000
 * too, which its relay does not carry.
 *
 * `mid` is empty when the offer has none.
 */
export function readWhatsAppOffer(sdp: string): Result<WhatsAppOffer, SdpProblem> {
  const description = readDescription(sdp);
  if (!description.ok) return description;
  const media = onlyAudio(description.value);
  if (!media.ok) return media;
  return readStream(description.value, media.value);
}

/** The answer has one stream, so the offer must not have more (RFC 3264 §6). */
function onlyAudio({ media }: Description): Result<MediaSection, SdpProblem> {
  const [first, second] = media;
  if (first === undefined) return problem("not_audio", "there is no m= line");
  const other = first.kind === "audio" ? second : first;
  if (other !== undefined)
    return problem("not_audio", `line ${other.line}: m=${other.kind.slice(0, 20)}, a call has one audio stream`);
  if (first.port === 0) return problem("refused_stream", `line ${first.line}: m=audio has port 0`);
  if (!/^UDP\/TLS\/RTP\/SAVPF?$/.test(first.protocol)) {
    const hint = /^RTP\/SAVPF?$/.test(first.protocol) ? "; set srtp_key_exchange_protocol of the number to DTLS" : "";
    const text = `line ${first.line}: ${first.protocol.slice(0, 40)} is not UDP/TLS/RTP/SAVPF${hint}`;
    return problem("bad_transport", text);
  }
  return { ok: true, value: first };
}

function readStream(description: Description, media: MediaSection): Result<WhatsAppOffer, SdpProblem> {
  const audio = audioFormatsOf(media).find(({ codec }) => codec === "opus");
  if (audio === undefined)
    return problem("no_common_codec", `line ${media.line}: opus/48000/2 is not among ${formatNamesOf(media)}`);
  const direction = directionOf(description, media);
  if (direction !== "sendrecv") return problem("refused_stream", `a=${direction}: a call has audio in both directions`);
  const mid = attributeOf(description, media, "mid");
  if (mid !== undefined && !MID.test(mid.value)) return problem("unparsable", `line ${mid.line}: a=mid is no token`);
  const transport = readTransport(description, media);
  if (!transport.ok) return transport;
  const digits = digitFormatsOf(media).find(({ clockRate }) => clockRate === 8_000);
  const ssrc = wholeNumber(attributeOf(description, media, "ssrc")?.value.split(/\s/, 1)[0], 1, 2 ** 32 - 1);
  return {
    ok: true,
    value: {
      mid: mid?.value ?? "",
      transport: transport.value,
      audio,
      ...(digits === undefined ? {} : { digits }),
      ...(ssrc === undefined ? {} : { ssrc }),
      ptimeMs: ptimeOf(description, media),
    },
  };
}

function readTransport(description: Description, media: MediaSection): Result<RemoteTransport, SdpProblem> {
  if (attributeOf(description, media, "rtcp-mux") === undefined)
    return problem("bad_transport", "a=rtcp-mux is missing: RTP and RTCP share one port");
  const credentials = readCredentials(description, media);
  if (!credentials.ok) return credentials;
  const fingerprint = readFingerprint(description, media);
  if (!fingerprint.ok) return fingerprint;
  const setup = readSetup(description, media);
  if (!setup.ok) return setup;
  // We always are the DTLS client: Meta documents the business as the side that sends the ClientHello.
  if (setup.value === "active") return problem("bad_transport", "a=setup:active leaves us no client role");
  const lite = attributeOf(description, media, "ice-lite") !== undefined;
  const candidates = readCandidates(media, credentials.value.ufrag);
  // RFC 8445 §2.5: a lite agent sends no checks, so without a candidate it can never be found.
  if (lite && candidates.length === 0) return problem("no_ice", "a=ice-lite without a usable a=candidate");
  return {
    ok: true,
    value: { ...credentials.value, lite, fingerprint: fingerprint.value, setup: setup.value, candidates },
  };
}
