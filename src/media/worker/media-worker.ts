import { randomBytes } from "node:crypto";
import { type EventLoopUtilization, performance } from "node:perf_hooks";
import { PonteError } from "#core/error.ts";
import { MediaCall } from "#media/call/media-call.ts";
import { openSipSockets, type SipSockets } from "#media/leg/sip-sockets.ts";
import type { CallSettings, FromWorker, ToWorker, WorkerSettings } from "#media/plane/messages.ts";
import { loadOpus } from "#media/stage/opus-codec.ts";
import { PublicPort } from "#media/transport/public-port.ts";
import { systemClock } from "#media/transport/system-clock.ts";
import { CodecLoad, LOAD_PERIOD_MS } from "./codec-load.ts";
import { Wheel } from "./wheel.ts";

type Tell = (message: FromWorker) => void;

/** 48 bits of randomness as a number from 0 to 1. */
function random(): number {
  return randomBytes(6).readUIntBE(0, 6) / 2 ** 48;
}

/** Everything in one worker thread: its public port, its wheel, its codecs, its calls. */
export class MediaWorker {
  readonly #settings: WorkerSettings;
  readonly #tell: Tell;
  readonly #port: PublicPort;
  readonly #wheel = new Wheel(systemClock);
  readonly #codecs = new CodecLoad();
  readonly #calls = new Map<number, MediaCall>();
  readonly #opening = new Map<number, Promise<void>>();
  #load: NodeJS.Timeout | undefined;
  #utilization = 0;
  #stopped = false;

  constructor(settings: WorkerSettings, tell: Tell) {
    this.#settings = settings;
    this.#tell = tell;
    const { publicPort, sparePorts, bind4, bind6, announced, iceTimeoutMs, dtlsTimeoutMs } = settings;
    this.#port = new PublicPort({
      port: publicPort,
      sparePorts,
      bind4,
      bind6,
      ...(announced === undefined ? {} : { announced }),
      ...(iceTimeoutMs === undefined ? {} : { iceTimeoutMs }),
      ...(dtlsTimeoutMs === undefined ? {} : { dtlsTimeoutMs }),
      onBug: (error) => tell({ type: "bug", text: error instanceof Error ? (error.stack ?? "") : String(error) }),
    });
  }

  async start(): Promise<void> {
    try {
      await Promise.all([this.#port.start(), loadOpus()]);
    } catch (error) {
      this.#tell({ type: "not_ready", text: error instanceof Error ? error.message : String(error) });
      return;
    }
    if (this.#stopped) return;
    let before: EventLoopUtilization = performance.eventLoopUtilization();
    this.#load = setInterval(() => {
      const now = performance.eventLoopUtilization();
      this.#utilization = performance.eventLoopUtilization(now, before).utilization;
      before = now;
      this.#codecs.adapt(this.#utilization);
    }, LOAD_PERIOD_MS);
    this.#tell({ type: "ready", publicPort: this.#port.port });
  }

  /** One message of the main thread. */
  take(message: ToWorker): void {
    switch (message.type) {
      case "open":
        this.#opening.set(
          message.call,
          this.#open(message).finally(() => this.#opening.delete(message.call)),
        );
        return;
      case "connect":
        this.#calls.get(message.call)?.connect();
        return;
      case "set_sip_session":
        this.#calls.get(message.call)?.setSipSession(message.session, message.latching);
        return;
      case "start_sending":
        this.#calls.get(message.call)?.startSending();
        return;
      case "press":
        this.#calls.get(message.call)?.press(message.side, message.digit, message.durationMs);
        return;
      case "statistics": {
        const statistics = this.#calls.get(message.call)?.statistics();
        this.#tell({ type: "statistics", request: message.request, statistics });
        return;
      }
      case "close":
        void this.#close(message.call);
        return;
      case "counters":
        this.#tell({ type: "counters", request: message.request, counters: this.#counters() });
        return;
      case "stop":
        void this.#stop();
    }
  }

  async #open(settings: CallSettings): Promise<void> {
    const { call, sipPort } = settings;
    let sockets: SipSockets | undefined;
    try {
      sockets = await openSipSockets(this.#settings.sipBind, sipPort);
      if (this.#stopped) throw new PonteError("media_unavailable", "the worker was stopped");
      const opened = this.#makeCall(settings, sockets);
      this.#calls.set(call, opened);
      this.#tell({ type: "opened", call, local: opened.local, ssrc: opened.ssrc, sipPort: sockets.port });
    } catch (error) {
      await sockets?.close();
      const portTaken = error instanceof PonteError && error.code === "media_port_taken";
      this.#tell({ type: "not_opened", call, portTaken, text: error instanceof Error ? error.message : String(error) });
    }
  }

  #makeCall({ call, sipAddress, offer }: CallSettings, sockets: SipSockets): MediaCall {
    const tell = this.#tell;
    const { latching, deadAfterMs, silenceChecksMs } = this.#settings;
    return new MediaCall({
      offer,
      openSession: (events) => this.#port.open({ mode: "full", events, remote: offer.transport }),
      sockets,
      sipAddress,
      codecs: this.#codecs,
      wheel: this.#wheel,
      now: systemClock.now,
      random,
      latching,
      deadAfterMs,
      ...(silenceChecksMs === undefined ? {} : { silenceChecksMs }),
      events: {
        onConnected: () => tell({ type: "connected", call }),
        onFailed: (failure, detail) => tell({ type: "failed", call, failure, detail }),
        onEvidence: (step, at) => tell({ type: "evidence", call, step, at }),
        onSilenceCheck: (afterMs, findings) => tell({ type: "silence_check", call, afterMs, findings }),
        onDigit: (side, digit, durationMs) => tell({ type: "digit", call, side, digit, durationMs }),
      },
    });
  }

  async #close(call: number): Promise<void> {
    // Who waited too long for a call closes it although it is only being opened.
    await this.#opening.get(call);
    const closing = this.#calls.get(call);
    if (closing === undefined) return;
    this.#calls.delete(call);
    this.#tell({ type: "closed", call, statistics: await closing.close() });
  }

  #counters() {
    return {
      calls: this.#calls.size,
      utilization: this.#utilization,
      complexity: this.#codecs.complexity,
      memory: process.memoryUsage(),
      publicPort: this.#port.counters(),
    };
  }

  async #stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#load);
    await Promise.all([...this.#calls.keys()].map((call) => this.#close(call)));
    await this.#port.stop();
    this.#tell({ type: "stopped" });
  }
}
