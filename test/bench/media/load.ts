import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { createEncoder } from "libopus-wasm";
import { encodeG711 } from "#core/codec/g711.ts";
import { writeRtpHeader } from "#core/rtp/packet.ts";
import type { SipMedia } from "#core/sdp/session.ts";
import type { SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { SrtpContext, TAG_BYTES } from "#media/transport/srtp/srtp.ts";
import type { LoadCall, LoadResult, ToLoad } from "./messages.ts";
import { serve } from "./process.ts";
import { speech } from "./speech.ts";

/**
 * The load: N relays and N PBXes that speak 50 packets a second each, in a process of its own.
 *
 * It sleeps and looks for packets once in a millisecond, on its own account: a receiver that waits in the kernel would have to
 * be woken by each packet, and that would be charged to the process that is measured. So the delays that it hears are up to
 * 1 ms too long, for the echo relay as for the media plane.
 */

const LOOPBACK = "127.0.0.1";
const SPEECH_FRAMES = 250;

/** One direction of one call. */
interface Speaker {
  send(packet: Buffer): void;
  readonly packets: readonly Buffer[];
  readonly clock: number;
  sequence: number;
  timestamp: number;
  sentAt: number;
}

const relays = new PublicPort({ port: 0, bind4: LOOPBACK });
const sockets: Socket[] = [];
const sessions: SecureSession[] = [];
let speakers: Speaker[] = [];
let calls: { readonly relay: Speaker; readonly pbx: Speaker; readonly socket: Socket }[] = [];
let delays: number[] = [];
let sent = 0;
let received = 0;
let counting = false;

/** A packet that was spoken by `from` came out on the other side. */
function heard(from: Speaker): void {
  if (!counting) return;
  received += 1;
  delays.push(performance.now() - from.sentAt);
}

function speak(speaker: Speaker): void {
  const packet = speaker.packets[speaker.sequence % speaker.packets.length];
  if (packet === undefined) return;
  speaker.sequence += 1;
  speaker.timestamp += speaker.clock;
  writeRtpHeader(packet, 0, false, (packet[1] ?? 0) & 127, speaker.sequence, speaker.timestamp, 0x70_6f_6e_74);
  speaker.sentAt = performance.now();
  speaker.send(packet);
  if (counting) sent += 1;
}

function packetsOf(payloads: readonly Uint8Array[], payloadType: number): Buffer[] {
  return payloads.map((payload) => {
    const packet = Buffer.alloc(12 + payload.length);
    packet[1] = payloadType;
    packet.set(payload, 12);
    return packet;
  });
}

async function opusPayloads(): Promise<Uint8Array[]> {
  const encoder = await createEncoder({
    sampleRate: 16_000,
    channels: 1,
    bitrate: 20_000,
    fec: true,
    application: 2048,
  });
  const payloads = speech(16_000, SPEECH_FRAMES).map((frame) => encoder.encode(frame));
  encoder.free();
  return payloads;
}

function pcmuPayloads(): Uint8Array[] {
  return speech(8_000, SPEECH_FRAMES).map((frame) => {
    const bytes = new Uint8Array(frame.length);
    encodeG711("PCMU", frame, bytes);
    return bytes;
  });
}

async function bind(): Promise<Socket> {
  const socket = createSocket({ type: "udp4", recvBufferSize: 1 << 20 });
  socket.bind(0, LOOPBACK);
  await once(socket, "listening");
  sockets.push(socket);
  return socket;
}

/**
 * Two speakers for each two echo sockets: as many packets as a call has. Every other one speaks SRTP, so that this process is
 * as busy, and spaces its packets, as it does with real calls.
 */
async function prepareEcho({ ports }: Extract<ToLoad, { type: "prepare_echo" }>): Promise<void> {
  const payloads = await opusPayloads();
  for (const [index, { address, port }] of ports.entries()) {
    const socket = await bind();
    const secure = index % 2 === 0 ? new SecureEcho() : undefined;
    const send = (packet: Buffer) => socket.send(secure?.protect(packet) ?? packet, port, address);
    const speaker = newSpeaker(send, packetsOf(payloads, 111), 960, index);
    socket.on("message", (packet) => {
      if (secure === undefined || secure.unprotect(packet)) heard(speaker);
    });
    speakers.push(speaker);
  }
  begin();
}

/** What a relay does for each packet. */
class SecureEcho {
  readonly #out = new SrtpContext(MASTER);
  readonly #in = new SrtpContext(MASTER);

  protect(packet: Buffer): Buffer {
    const room = Buffer.alloc(packet.length + TAG_BYTES);
    packet.copy(room);
    this.#out.protect(room, packet.length);
    return room;
  }

  /** False for what is not ours: a port of the system's choice may have been somebody else's a moment ago. */
  unprotect(packet: Buffer): boolean {
    return this.#in.unprotect(packet) >= 0;
  }
}

const MASTER = { key: Buffer.alloc(16, 1), salt: Buffer.alloc(14, 2) };

function newSpeaker(send: Speaker["send"], packets: readonly Buffer[], clock: number, index: number): Speaker {
  return { send, packets, clock, sequence: index * 7, timestamp: 0, sentAt: 0 };
}

async function prepareCalls(message: Extract<ToLoad, { type: "prepare_calls" }>): Promise<LoadCall[]> {
  await relays.start();
  const opus = await opusPayloads();
  const spoken = message.codec === "opus" ? opus : pcmuPayloads();
  const format =
    message.codec === "opus" ? { payloadType: 107, clockRate: 48_000 } : { payloadType: 0, clockRate: 8_000 };
  const prepared: LoadCall[] = [];
  for (let index = 0; index < message.calls; index += 1) {
    const socket = await bind();
    const relay = newSpeaker((packet) => void session.sendRtp(packet), packetsOf(opus, 111), 960, index);
    const pbx = newSpeaker(() => undefined, packetsOf(spoken, format.payloadType), format.clockRate / 50, index);
    const session = relays.open({
      mode: "lite",
      events: {
        onIceConnected: () => undefined,
        onConnected: () => undefined,
        onRtp: () => heard(pbx),
        onRtcp: () => undefined,
        onFailed: () => undefined,
      },
    });
    sessions.push(session);
    socket.on("message", () => heard(relay));
    calls.push({ relay, pbx, socket });
    prepared.push({
      offer: {
        mid: "audio",
        transport: { ...session.local, setup: "actpass" },
        audio: { codec: "opus", payloadType: 111, clockRate: 48_000 },
        ptimeMs: 20,
      },
      session: sipMedia(socket, message.codec, format),
    });
  }
  return prepared;
}

function sipMedia(
  socket: Socket,
  codec: "opus" | "PCMU",
  format: { payloadType: number; clockRate: number },
): SipMedia {
  const { port } = socket.address();
  return {
    address: LOOPBACK,
    port,
    rtcpPort: port + 1,
    audio: { codec, ...format },
    direction: "sendrecv",
    ptimeMs: 20,
  };
}

function connect({ calls: subjects }: Extract<ToLoad, { type: "connect" }>): void {
  for (const [index, { local, sipAddress }] of subjects.entries()) {
    sessions[index]?.connect({ ...local, setup: "active" }, "server");
    const call = calls[index];
    if (call === undefined) continue;
    call.pbx.send = (packet) => call.socket.send(packet, sipAddress.port, sipAddress.address);
    speakers.push(call.relay, call.pbx);
  }
  begin();
}

const PERIOD_MS = 20;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
let running = false;
let startedAt = 0;
let turn = 0;

/** The speakers are spread over the 20 ms, one share for each millisecond. */
function begin(): void {
  running = true;
  startedAt = performance.now();
  turn = 0;
  setImmediate(pump);
}

function pump(): void {
  if (!running) return;
  Atomics.wait(sleeper, 0, 0, 1);
  for (const due = performance.now() - startedAt; turn < due; turn += 1) {
    for (let i = turn % PERIOD_MS; i < speakers.length; i += PERIOD_MS) {
      const speaker = speakers[i];
      if (speaker !== undefined) speak(speaker);
    }
  }
  setImmediate(pump);
}

async function run(ms: number): Promise<LoadResult> {
  delays = [];
  sent = 0;
  received = 0;
  counting = true;
  await new Promise((resolve) => setTimeout(resolve, ms));
  counting = false;
  const sorted = Float64Array.from(delays).sort();
  const at = (share: number) => sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN;
  return { sent, received, delay: { p50: at(0.5), p99: at(0.99), p999: at(0.999) } };
}

async function stop(): Promise<void> {
  running = false;
  for (const session of sessions.splice(0)) session.close();
  for (const socket of sockets.splice(0)) socket.close();
  speakers = [];
  calls = [];
  await relays.stop();
}

serve<ToLoad>(async (message) => {
  switch (message.type) {
    case "prepare_echo":
      return await prepareEcho(message);
    case "prepare_calls":
      return await prepareCalls(message);
    case "connect":
      return connect(message);
    case "run":
      return await run(message.ms);
    case "stop":
      return await stop();
  }
}, stop);
