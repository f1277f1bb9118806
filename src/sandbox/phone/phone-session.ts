import type { PublicPort } from "#media/transport/public-port.ts";
import type { Clock } from "#sandbox/clock.ts";
import type { PlacedCall, UserPhone } from "#sandbox/meta/calls.ts";
import type { SimulatedMeta } from "#sandbox/meta/meta.ts";
import type { WhatsAppUser } from "#sandbox/meta/numbers.ts";
import type { Random } from "#sandbox/random.ts";
import { readRtp } from "#sandbox/relay/rtp.ts";
import { UserLeg } from "#sandbox/relay/user-leg.ts";
import { Hearing } from "./hearing.ts";
import type { CallRequest, PhoneNotice } from "./protocol.ts";
import { Speaker } from "./speaker.ts";

interface Options {
  readonly meta: SimulatedMeta;
  readonly port: PublicPort;
  readonly clock: Clock;
  readonly random: Random;
  readonly user: WhatsAppUser;
  /** Numbers that may be called. */
  readonly known: ReadonlySet<string>;
  readonly tell: (notice: PhoneNotice) => void;
}

interface OpenCall {
  readonly leg: UserLeg;
  readonly placed: PlacedCall;
  /** Where the client's stack has no keypad. */
  readonly speaker: Speaker | undefined;
}

/** Keys of one request; nobody dials longer numbers. */
const MAX_KEYS = 64;

/** One phone at its WebSocket: at most one call at a time. */
export class PhoneSession {
  readonly #options: Options;
  #call: OpenCall | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  get wacid(): string | undefined {
    return this.#call?.placed.wacid;
  }

  take(request: CallRequest): void {
    switch (request.type) {
      case "call":
        this.#place(request.number, request.keys ?? "client");
        break;
      case "answer":
        if (this.#call?.leg.answer(request.sdp) === false) this.#error("This answer cannot be used.");
        break;
      case "digits":
        if (this.#call?.speaker === undefined) this.#error("This phone presses its keys itself.");
        else {
          const keys = request.digits.replaceAll(/[^0-9*#A-D]/g, "").slice(0, MAX_KEYS);
          void this.#call.speaker.press(keys).then(() => this.#options.tell({ type: "released" }));
        }
        break;
      case "hang_up":
        this.#call?.placed.hangUp();
        break;
    }
  }

  close(): void {
    this.#call?.placed.hangUp();
  }

  #place(number: string, keys: "client" | "server"): void {
    const { meta, port, clock, random, user, known } = this.#options;
    if (this.#call !== undefined || !known.has(number)) {
      this.#error(known.has(number) ? "There is a call already." : "No such number.");
      return;
    }
    const speaker = keys === "server" ? new Speaker(random) : undefined;
    const leg: UserLeg = new UserLeg(port, random, clock.now(), {
      onConnected: () => undefined,
      onRtp: (packet) => this.#say(packet),
      onFailed: () => this.#call?.placed.hangUp(),
    });
    try {
      const placed = meta.placeCall({ user, phoneNumberId: number }, this.#phone(leg));
      this.#call = { leg, placed, speaker };
    } catch (error) {
      leg.close();
      throw error;
    }
    const { placed } = this.#call;
    this.#options.tell({ type: "offer", sdp: leg.offer, wacid: placed.wacid });
    this.#options.tell({ type: "state", state: "calling" });
  }

  #phone(leg: UserLeg): UserPhone {
    const { tell } = this.#options;
    const hearing = new Hearing();
    return {
      onRinging: () => tell({ type: "state", state: "ringing" }),
      onPickedUp: () => tell({ type: "state", state: "talking" }),
      onEnded: (end) => {
        this.#call?.speaker?.close();
        this.#call = undefined;
        leg.close();
        tell({ type: "state", state: "ended", ...end });
      },
      onRtp: (packet) => {
        const before = hearing.digits.length;
        hearing.take(packet, this.#options.clock.now());
        for (const digit of hearing.digits.slice(before)) tell({ type: "digit", digit });
        leg.sendRtp(packet);
      },
    };
  }

  /** A packet of the phone's microphone; with keys of ours its 20 ms may become a piece of a digit. */
  #say(packet: Buffer): void {
    const call = this.#call;
    if (call === undefined) return;
    if (call.speaker === undefined) {
      call.placed.sendRtp(packet);
      return;
    }
    const rtp = readRtp(packet);
    if (rtp === undefined) return;
    for (const made of call.speaker.next(() => rtp.payload)) call.placed.sendRtp(made);
  }

  #error(text: string): void {
    this.#options.tell({ type: "error", text });
  }
}
