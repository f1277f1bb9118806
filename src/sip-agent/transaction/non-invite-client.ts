import {
  type ClientEvent,
  type ClientState,
  deliver,
  failTimeout,
  failTransport,
  patience,
  type Setting,
  type Step,
  send,
  startTimer,
  stopTimer,
  terminate,
} from "./machine.ts";

/**
 * Non-INVITE client transaction (RFC 3261 §17.1.2).
 *
 *     trying ──1xx──▶ proceeding ──200–699──▶ completed ──K──▶ terminated
 *        ├──200–699──────────────────────────────▲                 ▲
 *        └──F, transport error (from proceeding too)───────────────┘
 */
export function nonInviteClient(state: ClientState, event: ClientEvent, setting: Setting): Step<ClientState> {
  switch (state.name) {
    case "trying":
    case "proceeding":
      return waiting(state, event, setting);
    case "completed":
      return event.type === "timer" && event.timer === "K" ? end(state) : [state, []];
    default:
      return [state, []];
  }
}

function waiting(state: ClientState, event: ClientEvent, setting: Setting): Step<ClientState> {
  switch (event.type) {
    case "start": {
      const timerF = startTimer("F", patience(setting));
      if (setting.reliable) return [state, [send, timerF]];
      return [{ ...state, repeatMs: setting.t1Ms }, [send, startTimer("E", setting.t1Ms), timerF]];
    }
    case "timer": {
      if (event.timer === "F") return end(state, failTimeout);
      // After a provisional response repeats go on, at T2 (RFC 3261 §17.1.2.2).
      const repeatMs = state.name === "proceeding" ? setting.t2Ms : Math.min(state.repeatMs * 2, setting.t2Ms);
      return [{ ...state, repeatMs }, [send, startTimer("E", repeatMs)]];
    }
    case "response": {
      if (event.status < 200) return [{ ...state, name: "proceeding" }, [deliver]];
      const stop = [stopTimer("E"), stopTimer("F")];
      if (setting.reliable) return [{ ...state, name: "terminated" }, [...stop, deliver, terminate]];
      return [{ ...state, name: "completed" }, [...stop, deliver, startTimer("K", setting.t4Ms)]];
    }
    case "transport_error":
      return end(state, failTransport);
  }
}

function end(state: ClientState, ...actions: Step<ClientState>[1]): Step<ClientState> {
  return [{ ...state, name: "terminated" }, [...actions, terminate]];
}
