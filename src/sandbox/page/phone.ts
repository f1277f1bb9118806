import type { DemoNumber, PhoneNotice } from "#sandbox/phone/protocol.ts";
import { openSource } from "./audio.ts";
import { Chats } from "./chats.ts";
import { Line } from "./line.ts";
import {
  byId,
  showCallOf,
  showDigit,
  showEnded,
  showHome,
  showKeypad,
  showLine,
  showNumbers,
  showSound,
  showState,
} from "./screen.ts";
import { WebCall } from "./web-call.ts";

/** Often enough to look alive. */
const METER_MS = 100;

/** What is going on; the page has one call at a time. */
const phone: {
  context?: AudioContext;
  call?: WebCall;
  /** Waiting for the microphone, which may take as long as its user needs to allow it. */
  dialing?: object;
  number?: DemoNumber;
  talkingSince?: number;
  firstLineAt?: number;
} = {};

const line = new Line(take, () => {
  if (phone.call !== undefined) end("failed", "whatsapp");
  byId("me", HTMLSpanElement).textContent = "not connected";
});

const chats = new Chats((request) => line.send(request));

function take(notice: PhoneNotice): void {
  switch (notice.type) {
    case "welcome":
      byId("me", HTMLSpanElement).textContent = `${notice.user.name} +${notice.user.number}`;
      showNumbers(notice.numbers, (number) => void dial(number));
      chats.restart();
      break;
    case "offer":
      void answer(notice.sdp);
      break;
    case "state":
      if (notice.state === "ended") end(notice.reason ?? "", notice.by ?? "", notice.durationMs, notice.code);
      else progress(notice.state);
      break;
    case "digit":
      showDigit(notice.digit, "business");
      break;
    case "channels":
      chats.setChannels(notice.channels);
      break;
    case "message":
      chats.take(notice.message);
      break;
    case "timeline":
      phone.firstLineAt ??= notice.line.at;
      showLine(notice.line, phone.firstLineAt);
      break;
    case "released": // Only phones whose keys the server presses ask for it.
      break;
    case "error":
      byId(chats.looksAt === undefined ? "notice" : "chat-notice", HTMLParagraphElement).textContent = notice.text;
      break;
  }
}

async function dial(number: DemoNumber): Promise<void> {
  if (phone.call !== undefined || phone.dialing !== undefined) return;
  const attempt = {};
  phone.dialing = attempt;
  phone.context ??= new AudioContext();
  await phone.context.resume();
  delete phone.talkingSince;
  delete phone.firstLineAt;
  phone.number = number;
  showCallOf(number);
  showState("calling", "Calling…");
  const kind = new FormData(byId("source", HTMLFormElement)).get("source") === "tone" ? "tone" : "microphone";
  const source = await openSource(phone.context, kind, byId("hz", HTMLInputElement).valueAsNumber || 440);
  if (phone.dialing !== attempt) {
    source.close();
    return;
  }
  delete phone.dialing;
  const notice = source.fellBack ? "There is no microphone, or it is not allowed: the tone is sent instead." : "";
  byId("notice", HTMLParagraphElement).textContent = notice;
  phone.call = new WebCall(phone.context, source);
  byId("mute", HTMLButtonElement).ariaPressed = "false";
  line.send({ type: "call", number: number.id });
}

async function answer(offer: string): Promise<void> {
  const sdp = await phone.call?.answer(offer);
  if (sdp !== undefined) line.send({ type: "answer", sdp });
}

function progress(state: "calling" | "ringing" | "talking"): void {
  if (state === "talking") phone.talkingSince = performance.now();
  showState(state, { calling: "Calling…", ringing: "Ringing…", talking: "0:00" }[state]);
}

const reasons: Readonly<Record<string, string>> = {
  hung_up: "Call ended",
  cancelled: "Cancelled",
  rejected: "Declined",
  not_answered: "Not answered",
  failed: "Call failed",
  unavailable: "Not available",
};

const sides: Readonly<Record<string, string>> = {
  user: "by you",
  business: "by the business",
  whatsapp: "by WhatsApp",
};

function end(reason: string, by: string, durationMs?: number, code?: number): void {
  phone.call?.close();
  delete phone.call;
  delete phone.talkingSince;
  const spoken = durationMs === undefined ? "" : ` after ${clock(durationMs)}`;
  showState("ended", reasons[reason] ?? reason, `${sides[by] ?? by}${spoken}${code === undefined ? "" : ` (${code})`}`);
  byId("state", HTMLParagraphElement).dataset["reason"] = reason;
  for (const meter of ["said", "heard"] as const) showSound(meter, { db: -96, hz: 0 });
  showEnded(true);
}

function clock(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function press(key: string): void {
  if (phone.call?.press(key) === true) showDigit(key, "you");
}

function toggle(button: HTMLButtonElement, name: "ariaPressed" | "ariaExpanded"): boolean {
  const on = button[name] !== "true";
  button[name] = String(on);
  return on;
}

function listen(id: string, task: (button: HTMLButtonElement) => void): void {
  const button = byId(id, HTMLButtonElement);
  button.addEventListener("click", () => task(button));
}

listen("hang-up", () => {
  if (phone.dialing === undefined) line.send({ type: "hang_up" });
  else {
    delete phone.dialing;
    end("cancelled", "user");
  }
});
listen("mute", (button) => phone.call?.mute(toggle(button, "ariaPressed")));
listen("keys", (button) => {
  byId("keypad", HTMLFieldSetElement).hidden = !toggle(button, "ariaExpanded");
});
listen("back", () => showHome());
listen("again", () => {
  if (phone.number !== undefined) void dial(phone.number);
});
document.addEventListener("keydown", (event) => {
  if (phone.call !== undefined && /^[0-9*#]$/.test(event.key)) press(event.key);
});

showKeypad(press);
setInterval(() => {
  if (phone.call === undefined) return;
  showSound("said", phone.call.said());
  showSound("heard", phone.call.heard());
  if (phone.talkingSince !== undefined) {
    byId("state", HTMLParagraphElement).textContent = clock(performance.now() - phone.talkingSince);
  }
}, METER_MS);
line.open();
