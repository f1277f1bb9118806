import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { PublicPort } from "#media/transport/public-port.ts";
import { buildStun } from "#media/transport/stun.ts";
import { Middleman, remoteOf, rtpPacket, Witness } from "./transport-support.ts";

async function openSocket(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

const isMedia = (packet: Buffer): boolean => (packet[0] ?? 0) >= 0x80;

test("media that comes by another path is heard once ICE has checked it, before it is nominated, and never unchecked", async ({
  onTestFinished,
}) => {
  const [ours, relay] = [
    new PublicPort({ port: 0, bind4: "127.0.0.1" }),
    new PublicPort({ port: 0, bind4: "127.0.0.1" }),
  ];
  for (const port of [ours, relay]) {
    onTestFinished(() => port.stop());
    await port.start();
  }
  const middleman = new Middleman(relay.port);
  onTestFinished(() => middleman.stop());
  const [checked, unchecked] = [await openSocket(), await openSocket()];
  onTestFinished(() => [checked, unchecked].forEach((socket) => void socket.close()));
  const [witness, theirs] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: witness });
  const them = relay.open({ mode: "lite", events: theirs });
  const via = await middleman.start();
  them.connect(remoteOf(us.local, "active"), "server");
  const candidates = them.local.candidates.map((candidate) => ({ ...candidate, port: via }));
  us.connect({ ...remoteOf(them.local, "passive"), candidates }, "client");
  await Promise.all([witness.connected, theirs.connected]);

  const check = {
    class: "request",
    transactionId: "00112233445566778899aabb",
    username: `${them.local.ufrag}:${us.local.ufrag}`,
    priority: 1,
    iceControlling: 1n,
  } as const;
  checked.send(buildStun(check, them.local.pwd), relay.port, "127.0.0.1");
  await once(checked, "message");

  const divert = (by: Socket): void => {
    middleman.tamper = (packet, sender) => {
      if (sender !== "us" || !isMedia(packet)) return packet;
      by.send(packet, relay.port, "127.0.0.1");
      return undefined;
    };
  };
  divert(unchecked);
  us.sendRtp(rtpPacket(1));
  await expect.poll(() => relay.counters().unknownSource).toBe(1);
  divert(checked);
  for (const n of [2, 3, 4]) us.sendRtp(rtpPacket(n));
  await theirs.heard(3);
  expect(theirs.rtp).toEqual([rtpPacket(2), rtpPacket(3), rtpPacket(4)]);
});

test("an address that one call talks to is not given to another, whose passwords somebody uses from there", async ({
  onTestFinished,
}) => {
  const [ours, relay] = [
    new PublicPort({ port: 0, bind4: "127.0.0.1" }),
    new PublicPort({ port: 0, bind4: "127.0.0.1" }),
  ];
  for (const port of [ours, relay]) {
    onTestFinished(() => port.stop());
    await port.start();
  }
  const middleman = new Middleman(relay.port);
  onTestFinished(() => middleman.stop());
  const via = await middleman.start();
  const [witness, theirs] = [new Witness(), new Witness()];
  const us = ours.open({ mode: "full", events: witness });
  const them = relay.open({ mode: "lite", events: theirs });
  them.connect(remoteOf(us.local, "active"), "server");
  const candidates = them.local.candidates.map((candidate) => ({ ...candidate, port: via }));
  us.connect({ ...remoteOf(them.local, "passive"), candidates }, "client");
  await Promise.all([witness.connected, theirs.connected]);

  // Another call on the same port, whose far end is announced elsewhere.
  const nowhere = await openSocket();
  onTestFinished(() => void nowhere.close());
  const other = ours.open({ mode: "full", events: new Witness() });
  const ufrag = "elsewhere";
  const away = them.local.candidates.map((candidate) => ({ ...candidate, port: nowhere.address().port }));
  other.connect({ ...remoteOf(them.local, "passive"), ufrag, candidates: away }, "client");
  const check = {
    class: "request",
    transactionId: "aabbccddeeff001122334455",
    username: `${other.local.ufrag}:${ufrag}`,
    priority: 1,
    iceControlled: 1n,
  } as const;
  await middleman.sendAsRelay(buildStun(check, other.local.pwd));
  await expect.poll(() => ours.counters().takenSource).toBeGreaterThan(0);

  for (const n of [1, 2, 3]) them.sendRtp(rtpPacket(n));
  await witness.heard(3);
  other.close();
  for (const n of [4, 5]) them.sendRtp(rtpPacket(n));
  await witness.heard(5);
  expect(ours.counters()).toMatchObject({ unknownSource: 0, srtpForged: 0 });
});
