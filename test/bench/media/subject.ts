import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import type { MediaCallPort, MediaEvents } from "#engine/ports.ts";
import { MediaPlane } from "#media/plane/media-plane.ts";
import { quietLog } from "#test/support/quiet-log.ts";
import type { Endpoint, Memory, SubjectCall, ToSubject } from "./messages.ts";
import { serve } from "./process.ts";

/** The measured process: a media plane with one worker, or a plain echo relay on node:dgram. Nothing else happens in it. */

const LOOPBACK = "127.0.0.1";

let plane: MediaPlane | undefined;
let calls: MediaCallPort[] = [];
let sessions: Parameters<MediaCallPort["setSipSession"]>[0][] = [];
let connected: Promise<unknown>[] = [];
const echoes: Socket[] = [];

/** Sends every packet back to where it came from: one receive and one send for each, as any relay on node:dgram must. */
async function echo(count: number): Promise<Endpoint[]> {
  for (let i = 0; i < count; i += 1) {
    const socket = createSocket("udp4");
    socket.on("message", (packet, from) => socket.send(packet, from.port, from.address));
    socket.bind(0, LOOPBACK);
    await once(socket, "listening");
    echoes.push(socket);
  }
  return echoes.map((socket) => ({ address: LOOPBACK, port: socket.address().port }));
}

async function open(message: Extract<ToSubject, { type: "open" }>): Promise<SubjectCall[]> {
  if (plane === undefined) {
    const entry = new URL("./subject-worker.ts", import.meta.url);
    const addresses = { publicBind: [LOOPBACK], sipBind: LOOPBACK, sipAddress: () => LOOPBACK };
    plane = new MediaPlane({ workers: 1, publicPort: 0, ...addresses, workerEntry: entry }, quietLog());
    await plane.start();
  }
  const opened: SubjectCall[] = [];
  for (const { offer, session } of message.calls) {
    const up = Promise.withResolvers<void>();
    const call = await plane.open("bench", offer, eventsOf(up));
    calls.push(call);
    sessions.push(session);
    connected.push(up.promise);
    opened.push({ local: call.local, sipAddress: call.sipAddress });
  }
  return opened;
}

function eventsOf(up: PromiseWithResolvers<void>): MediaEvents {
  const nothing = () => undefined;
  return {
    onConnected: () => up.resolve(),
    onFailed: (failure, detail) => up.reject(new Error(`${failure}: ${detail}`)),
    onEvidence: nothing,
    onSilenceCheck: nothing,
    onDigit: nothing,
  };
}

async function connect(): Promise<void> {
  for (const call of calls) call.connect();
  await Promise.all(connected);
  for (const [index, call] of calls.entries()) {
    const session = sessions[index];
    if (session !== undefined) call.setSipSession(session, "strict");
    call.startSending();
  }
}

async function closeCalls(): Promise<void> {
  await Promise.all(calls.map((call) => call.close()));
  calls = [];
  sessions = [];
  connected = [];
}

function cpu(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

/** The worker's entry collects garbage before it answers, and so do we. */
async function memory(): Promise<Memory> {
  const worker = await plane?.counters();
  const live = (memory: NodeJS.MemoryUsage | undefined) => (memory ? memory.heapUsed + memory.external : 0);
  globalThis.gc?.();
  const main = process.memoryUsage();
  return { rssBytes: main.rss, liveBytes: live(main) + live(worker?.[0]?.memory) };
}

async function stop(): Promise<void> {
  await closeCalls();
  await plane?.stop();
  for (const socket of echoes.splice(0)) socket.close();
}

serve<ToSubject>(async (message) => {
  switch (message.type) {
    case "echo":
      return await echo(message.sockets);
    case "open":
      return await open(message);
    case "connect":
      return await connect();
    case "cpu":
      return cpu();
    case "memory":
      return await memory();
    case "close_calls":
      return await closeCalls();
    case "stop":
      return await stop();
  }
}, stop);
