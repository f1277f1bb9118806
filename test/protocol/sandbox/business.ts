import { createHmac } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { RemoteTransport } from "#core/sdp/transport.ts";
import type { SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { type MetaOptions, SimulatedMeta } from "#sandbox/meta/meta.ts";
import { valuesOf, viewSdp } from "#sandbox/meta/sdp-view.ts";
import { MediaRelay, type RelayOptions } from "#sandbox/relay/media-relay.ts";
import { buildRtp, OPUS_PT, setSsrc } from "#sandbox/relay/rtp.ts";

export const number = {
  phoneNumberId: "436666719526789",
  displayPhoneNumber: "15551440000",
  wabaId: "366634483210360",
};
const token = "token";
const appSecret = "secret";
const verifyToken = "verify";

/** Opus silence of 20 ms: one byte of TOC, SILK wideband, and nothing else (RFC 6716 §3.2.1). */
export const silence = Buffer.from([0x48, 0xff, 0xfe]);

export interface ConnectEvent {
  readonly id: string;
  readonly sdp: string;
}

/** A trivial business: takes webhooks, answers calls over a full ICE agent, and echoes RTP when it is told to. */
export class Business {
  readonly events: Record<string, unknown>[] = [];
  /** Every POST body, raw. */
  readonly bodies: string[] = [];
  readonly port = new PublicPort({ port: 0, bind4: "127.0.0.1", iceTimeoutMs: 5_000 });
  /** Status for the next webhooks, then 200. */
  readonly statuses: number[] = [];
  /** Where it takes webhooks. */
  url = "";
  onConnect: ((event: ConnectEvent) => void) | undefined;
  #server: Server | undefined;
  #graphUrl = "";

  async start(graphUrl: string): Promise<string> {
    this.#graphUrl = graphUrl;
    await this.port.start();
    const server = createServer((request, response) => {
      void bodyOf(request).then((body) => {
        const [status, text] = this.#webhook(request, body);
        response.writeHead(status, { connection: "close" }).end(text);
      });
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/webhook`;
    return this.url;
  }

  async stop(): Promise<void> {
    await this.port.stop();
    await new Promise<void>((resolve) =>
      this.#server === undefined ? resolve() : this.#server.close(() => resolve()),
    );
  }

  async act(action: string, wacid: string, sdp?: string): Promise<{ readonly status: number; readonly body: unknown }> {
    const session = sdp === undefined ? {} : { session: { sdp_type: "answer", sdp } };
    const response = await fetch(`${this.#graphUrl}/v23.0/${number.phoneNumberId}/calls`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}`, "content-type": "application/json", connection: "close" },
      body: JSON.stringify({ messaging_product: "whatsapp", call_id: wacid, action, ...session }),
    });
    return { status: response.status, body: await response.json() };
  }

  #webhook(request: IncomingMessage, body: string): readonly [number, string] {
    const url = new URL(request.url ?? "/", "http://business");
    if (request.method === "GET") {
      const known = url.searchParams.get("hub.verify_token") === verifyToken;
      return known ? [200, url.searchParams.get("hub.challenge") ?? ""] : [403, ""];
    }
    const wanted = `sha256=${createHmac("sha256", appSecret).update(body).digest("hex")}`;
    if (request.headers["x-hub-signature-256"] !== wanted) return [401, ""];
    this.bodies.push(body);
    const status = this.statuses.shift() ?? 200;
    if (status === 200) this.#take(JSON.parse(body));
    return [status, ""];
  }

  #take(body: { entry: { changes: { value: { calls?: Record<string, unknown>[] } }[] }[] }): void {
    for (const call of body.entry.flatMap((entry) => entry.changes.flatMap((change) => change.value.calls ?? []))) {
      this.events.push(call);
      if (call["event"] !== "connect") continue;
      this.onConnect?.({ id: String(call["id"]), sdp: (call["session"] as { sdp: string }).sdp });
    }
  }
}

/** One call at the business: a session with the relay. */
export class BusinessLeg {
  readonly session: SecureSession;
  readonly answer: string;
  readonly ssrc: number;
  readonly heard: Buffer[] = [];
  readonly connected: Promise<void>;
  readonly failed: Promise<string>;
  onRtp: ((packet: Buffer) => void) | undefined;
  onRtcp: ((packet: Buffer) => void) | undefined;
  sequence = 1000;
  timestamp = 5000;
  readonly #remote: RemoteTransport;

