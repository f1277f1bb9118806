import type { SipMedia } from "#core/sdp/session.ts";
import { answerSipReoffer, readSipAnswer } from "#core/sdp/sip-answer.ts";
import { type SipLocal, writeSipOffer } from "#core/sdp/sip-offer.ts";
import type { TrunkMedia } from "./call-context.ts";
import type { Latching, MediaCallPort } from "./ports.ts";

/**
 * Offer and answer with the PBX (RFC 3264), for the whole dialog. Whatever the PBX renegotiates (hold, another codec, another
 * address) is answered here and told to the media; it never reaches the WhatsApp side, which knows no renegotiation.
 */
export class PbxSession {
  readonly #media: MediaCallPort;
  readonly #latching: Latching;
  #local: SipLocal;
  #remote: SipMedia | undefined;

  constructor(media: MediaCallPort, { codecs, latching }: TrunkMedia, sessionId: string) {
    this.#media = media;
    this.#latching = latching;
    this.#local = { ...media.sipAddress, codecs, sessionId, version: 1, direction: "sendrecv" };
  }

  /** The offer of our INVITE. */
  offer(): string {
    return writeSipOffer(this.#local);
  }

  /** The PBX's answer to it. Returns what is wrong with it, or undefined when media was told. */
  answered(sdp: string): string | undefined {
    const answer = readSipAnswer(sdp, this.#local);
    if (!answer.ok) return answer.problem.text;
    this.#adopt(answer.value);
    return undefined;
  }

  /** Our answer to an offer of a re-INVITE or UPDATE; undefined refuses it, and everything stays as it was. */
  reoffered(sdp: string): string | undefined {
    if (this.#remote === undefined) return undefined;
    const answer = answerSipReoffer(sdp, this.#remote, this.#local);
    if (!answer.ok) return undefined;
    this.#local = answer.value.local;
    this.#adopt(answer.value.media);
    return answer.value.sdp;
  }

  /** Our offer for a re-INVITE that came without one. */
  offerAgain(): string {
    this.#local = { ...this.#local, version: this.#local.version + 1, direction: "sendrecv" };
    return writeSipOffer(this.#local);
  }

  /** What the PBX receives and sends at the moment, for the log. */
  get current(): SipMedia | undefined {
    return this.#remote;
  }

  #adopt(remote: SipMedia): void {
    this.#remote = remote;
    this.#media.setSipSession(remote, this.#latching);
  }
}
