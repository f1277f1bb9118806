import type { Instant } from "#core/call/call.ts";
import type { Hours, OpenTime } from "#core/rule/rule.ts";

/** A time on the wall clock of a place. */
export interface LocalTime {
  /** `2026-12-25` */
  readonly date: string;
  /** ISO 8601: 1 Monday to 7 Sunday. */
  readonly day: number;
  /** Since midnight, 0 to 1439. On the day of a change of the clocks some come twice or never, as they do on the wall. */
  readonly minute: number;
}

const DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const DAY_MS = 86_400_000;

/** Making a format costs tens of microseconds and some memory; there are some 600 names of zones. */
const formats = new Map<string, Intl.DateTimeFormat>();

/** Throws RangeError for a name that is not in the IANA database. */
function formatOf(timezone: string): Intl.DateTimeFormat {
  let format = formats.get(timezone);
  if (format === undefined) {
    format = new Intl.DateTimeFormat("en-US", {
      timeZone: timezone,
      hourCycle: "h23",
      weekday: "short",
      year: "numeric",
      month: "2-digit",
      day: "2-digit",
      hour: "2-digit",
      minute: "2-digit",
    });
    formats.set(timezone, format);
  }
  return format;
}

/** An IANA name; offsets such as `-03:00` know no summer time and are not taken. */
export function isTimezone(name: string): boolean {
  if (!/^[A-Za-z]/.test(name)) return false;
  try {
    formatOf(name);
    return true;
  } catch {
    return false;
  }
}

export function localTime(instant: Instant, timezone: string): LocalTime {
  const parts = new Map(
    formatOf(timezone)
      .formatToParts(instant)
      .map(({ type, value }) => [type, value]),
  );
  const part = (type: Intl.DateTimeFormatPartTypes): string => parts.get(type) ?? "";
  return {
    date: `${part("year")}-${part("month")}-${part("day")}`,
    day: DAYS.indexOf(part("weekday")) + 1,
    minute: Number(part("hour")) * 60 + Number(part("minute")),
  };
}

/** `09:30` to minutes; `24:00` is the end of the day. Undefined: not a time. */
export function minuteOf(text: string): number | undefined {
  const [, hour, minute] = /^([01]\d|2[0-4]):([0-5]\d)$/.exec(text) ?? [];
  const minutes = Number(hour) * 60 + Number(minute);
  return hour === undefined || minutes > 1_440 ? undefined : minutes;
}

/** Whether a rule with these hours applies, and what was seen on the wall clock, for people. */
export function withinHours(hours: Hours, instant: Instant): { readonly applies: boolean; readonly detail: string } {
  const local = localTime(instant, hours.timezone);
  const open = isOpen(hours, local);
  const clock = `${String(Math.floor(local.minute / 60)).padStart(2, "0")}:${String(local.minute % 60).padStart(2, "0")}`;
  const detail = `${DAYS[local.day - 1]} ${local.date} ${clock} in ${hours.timezone} is ${open ? "open" : "closed"}`;
  return { applies: open === (hours.applies === "inside"), detail };
}

/** What is open over midnight belongs to the day on which it began, and so do holidays. */
function isOpen(hours: Hours, { date, day, minute }: LocalTime): boolean {
  const yesterday = new Date(Date.parse(date) - DAY_MS).toISOString().slice(0, 10);
  const dayBefore = day === 1 ? 7 : day - 1;
  return (
    (!isHoliday(hours, date) && hours.weekly.some((time) => time.days.includes(day) && covers(time, minute))) ||
    (!isHoliday(hours, yesterday) &&
      hours.weekly.some((time) => time.days.includes(dayBefore) && reachesOver(time, minute)))
  );
}

function isHoliday(hours: Hours, date: string): boolean {
  return (hours.holidays ?? []).some((holiday) => holiday === date || holiday === date.slice(5));
}

function covers(time: OpenTime, minute: number): boolean {
  const [from = 0, to = 0] = [minuteOf(time.from), minuteOf(time.to)];
  return minute >= from && (to <= from || minute < to);
}

function reachesOver(time: OpenTime, minute: number): boolean {
  const [from = 0, to = 0] = [minuteOf(time.from), minuteOf(time.to)];
  return to <= from && minute < to;
}
