import type { DemoNumber, TimelineLine } from "#sandbox/phone/protocol.ts";
import type { Sound } from "./audio.ts";

const KEYS = "123456789*0#";

/** An element that the page is known to have. */
export function byId<T extends HTMLElement>(id: string, kind: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof kind)) throw new Error(`the page has no ${kind.name} #${id}`);
  return element;
}

export function make(tag: string, className: string, ...children: (string | Node)[]): HTMLElement {
  const element = document.createElement(tag);
  if (className !== "") element.className = className;
  element.append(...children);
  return element;
}

/** Each number has its own colour. */
function avatar(element: HTMLElement, number: DemoNumber): void {
  element.textContent = number.extension;
  element.style.setProperty("--hue", String((Number(number.extension) * 47) % 360));
}

export function showNumbers(numbers: readonly DemoNumber[], onCall: (number: DemoNumber) => void): void {
  const list = byId("numbers", HTMLUListElement);
  list.replaceChildren(
    ...numbers.map((number) => {
      const face = make("span", "avatar");
      avatar(face, number);
      const text = make("span", "", make("strong", "", number.name), make("small", "", number.explanation));
      const go = make("span", "go", "Call");
      const button = make("button", "", face, text, go) as HTMLButtonElement;
      button.type = "button";
      button.dataset["extension"] = number.extension;
      button.setAttribute("aria-label", `Call ${number.name}, extension ${number.extension}`);
      button.addEventListener("click", () => onCall(number));
      return make("li", "", button);
    }),
  );
}

export function showKeypad(onKey: (key: string) => void): void {
  byId("keypad", HTMLFieldSetElement).replaceChildren(
    ...[...KEYS].map((key) => {
      const button = make("button", "", key) as HTMLButtonElement;
      button.type = "button";
      button.dataset["key"] = key;
      button.addEventListener("click", () => onKey(key));
      return button;
    }),
  );
}

export function showCallOf(number: DemoNumber): void {
  avatar(byId("avatar", HTMLDivElement), number);
  byId("name", HTMLHeadingElement).textContent = number.name;
  byId("number", HTMLParagraphElement).textContent = `+${number.display}`;
  byId("digits", HTMLParagraphElement).textContent = "";
  byId("timeline", HTMLOListElement).replaceChildren();
  byId("home", HTMLElement).hidden = true;
  byId("call", HTMLElement).hidden = false;
  showEnded(false);
}

export function showState(state: string, text: string, why = ""): void {
  const line = byId("state", HTMLParagraphElement);
  line.dataset["state"] = state;
  line.textContent = text;
  byId("why", HTMLParagraphElement).textContent = why;
}

/** The buttons during a call, or after it. */
export function showEnded(ended: boolean): void {
  for (const id of ["mute", "keys", "hang-up"]) byId(id, HTMLButtonElement).hidden = ended;
  for (const id of ["again", "back"]) byId(id, HTMLButtonElement).hidden = !ended;
  if (!ended) return;
  byId("keypad", HTMLFieldSetElement).hidden = true;
  byId("keys", HTMLButtonElement).ariaExpanded = "false";
}

export function showHome(): void {
  byId("call", HTMLElement).hidden = true;
  byId("home", HTMLElement).hidden = false;
}

export function showDigit(digit: string, from: "you" | "business"): void {
  byId("digits", HTMLParagraphElement).append(from === "you" ? digit : ` ←${digit}`);
}

export function showSound(id: "said" | "heard", { db, hz }: Sound): void {
  byId(id, HTMLMeterElement).value = db;
  const text = byId(`${id}-text`, HTMLOutputElement);
  text.dataset["db"] = db.toFixed(1);
  text.dataset["hz"] = hz.toFixed(1);
  text.textContent = hz === 0 ? "silence" : `${Math.round(hz)} Hz · ${Math.round(db)} dB`.replace("-", "−");
}

/** One more line; times are seconds since the first. */
export function showLine(line: TimelineLine, firstAt: number): void {
  const seconds = ((line.at - firstAt) / 1000).toFixed(3);
  const what = make("span", "what", line.text);
  if (line.detail !== undefined) what.append(make("small", "", line.detail));
  const item = make(
    "li",
    `${line.source} ${line.level}`,
    make("time", "", `${seconds} s`),
    make("span", "from", line.source),
    what,
  );
  const list = byId("timeline", HTMLOListElement);
  list.append(item);
  // Only where the timeline scrolls by itself, beside the phone; on a small screen the phone must stay in view.
  if (list.parentElement !== null) list.parentElement.scrollTop = list.parentElement.scrollHeight;
}
