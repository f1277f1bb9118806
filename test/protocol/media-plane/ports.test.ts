import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { LOOPBACK, Stage, Story } from "./support.ts";

/** A pair of RTP ports for each call of another daemon on the same machine. */
const OTHERS_CALLS = 30;

async function bind(port: number): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind({ port, address: LOOPBACK, exclusive: true });
  await once(socket, "listening");
  return socket;
}

/** Binds the first ports of a range; tries another one when any of them is taken. */
async function takeRange(): Promise<{ readonly first: number; readonly sockets: readonly Socket[] }> {
  for (let first = 14_000 + (process.pid % 40) * 100; ; first += 100) {
    const bound = await Promise.allSettled(Array.from({ length: OTHERS_CALLS }, (_, n) => bind(first + 2 * n)));
    const sockets = bound.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    if (sockets.length === OTHERS_CALLS) return { first, sockets };
    for (const socket of sockets) socket.close();
  }
}

test("passes over the RTP ports of another daemon on the same machine", async ({ onTestFinished }) => {
  const { first, sockets } = await takeRange();
  onTestFinished(() => sockets.forEach((socket) => void socket.close()));
  const stage = new Stage({ sipPorts: { first, last: first + 2 * OTHERS_CALLS + 9 } });
  onTestFinished(() => stage.stop());
  await stage.start();
  const call = await stage.plane.open("call", stage.relay().offer(), new Story());
  expect(call.sipAddress.port).toBeGreaterThanOrEqual(first + 2 * OTHERS_CALLS);
  await call.close();
});
