/**
 * One key as a named event (RFC 4733 §2.3):
 *
 *     |     event     |E|R|  volume   |          duration             |
 */
export const EVENT_BYTES = 4;

/** Events 0 to 15 are the keys of a telephone (RFC 4733 §3.2). Others, such as flash, are not passed on. */
const KEYS = "0123456789*#ABCD";

export interface TelephoneEvent {
  readonly event: number;
  readonly end: boolean;
  /** Attenuation in dBm0, 0 to 63; 10 is usual. */
  readonly volume: number;
  /** Since the timestamp of the packet, in units of the event's clock. */
  readonly duration: number;
}

export function keyOfEvent(event: number): string | undefined {
  return KEYS[event];
}

/** undefined for what is not a key. Letters may be small. */
export function eventOfKey(key: string): number | undefined {
  const event = key.length === 1 ? KEYS.indexOf(key.toUpperCase()) : -1;
  return event < 0 ? undefined : event;
}

/** Reads the event at the start of a payload; undefined when it is too short. */
export function readEvent(bytes: Uint8Array, start: number, end: number): TelephoneEvent | undefined {
  if (end - start < EVENT_BYTES) return undefined;
  const flags = bytes[start + 1] ?? 0;
  return {
    event: bytes[start] ?? 0,
    end: flags >= 128,
    volume: flags & 63,
    duration: ((bytes[start + 2] ?? 0) << 8) | (bytes[start + 3] ?? 0),
  };
}

/** Writes 4 bytes at `at`. */
export function writeEvent(bytes: Uint8Array, at: number, event: TelephoneEvent): void {
  bytes[at] = event.event;
  bytes[at + 1] = event.end ? 128 | event.volume : event.volume;
  bytes[at + 2] = event.duration >> 8;
  bytes[at + 3] = event.duration;
}
