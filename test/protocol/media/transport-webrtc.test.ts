import wrtc from "@roamhq/wrtc";
import { afterEach, expect, test } from "vitest";
import { RTCPeerConnection as WeriftConnection } from "werift";
import type { SecureSession } from "#media/transport/contract.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { describeTransport, readTransport, rtpPacket, Witness } from "./transport-support.ts";

/** Stacks that are not ours: libwebrtc (@roamhq/wrtc) and werift, offering and answering, as DTLS client and server. */

const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function openSession(mode: "full" | "lite"): Promise<{ session: SecureSession; witness: Witness }> {
  const port = new PublicPort({ port: 0, bind4: "127.0.0.1" });
  cleanups.push(() => port.stop());
  await port.start();
  const witness = new Witness();
  return { session: port.open({ mode, events: witness }), witness };
}

/** What the tests use of either stack. */
interface Peer {
  createOffer(): Promise<{ type: string; sdp?: string }>;
  createAnswer(): Promise<{ type: string; sdp?: string }>;
  setLocalDescription(description: unknown): Promise<unknown>;
  setRemoteDescription(description: unknown): Promise<unknown>;
  readonly localDescription: { readonly sdp: string } | null | undefined;
  readonly iceGatheringState: string;
  readonly connectionState: string;
}

/** libwebrtc with a microphone that hums, so that it sends RTP as soon as it can. */
function libwebrtcPeer(): { peer: Peer; received: Promise<void> } {
  const peer = new wrtc.RTCPeerConnection();
  const source = new wrtc.nonstandard.RTCAudioSource();
  const samples = Int16Array.from({ length: 480 }, (_, n) => 8_000 * Math.sin(n / 10));
  const hum = setInterval(() => {
    source.onData({ samples, sampleRate: 48_000, bitsPerSample: 16, channelCount: 1, numberOfFrames: 480 });
  }, 10);
  peer.addTrack(source.createTrack());
  const { promise: received, resolve } = Promise.withResolvers<void>();
  peer.ontrack = ({ track }: { track: unknown }) => {
    const sink = new wrtc.nonstandard.RTCAudioSink(track);
    cleanups.push(() => sink.stop());
    sink.ondata = () => resolve();
  };
  cleanups.push(() => {
    clearInterval(hum);
    peer.close();
  });
  return { peer: peer as unknown as Peer, received };
}

async function whole(peer: Peer): Promise<string> {
  while (peer.iceGatheringState !== "complete") await new Promise((next) => setTimeout(next, 2));
  return peer.localDescription?.sdp ?? "";
}

async function untilConnected(peer: Peer): Promise<void> {
  while (peer.connectionState !== "connected") await new Promise((next) => setTimeout(next, 2));
}

test.each([
  { mode: "full", role: "client" },
  { mode: "full", role: "server" },
  { mode: "lite", role: "client" },
  { mode: "lite", role: "server" },
] as const)("libwebrtc offers; we answer as $mode agent and DTLS $role", async ({ mode, role }) => {
  const { peer, received } = libwebrtcPeer();
  const { session, witness } = await openSession(mode);
  await peer.setLocalDescription(await peer.createOffer());
  const offer = readTransport(await whole(peer));
  session.connect(offer, role);
  const answer = describeTransport(session.local, role === "client" ? "active" : "passive");
  await peer.setRemoteDescription({ type: "answer", sdp: answer });
  await Promise.all([witness.connected, untilConnected(peer)]);
  await witness.heard(5);
  expect((witness.rtp[0]?.[1] ?? 0) & 0x7f).toBe(111);
  for (let n = 1; n <= 10; n += 1) expect(session.sendRtp(rtpPacket(n, 0x706f6e74))).toBe(true);
  await received;
  expect(session.counters()).toMatchObject({ srtpForged: 0, dtlsMalformed: 0, stunForged: 0 });
});

test.each([
  { mode: "full", role: "client" },
  { mode: "full", role: "server" },
  { mode: "lite", role: "server" },
] as const)("libwebrtc answers our offer; we are a $mode agent and DTLS $role", async ({ mode, role }) => {
  const { peer } = libwebrtcPeer();
  const { session, witness } = await openSession(mode);
  const setup = role === "client" ? "active" : "passive";
  await peer.setRemoteDescription({ type: "offer", sdp: describeTransport(session.local, setup) });
  await peer.setLocalDescription(await peer.createAnswer());
  session.connect(readTransport(await whole(peer)), role);
  await Promise.all([witness.connected, untilConnected(peer)]);
  await witness.heard(5);
  expect(session.sendRtp(rtpPacket(1))).toBe(true);
});

function weriftPeer(options: { iceLite?: boolean } = {}): Peer {
  const peer = new WeriftConnection({ iceServers: [], iceAdditionalHostAddresses: ["127.0.0.1"], ...options });
  peer.addTransceiver("audio", { direction: "sendrecv" });
  // Without this it asks a public STUN server for its address, whatever the options say.
  for (const { connection } of peer.iceTransports) Object.assign(connection, { stunServer: undefined });
  expect(peer.iceTransports).toHaveLength(1);
  cleanups.push(() => peer.close());
  return peer as unknown as Peer;
}

test.each([
  { role: "client", iceLite: false },
  { role: "server", iceLite: false },
  { role: "client", iceLite: true },
] as const)("werift (lite: $iceLite) offers; we answer as full agent and DTLS $role", async ({ role, iceLite }) => {
  const peer = weriftPeer({ iceLite });
  const { session, witness } = await openSession("full");
  await peer.setLocalDescription(await peer.createOffer());
  const offer = readTransport(await whole(peer));
  expect(offer.lite).toBe(iceLite);
  session.connect(offer, role);
  const answer = describeTransport(session.local, role === "client" ? "active" : "passive");
  await peer.setRemoteDescription({ type: "answer", sdp: answer });
  await Promise.all([witness.connected, untilConnected(peer)]);
  expect(session.sendRtp(rtpPacket(1))).toBe(true);
});