  constructor(port: PublicPort, offer: string, ssrc = 330_833_028) {
    const connected = Promise.withResolvers<void>();
    const failed = Promise.withResolvers<string>();
    this.connected = connected.promise;
    this.failed = failed.promise;
    this.ssrc = ssrc;
    this.#remote = remoteOf(offer);
    this.session = port.open({
      mode: "full",
      remote: this.#remote,
      events: {
        onIceConnected: () => undefined,
        onConnected: () => connected.resolve(),
        onRtp: (packet) => {
          this.heard.push(Buffer.from(packet));
          this.onRtp?.(packet);
        },
        onRtcp: (packet) => this.onRtcp?.(packet),
        onFailed: (reason) => failed.resolve(reason),
      },
    });
    this.answer = answerOf(this.session, ssrc);
  }

  connect(remote: Partial<RemoteTransport> = {}): void {
    this.session.connect({ ...this.#remote, ...remote }, "client");
  }

  send(more: { ssrc?: number; payloadType?: number; payload?: Buffer; step?: number; marker?: boolean } = {}): boolean {
    this.sequence += 1;
    this.timestamp += more.step ?? 960;
    const { payloadType = OPUS_PT, ssrc = this.ssrc, marker = false } = more;
    const header = { payloadType, marker, sequence: this.sequence, timestamp: this.timestamp, ssrc };
    return this.session.sendRtp(buildRtp(header, more.payload ?? silence));
  }

  /** Sends back whatever comes, as a continuation of what was sent before. */
  echo(): void {
    let shift: { readonly sequence: number; readonly timestamp: number } | undefined;
    this.onRtp = (packet) => {
      shift ??= {
        sequence: this.sequence + 1 - packet.readUInt16BE(2),
        timestamp: this.timestamp + 960 - packet.readUInt32BE(4),
      };
      packet.writeUInt16BE((packet.readUInt16BE(2) + shift.sequence) & 0xffff, 2);
      packet.writeUInt32BE((packet.readUInt32BE(4) + shift.timestamp) >>> 0, 4);
      setSsrc(packet, this.ssrc);
      this.session.sendRtp(packet);
    };
  }
}

function remoteOf(offer: string): RemoteTransport {
  const view = viewSdp(offer);
  const one = (name: string): string => valuesOf(view, name)[0] ?? "";
  return {
    ufrag: one("ice-ufrag"),
    pwd: one("ice-pwd"),
    lite: true,
    fingerprint: { algorithm: "sha-256", value: one("fingerprint").split(" ")[1] ?? "" },
    setup: "actpass",
    candidates: valuesOf(view, "candidate").map((text) => {
      const [foundation = "", , , priority, address = "", port] = text.split(" ");
      return { foundation, component: 1, priority: Number(priority), address, port: Number(port), type: "host" };
    }),
  };
}

function answerOf(session: SecureSession, ssrc: number): string {
  const { ufrag, pwd, fingerprint } = session.local;
  return [
    "v=0",
    "o=- 1 2 IN IP4 127.0.0.1",
    "s=-",
    "t=0 0",
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 126",
    "c=IN IP4 0.0.0.0",
    `a=ice-ufrag:${ufrag}`,
    `a=ice-pwd:${pwd}`,
    `a=fingerprint:sha-256 ${fingerprint.value}`,
    "a=setup:active",
    "a=mid:audio",
    "a=sendrecv",
    "a=rtcp-mux",
    "a=rtpmap:111 opus/48000/2",
    "a=rtpmap:126 telephone-event/8000",
    `a=ssrc:${ssrc} cname:business`,
    "",
  ].join("\r\n");
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

export interface Sandbox {
  readonly graphUrl: string;
  readonly meta: SimulatedMeta;
  readonly business: Business;
  stop(): Promise<void>;
}

/** A simulated Meta with a relay and a business that takes its webhooks. */
export async function openSandbox(
  options: { readonly meta?: Partial<MetaOptions>; readonly relay?: RelayOptions } = {},
): Promise<Sandbox> {
  const relay = new MediaRelay(options.relay ?? {});
  const meta = new SimulatedMeta({ relay, numbers: [number], accessToken: token, ...options.meta });
  const { graphUrl } = await meta.start();
  const business = new Business();
  const url = await business.start(graphUrl);
  await meta.subscribe({ url, verifyToken, appSecret });
  const stop = async (): Promise<void> => {
    await meta.stop();
    await business.stop();
  };
  return { graphUrl, meta, business, stop };
}

/** Answers each call as a bridge would (pre_accept, media up, accept), then echoes. */
export function answerAll(business: Business): void {
  business.onConnect = ({ id, sdp }) => {
    const leg = new BusinessLeg(business.port, sdp);
    leg.echo();
    void (async () => {
      await business.act("pre_accept", id, leg.answer);
      leg.connect();
      await leg.connected;
      await business.act("accept", id, leg.answer);
      leg.send();
    })();
  };
}
