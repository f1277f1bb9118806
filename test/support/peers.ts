import { existsSync } from "node:fs";

/**
 * Real peers that a test may need. Where one is absent its tests are skipped, and say why; with `PONTE_REQUIRE_PEERS=1` they
 * run and fail instead. Such tests live in files named `*.peers.test.ts`.
 */
const peers = {
  /** A script that runs Asterisk in the foreground. */
  asterisk: process.env["PONTE_ASTERISK"],
  /** A script that runs a WebRTC peer. */
  pion: process.env["PONTE_PION"],
  chromium: process.env["PONTE_CHROMIUM"] ?? "/usr/bin/chromium",
} as const;

export type Peer = keyof typeof peers;

const required = process.env["PONTE_REQUIRE_PEERS"] === "1";

/** True where the tests of a peer have to be skipped. */
export function absent(peer: Peer): boolean {
  return !required && !existsSync(peers[peer] ?? "");
}

/** Where the peer is. Throws when it is not there, which happens only where peers are required. */
export function pathOf(peer: Peer): string {
  const path = peers[peer];
  if (path === undefined || !existsSync(path)) {
    throw new Error(`${peer} is required, but PONTE_${peer.toUpperCase()} does not name it.`);
  }
  return path;
}
