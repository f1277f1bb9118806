import type { Clock } from "#engine/ports.ts";

/** Real time that never jumps: a clock that is set during a call must not end its consent or its handshake. */
export const systemClock: Clock = {
  now: () => performance.timeOrigin + performance.now(),
  after(afterMs, task) {
    const timer = setTimeout(task, afterMs);
    return () => clearTimeout(timer);
  },
};
