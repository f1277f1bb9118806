import { Meter, type Sound, type Source } from "./audio.ts";

/** One key as long as a finger takes, and a pause that every receiver notices; milliseconds. */
const KEY_MS = 120;
const KEY_GAP_MS = 70;

const silence: Sound = { db: -96, hz: 0 };

/** The WebRTC side of one call: the sandbox's relay offers, the browser answers. */
export class WebCall {
  readonly #peer = new RTCPeerConnection();
  readonly #source: Source;
  readonly #context: AudioContext;
  readonly #said: Meter;
  readonly #speaker = new Audio();
  #heard: Meter | undefined;
  #sender: RTCRtpSender | undefined;

  constructor(context: AudioContext, source: Source) {
    this.#context = context;
    this.#source = source;
    this.#said = new Meter(context, source.stream);
    this.#peer.addEventListener("track", (event) => {
      const stream = event.streams[0] ?? new MediaStream([event.track]);
      this.#speaker.srcObject = stream;
      void this.#speaker.play();
      this.#heard = new Meter(this.#context, stream);
    });
  }

  /** Our answer to the relay's offer, with all candidates in it: there is no trickle here. */
  async answer(sdp: string): Promise<string> {
    await this.#peer.setRemoteDescription({ type: "offer", sdp });
    const [track] = this.#source.stream.getAudioTracks();
    if (track !== undefined) this.#sender = this.#peer.addTrack(track, this.#source.stream);
    await this.#peer.setLocalDescription(await this.#peer.createAnswer());
    await this.#gathered();
    return this.#peer.localDescription?.sdp ?? "";
  }

  /** Presses a key; false when the browser cannot. */
  press(key: string): boolean {
    const dtmf = this.#sender?.dtmf;
    if (!dtmf?.canInsertDTMF) return false;
    dtmf.insertDTMF(dtmf.toneBuffer + key, KEY_MS, KEY_GAP_MS);
    return true;
  }

  mute(muted: boolean): void {
    for (const track of this.#source.stream.getAudioTracks()) track.enabled = !muted;
  }

  said(): Sound {
    return this.#said.read();
  }

  heard(): Sound {
    return this.#heard?.read() ?? silence;
  }

  close(): void {
    this.#said.close();
    this.#heard?.close();
    this.#peer.close();
    this.#speaker.srcObject = null;
    this.#source.close();
  }

  #gathered(): Promise<void> {
    if (this.#peer.iceGatheringState === "complete") return Promise.resolve();
    return new Promise((resolve) => {
      this.#peer.addEventListener("icegatheringstatechange", () => {
        if (this.#peer.iceGatheringState === "complete") resolve();
      });
    });
  }
}
