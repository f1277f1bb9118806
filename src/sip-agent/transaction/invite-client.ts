import {
  acknowledge,
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
  timerD,
} from "./machine.ts";

/**
 * INVITE client transaction: RFC 3261 §17.1.1 with the Accepted state of RFC 6026 §8.4.
 *
 *     calling ──1xx──▶ proceeding ──2xx──▶ accepted ──M──▶ terminated
 *        │  └──2xx──────────────────────────▲                  ▲
 *        ├──3xx–6xx──▶ completed ◀──3xx–6xx── proceeding       │
 *        │                 └───────────D───────────────────────┤
 *        └──B, transport error─────────────────────────────────┘
 *
 * In `accepted` every further 2xx is delivered: it is a repeat, or the answer of another branch of a fork. Timer B stands
 * for the first sign of life only; how long a phone may ring is the core's decision.
 */
export function inviteClient(state: ClientState, event: ClientEvent, setting: Setting): Step<ClientState> {
  switch (state.name) {
    case "calling":
      return calling(state, event, setting);
    case "proceeding":
      if (event.type === "response") return answered(state, event.status, setting);
      return ignore(state);
    case "completed":
      if (event.type === "response" && event.status >= 300) return [state, [acknowledge]];
      if (event.type === "timer" && event.timer === "D") return end(state);
      if (event.type === "transport_error") return end(state, failTransport);
      return ignore(state);
    case "accepted":
      if (event.type === "response" && event.status >= 200 && event.status < 300) return [state, [deliver]];
      if (event.type === "timer" && event.timer === "M") return end(state);
      return ignore(state);
    default:
      return ignore(state);
  }
}

function calling(state: ClientState, event: ClientEvent, setting: Setting): Step<ClientState> {
  switch (event.type) {
    case "start": {
      const timerB = startTimer("B", patience(setting));
      if (setting.reliable) return [state, [send, timerB]];
      return [{ ...state, repeatMs: setting.t1Ms }, [send, startTimer("A", setting.t1Ms), timerB]];
    }
    case "timer": {
      if (event.timer === "B") return end(state, failTimeout);
      // RFC 3261 §17.1.1.2: timer A doubles without a ceiling; B ends it.
      const repeatMs = state.repeatMs * 2;
      return [{ ...state, repeatMs }, [send, startTimer("A", repeatMs)]];
    }
    case "response": {
      const [next, actions] = answered(state, event.status, setting);
      return [next, [stopTimer("A"), stopTimer("B"), ...actions]];
    }
    case "transport_error":
      return end(state, failTransport);
  }
}

function answered(state: ClientState, status: number, setting: Setting): Step<ClientState> {
  if (status < 200) return [{ ...state, name: "proceeding" }, [deliver]];
  if (status < 300) return [{ ...state, name: "accepted" }, [deliver, startTimer("M", patience(setting))]];
  // A reliable transport needs no timer D: nothing will be repeated.
  if (setting.reliable) return [{ ...state, name: "terminated" }, [acknowledge, deliver, terminate]];
  return [{ ...state, name: "completed" }, [acknowledge, deliver, startTimer("D", timerD(setting))]];
}

function end(state: ClientState, ...actions: Step<ClientState>[1]): Step<ClientState> {
  return [{ ...state, name: "terminated" }, [...actions, terminate]];
}

function ignore(state: ClientState): Step<ClientState> {
  return [state, []];
}
