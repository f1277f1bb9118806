import {
  deliver,
  failTimeout,
  failTransport,
  patience,
  type ServerEvent,
  type ServerState,
  type Setting,
  type Step,
  send,
  startTimer,
  stopTimer,
  terminate,
} from "./machine.ts";

/**
 * INVITE server transaction: RFC 3261 §17.2.1 with the Accepted state of RFC 6026 §8.5.
 *
 *     proceeding ──2xx──▶ accepted ──L──────────────▶ terminated
 *         └──300–699──▶ completed ──ACK──▶ confirmed ──I──▶ ▲
 *                           └──────────H────────────────────┘
 *
 * In `accepted` the core repeats the 2xx by itself, end to end (RFC 3261 §13.3.1.4); repeated INVITEs are absorbed.
 */
export function inviteServer(state: ServerState, event: ServerEvent, setting: Setting): Step<ServerState> {
  switch (state.name) {
    case "proceeding":
      return proceeding(state, event, setting);
    case "completed":
      return completed(state, event, setting);
    case "confirmed":
      return event.type === "timer" && event.timer === "I" ? end(state) : [state, []];
    case "accepted":
      if (event.type === "respond" && event.status >= 200 && event.status < 300) return [state, [send]];
      // Not by the book (an ACK for a 2xx has its own branch), but RFC 2543 peers do it; the dialog decides.
      if (event.type === "ack") return [state, [deliver]];
      if (event.type === "timer" && event.timer === "L") return end(state);
      return [state, []];
    default:
      return [state, []];
  }
}

function proceeding(state: ServerState, event: ServerEvent, setting: Setting): Step<ServerState> {
  switch (event.type) {
    case "repeat":
      return [state, [send]];
    case "respond": {
      if (event.status < 200) return [state, [send]];
      if (event.status < 300) return [{ ...state, name: "accepted" }, [send, startTimer("L", patience(setting))]];
      const timerH = startTimer("H", patience(setting));
      if (setting.reliable) return [{ ...state, name: "completed" }, [send, timerH]];
      return [{ name: "completed", repeatMs: setting.t1Ms }, [send, startTimer("G", setting.t1Ms), timerH]];
    }
    case "transport_error":
      return end(state, failTransport);
    default:
      return [state, []];
  }
}

function completed(state: ServerState, event: ServerEvent, setting: Setting): Step<ServerState> {
  switch (event.type) {
    case "repeat":
      return [state, [send]];
    case "ack": {
      const stop = [stopTimer("G"), stopTimer("H")];
      if (setting.reliable) return end(state, ...stop);
      return [{ ...state, name: "confirmed" }, [...stop, startTimer("I", setting.t4Ms)]];
    }
    case "timer": {
      if (event.timer === "H") return end(state, failTimeout);
      const repeatMs = Math.min(state.repeatMs * 2, setting.t2Ms);
      return [{ ...state, repeatMs }, [send, startTimer("G", repeatMs)]];
    }
    case "transport_error":
      return end(state, failTransport);
    default:
      return [state, []];
  }
}

function end(state: ServerState, ...actions: Step<ServerState>[1]): Step<ServerState> {
  return [{ ...state, name: "terminated" }, [...actions, terminate]];
}
