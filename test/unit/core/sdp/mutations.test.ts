import { isIP } from "node:net";
import { expect, test } from "vitest";
import type { SipMedia, WhatsAppOffer } from "#core/sdp/session.ts";
import { answerSipReoffer, readSipAnswer } from "#core/sdp/sip-answer.ts";
import type { SipLocal } from "#core/sdp/sip-offer.ts";
import { writeWhatsAppAnswer } from "#core/sdp/whatsapp-answer.ts";
import { readWhatsAppOffer } from "#core/sdp/whatsapp-offer.ts";
import { seededRandom } from "#sandbox/random.ts";
import { sdpFixture } from "#test/support/fixtures/sdp/read.ts";

const MUTATIONS = 10_000;
const local: SipLocal = {
  address: "192.0.2.1",
  port: 40_000,
  codecs: ["PCMU", "opus", "PCMA"],
  sessionId: "1",
  version: 1,
  direction: "sendrecv",
};

/** Whole numbers below a bound, from a seed. */
function seeded(seed: number): (below: number) => number {
  const random = seededRandom(seed);
  return (below) => Math.floor(random() * below);
}

const scraps = [
  "0",
  "-1",
  "99999999999",
  "65536",
  "127",
  "128",
  "",
  " ",
  ":",
  "/",
  "\0",
  "\r",
  "é",
  "::",
  "0.0.0.0",
  "NaN",
];

function mutate(sdp: string, random: (below: number) => number): string {
  const lines = sdp.split("\r\n");
  for (let round = random(4); round >= 0; round--) {
    const at = random(lines.length);
    const line = lines[at] ?? "";
    const words = line.split(/([ :/=])/);
    const scrap = scraps[random(scraps.length)] ?? "";
    const cut = random(line.length + 1);
    switch (random(6)) {
      case 0:
        lines.splice(at, 1);
        break;
      case 1:
        lines.splice(at, 0, lines[random(lines.length)] ?? "");
        break;
      case 2:
        words[random(words.length)] = scrap;
        lines[at] = words.join("");
        break;
      case 3:
        lines[at] = line.slice(0, cut);
        break;
      case 4:
        lines[at] = line.slice(0, cut) + String.fromCharCode(random(256)) + line.slice(cut + 1);
        break;
      default:
        lines[at] = line + scrap.repeat(random(300));
    }
  }
  return lines.join("\r\n");
}

const isPort = (port: number) => Number.isInteger(port) && port >= 1 && port <= 65_535;
const isPayloadType = (type: number) => Number.isInteger(type) && type >= 0 && type <= 127;

function offerIsSound({ mid, transport, audio, digits, ssrc, ptimeMs }: WhatsAppOffer): boolean {
  const sound = transport.candidates.every(
    ({ address, port, priority, component }) =>
      isIP(address) !== 0 && isPort(port) && component === 1 && priority >= 1 && priority < 2 ** 31,
  );
  return (
    sound &&
    /^\S{0,64}$/.test(mid) &&
    /^\S{1,256}$/.test(transport.ufrag) &&
    /^\S{1,256}$/.test(transport.pwd) &&
    /^[0-9A-F]{2}(:[0-9A-F]{2}){31}$/.test(transport.fingerprint.value) &&
    transport.setup !== "active" &&
    audio.codec === "opus" &&
    audio.clockRate === 48_000 &&
    isPayloadType(audio.payloadType) &&
    (digits === undefined || (isPayloadType(digits.payloadType) && digits.clockRate === 8_000)) &&
    (ssrc === undefined || (Number.isInteger(ssrc) && ssrc > 0 && ssrc < 2 ** 32)) &&
    ptimeMs >= 1 &&
    ptimeMs <= 120
  );
}

function mediaIsSound({ address, port, rtcpPort, audio, digits, direction, ptimeMs }: SipMedia): boolean {
  return (
    isIP(address) !== 0 &&
    isPort(port) &&
    isPort(rtcpPort) &&
    (address !== "0.0.0.0" || direction === "sendonly" || direction === "inactive") &&
    local.codecs.includes(audio.codec) &&
    audio.clockRate === (audio.codec === "opus" ? 48_000 : 8_000) &&
    isPayloadType(audio.payloadType) &&
    (digits === undefined || (isPayloadType(digits.payloadType) && [8_000, 48_000].includes(digits.clockRate))) &&
    ptimeMs >= 1 &&
    ptimeMs <= 120
  );
}

test("10 000 mutated WhatsApp offers never throw and never yield an unsound value", () => {
  const random = seeded(3264);
  const originals = ["meta-2025", "meta-older", "chromium", "wrtc"].map(sdpFixture);
  const transport = {
    ufrag: "u",
    pwd: "p",
    lite: false,
    fingerprint: { algorithm: "sha-256", value: "AA" },
    candidates: [],
  };
  const seen = { ok: 0, refused: 0 };
  for (let index = 0; index < MUTATIONS; index++) {
    const sdp = mutate(originals[index % originals.length] ?? "", random);
    const result = readWhatsAppOffer(sdp);
    if (!result.ok) {
      seen.refused++;
      expect(result.problem.text.length, sdp).toBeLessThan(1_000);
      continue;
    }
    seen.ok++;
    if (!offerIsSound(result.value)) expect.fail(`unsound: ${JSON.stringify(result.value)} of ${sdp}`);
    // Nothing of the offer can add a line to our answer.
    const answer = writeWhatsAppAnswer(result.value, transport, { ssrc: 1, cname: "ponte", sessionId: "1" });
    const lines = answer.split(/\r\n|\r|\n/).filter((line) => !/^a=(group|mid|rtpmap:\d+ tele)/.test(line));
    expect(lines.length, sdp).toBe(22);
  }
  expect(seen.ok).toBeGreaterThan(1_000);
  expect(seen.refused).toBeGreaterThan(1_000);
});

test("10 000 mutated PBX descriptions never throw and never yield an unsound value", () => {
  const random = seeded(8866);
  const names = ["asterisk-answer", "asterisk-opus-answer", "freeswitch-answer", "ipv6-answer", "minimal-answer"];
  const originals = [...names, "hold-reoffer", "video-reoffer"].map(sdpFixture);
  const first = readSipAnswer(originals[0] ?? "", local);
  if (!first.ok) throw new Error(first.problem.text);
  const seen = { ok: 0, refused: 0 };
  for (let index = 0; index < MUTATIONS; index++) {
    const sdp = mutate(originals[index % originals.length] ?? "", random);
    const answer = readSipAnswer(sdp, local);
    if (answer.ok && !mediaIsSound(answer.value)) expect.fail(`unsound: ${JSON.stringify(answer.value)} of ${sdp}`);
    const reanswer = answerSipReoffer(sdp, first.value, local);
    seen[reanswer.ok ? "ok" : "refused"]++;
    if (!reanswer.ok) continue;
    if (!mediaIsSound(reanswer.value.media)) expect.fail(`unsound: ${JSON.stringify(reanswer.value.media)} of ${sdp}`);
    // What we write can be read by ourselves: it stays a description.
    const mirror = readSipAnswer(reanswer.value.sdp, local);
    if (!mirror.ok && mirror.problem.code !== "refused_stream")
      expect.fail(`${mirror.problem.text} in ${reanswer.value.sdp}`);
  }
  expect(seen.ok).toBeGreaterThan(1_000);
  expect(seen.refused).toBeGreaterThan(1_000);
});
