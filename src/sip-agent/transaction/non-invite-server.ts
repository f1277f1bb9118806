import {
  failTransport,
  patience,
  type ServerEvent,
  type ServerState,
  type Setting,
  type Step,
  send,
  startTimer,
  terminate,
} from "./machine.ts";

/**
 * Non-INVITE server transaction (RFC 3261 §17.2.2).
 *
 *     trying ──1xx──▶ proceeding ──200–699──▶ completed ──J──▶ terminated
 *        └──200–699──────────────────────────────▲
 */
export function nonInviteServer(state: ServerState, event: ServerEvent, setting: Setting): Step<ServerState> {
  switch (state.name) {
    case "trying":
    case "proceeding":
      return open(state, event, setting);
    case "completed":
      if (event.type === "repeat") return [state, [send]];
      if (event.type === "timer" || event.type === "transport_error")
        return [{ ...state, name: "terminated" }, [terminate]];
      return [state, []];
    default:
      return [state, []];
  }
}

function open(state: ServerState, event: ServerEvent, setting: Setting): Step<ServerState> {
  switch (event.type) {
    case "repeat":
      // In `trying` there is nothing to say yet.
      return [state, state.name === "proceeding" ? [send] : []];
    case "respond":
      if (event.status < 200) return [{ ...state, name: "proceeding" }, [send]];
      if (setting.reliable) return [{ ...state, name: "terminated" }, [send, terminate]];
      return [{ ...state, name: "completed" }, [send, startTimer("J", patience(setting))]];
    case "transport_error":
      return [{ ...state, name: "terminated" }, [failTransport, terminate]];
    default:
      return [state, []];
  }
}
