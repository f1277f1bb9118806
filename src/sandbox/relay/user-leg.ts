import type { FailureReason, SecureSession } from "#media/transport/contract.ts";
import type { PublicPort } from "#media/transport/public-port.ts";
import { viewSdp } from "#sandbox/meta/sdp-view.ts";
import { type Random, randomInteger } from "#sandbox/random.ts";
import { transportOf } from "./answer.ts";
import { currentOffer } from "./offer.ts";
import { setSsrc } from "./rtp.ts";

/** Called from packet handlers; must not throw. */
export interface UserLegEvents {
  onConnected(): void;
  /** Plain RTP of the user; valid only during the call. */
  onRtp(packet: Buffer): void;
  onFailed(reason: FailureReason): void;
}

/** The relay's leg towards a user with a WebRTC stack: it offers, ICE-lite, and the browser answers. */
export class UserLeg {
  readonly offer: string;
  readonly #session: SecureSession;
  readonly #ssrc: number;
  #answered = false;

  constructor(port: PublicPort, random: Random, now: number, events: UserLegEvents) {
    this.#ssrc = randomInteger(random, 1, 2 ** 32 - 1);
    this.#session = port.open({
      mode: "lite",
      events: {
        onIceConnected: () => undefined,
        onConnected: () => events.onConnected(),
        onRtp: (packet) => events.onRtp(packet),
        onRtcp: () => undefined,
        onFailed: (reason) => events.onFailed(reason),
      },
    });
    const { local } = this.#session;
    this.offer = currentOffer({ local, ssrc: this.#ssrc, streamId: "whatsapp", now, ipv6: "none" });
  }

  /** False when the answer cannot be used. */
  answer(sdp: string): boolean {
    const remote = transportOf(viewSdp(sdp));
    if (remote === undefined || this.#answered) return false;
    this.#answered = true;
    this.#session.connect(remote, remote.setup === "passive" ? "client" : "server");
    return true;
  }

  /** A packet of the business; its SSRC becomes the one that was offered to the user. */
  sendRtp(packet: Buffer): void {
    setSsrc(packet, this.#ssrc);
    this.#session.sendRtp(packet);
  }

  close(): void {
    this.#session.close();
  }
}
