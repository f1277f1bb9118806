import type { Modes } from "#sandbox/meta/modes.ts";
import { defaultModes } from "#sandbox/meta/modes.ts";
import { MediaRelay } from "#sandbox/relay/media-relay.ts";
import type { RelayCall, RelayEvents, RelayPort } from "#sandbox/relay/ports.ts";
import { Middleman } from "#test/protocol/media/transport-support.ts";

/**
 * The sandbox's relay with somebody on the way to it: whoever answers finds the middleman's port in the offer. The middleman
 * carries one call at a time; further ones need `direct`.
 */
export class AttackedRelay implements RelayPort {
  /** True: the next offers name the relay's own port. */
  direct = false;
  readonly #relay = new MediaRelay();
  #middleman: Middleman | undefined;
  #via = 0;
  /** Changes the offer on its way to the business. */
  tamperOffer: (sdp: string) => string = (sdp) => sdp;
  /** Takes the next calls in place of the true relay. */
  impostor: RelayPort | undefined;

  get middleman(): Middleman {
    if (this.#middleman === undefined) throw new Error("the relay is not started");
    return this.#middleman;
  }

  async start(): Promise<void> {
    await this.#relay.start();
    this.#middleman = new Middleman(this.#portOfRelay());
    this.#via = await this.#middleman.start();
  }

  async stop(): Promise<void> {
    this.#middleman?.stop();
    this.#middleman = undefined;
    await this.#relay.stop();
  }

  open(modes: Modes, events: RelayEvents): RelayCall {
    if (this.impostor !== undefined) return this.impostor.open(modes, events);
    const call = this.#relay.open(modes, events);
    const port = portIn(call.offer);
    const offer = this.tamperOffer(this.direct ? call.offer : call.offer.replaceAll(` ${port} `, ` ${this.#via} `));
    return {
      offer,
      answer: (answer, connects) => call.answer(answer, connects),
      accept: () => call.accept(),
      sendRtp: (packet) => call.sendRtp(packet),
      statistics: () => call.statistics(),
      close: () => call.close(),
    };
  }

  #portOfRelay(): number {
    const nobody = (): void => undefined;
    const events = { onConnected: nobody, onFirstRtp: nobody, onViolation: nobody, onDead: nobody, onRtp: nobody };
    const call = this.#relay.open(defaultModes, events);
    call.close();
    return portIn(call.offer);
  }
}

function portIn(offer: string): number {
  return Number(/^m=audio (\d+) /m.exec(offer)?.[1]);
}
