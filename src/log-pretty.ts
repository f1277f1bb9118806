/** Log lines for people: `18:07:31.042 INFO  call transition  from=dialing to=bridged ring_ms=4210 call_id=…`. */

const colourOf: Readonly<Record<string, string>> = {
  trace: "\u001b[90m",
  debug: "\u001b[90m",
  info: "\u001b[36m",
  warn: "\u001b[33m",
  error: "\u001b[31m",
};
const DIM = "\u001b[2m";
const RESET = "\u001b[0m";

/** Turns one line of JSON into one for people, with the stack of an error below it. What is not JSON passes as it is. */
export function prettyLine(json: string, colours: boolean): string {
  const line = parse(json);
  if (line === undefined) return json;
  const { time, level, msg, err, ...facts } = line;
  const paint = (colour: string, text: string): string => (colours ? `${colour}${text}${RESET}` : text);
  const head = [
    paint(DIM, clockTime(time)),
    paint(colourOf[String(level)] ?? "", String(level).toUpperCase().padEnd(5)),
    printable(String(msg ?? "")),
  ];
  const fields = Object.entries(facts).map(([name, value]) => `${printable(name)}=${shown(value)}`);
  if (err !== undefined) fields.unshift(`err=${shown(reasons(err))}`);
  const stack = level === "error" ? stackOf(err) : "";
  const tail = fields.length === 0 ? "" : `  ${paint(DIM, fields.join(" "))}`;
  return `${head.join(" ")}${tail}\n${stack}`;
}

function parse(json: string): Record<string, unknown> | undefined {
  try {
    const line: unknown = JSON.parse(json);
    return typeof line === "object" && line !== null ? (line as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

/** Local time of day, for somebody who looks on. */
function clockTime(time: unknown): string {
  const at = new Date(String(time));
  if (Number.isNaN(at.getTime())) return "--:--:--.---";
  const two = (value: number): string => String(value).padStart(2, "0");
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, "0")}`;
}

function shown(value: unknown): string {
  if (typeof value === "string" && /^[\w@:/.,+*#[\]()-]+$/.test(value)) return value;
  return printable(JSON.stringify(value) ?? "");
}

/** Text from outside must not move the cursor or change the title of somebody's terminal. */
function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Messages of an error and its causes, first things last: `cannot dial ← connect ECONNREFUSED`. */
function reasons(err: unknown): string {
  const texts: string[] = [];
  for (let error = err; typeof error === "object" && error !== null; error = (error as { cause?: unknown }).cause)
    texts.push(String((error as { message?: unknown }).message ?? ""));
  return texts.length === 0 ? String(err) : texts.join(" ← ");
}

function stackOf(err: unknown): string {
  const stack = (err as { readonly stack?: unknown } | null | undefined)?.stack;
  if (typeof stack !== "string") return "";
  return stack
    .split("\n")
    .slice(1)
    .map((frame) => `      ${printable(frame.trim())}\n`)
    .join("");
}
