import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { DtlsServer } from "werift";
import { type DtlsCertificate, makeCertificate } from "#media/transport/dtls/certificate.ts";
import { buildStun, parseStun } from "#media/transport/stun.ts";
import type { Modes } from "#sandbox/meta/modes.ts";
import { currentOffer } from "#sandbox/relay/offer.ts";
import type { RelayCall, RelayPort, RelayStatistics } from "#sandbox/relay/ports.ts";

const CREDENTIALS = { ufrag: "forgedforgedforg", pwd: "forgedforgedforgedforg==" };

/**
 * A relay of werift's DTLS whose Finished is rubbish, as that of somebody who changed the handshake on the way and does not
 * know its hash. All before it is right. One call at a time.
 */
export class ForgingRelay implements RelayPort {
  readonly #certificate: DtlsCertificate = makeCertificate(Date.now());
  #socket: Socket | undefined;
  #server: DtlsServer | undefined;
  #peer: { readonly address: string; readonly port: number } | undefined;
  #receive: (packet: Buffer) => void = () => undefined;

  async start(): Promise<void> {
    const socket = createSocket("udp4").bind(0, "127.0.0.1");
    this.#socket = socket;
    await once(socket, "listening");
    socket.on("message", (packet, from) => {
      this.#peer = { address: from.address, port: from.port };
      const first = packet[0] ?? 255;
      if (first < 4) this.#answerCheck(packet);
      else if (first >= 20 && first < 64) this.#receive(packet);
    });
  }

  async stop(): Promise<void> {
    this.#endServer();
    this.#socket?.close();
    this.#socket = undefined;
  }

  open(modes: Modes): RelayCall {
    const port = this.#socket?.address().port ?? 0;
    const candidate = { foundation: "1", component: 1, priority: 1, address: "127.0.0.1", port, type: "host" } as const;
    const local = { ...CREDENTIALS, lite: true, fingerprint: this.#certificate.fingerprint, candidates: [candidate] };
    this.#startServer();
    return {
      offer: currentOffer({ local, ssrc: 1, streamId: "forged", now: Date.now(), ipv6: modes.ipv6 }),
      answer: () => undefined,
      accept: () => undefined,
      sendRtp: () => undefined,
      statistics: () => nothing,
      close: () => this.#endServer(),
    };
  }

  #startServer(): void {
    const transport = {
      type: "udp",
      address: ["", 0] as const,
      onData: (_packet: Buffer): void => undefined,
      send: async (packet: Buffer): Promise<void> => this.#send(packet),
      close: async (): Promise<void> => undefined,
    };
    this.#server = new DtlsServer({
      transport: transport as never,
      srtpProfiles: [1] as never,
      cert: pem("CERTIFICATE", this.#certificate.der),
      key: String(this.#certificate.privateKey.export({ type: "pkcs8", format: "pem" })),
      signatureHash: { hash: 4, signature: 3 } as never,
      certificateRequest: true,
      extendedMasterSecret: true,
    });
    (this.#server.cipher as unknown as { verifyData(bytes: Buffer): Buffer }).verifyData = () => Buffer.alloc(12, 7);
    this.#receive = (packet) => transport.onData(packet);
  }

  #endServer(): void {
    this.#receive = () => undefined;
    // Its repetition stops at the next step when the handshake looks done.
    if (this.#server !== undefined) this.#server.dtls.flight = 99;
    this.#server = undefined;
  }

  #answerCheck(packet: Buffer): void {
    const check = parseStun(packet);
    if (check?.class !== "request" || this.#peer === undefined) return;
    const { transactionId } = check;
    this.#send(buildStun({ class: "success", transactionId, mappedAddress: this.#peer }, CREDENTIALS.pwd));
  }

  #send(packet: Buffer): void {
    if (this.#peer !== undefined) this.#socket?.send(packet, this.#peer.port, this.#peer.address);
  }
}

const nothing: RelayStatistics = { fromBusiness: 0, toBusiness: 0, heldBack: 0, lost: 0, digits: "" };

function pem(label: string, der: Buffer): string {
  return `-----BEGIN ${label}-----\n${der.toString("base64").replace(/.{64}/g, "$&\n")}\n-----END ${label}-----\n`;
}
