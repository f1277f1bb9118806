import type { Application } from "#sip-agent/ua/application.ts";
import type { Dialog } from "./dialog.ts";

/** All dialogs, by what the wire and the control protocol call them. */
export class DialogRegistry {
  readonly #byWire = new Map<string, Dialog>();
  readonly #byId = new Map<string, Dialog>();

  get size(): number {
    return this.#byWire.size;
  }

  /** Adds a dialog, or makes it the one that its control identifier means (of several branches of a fork). */
  add(dialog: Dialog): void {
    this.#byWire.set(wireKey(dialog.facts.callId, dialog.facts.localTag, dialog.facts.remoteTag), dialog);
    this.#byId.set(dialog.id, dialog);
  }

  remove(dialog: Dialog): void {
    dialog.state = "ended";
    dialog.sessionTimer?.stop();
    const key = wireKey(dialog.facts.callId, dialog.facts.localTag, dialog.facts.remoteTag);
    if (this.#byWire.get(key) === dialog) this.#byWire.delete(key);
    if (this.#byId.get(dialog.id) === dialog) this.#byId.delete(dialog.id);
  }

  byId(id: string): Dialog | undefined {
    return this.#byId.get(id);
  }

  byTags(callId: string, localTag: string, remoteTag: string): Dialog | undefined {
    return this.#byWire.get(wireKey(callId, localTag, remoteTag));
  }

  ownedBy(application: Application): Dialog[] {
    return [...this.#byWire.values()].filter((dialog) => dialog.owner === application);
  }

  clear(): void {
    for (const dialog of [...this.#byWire.values()]) this.remove(dialog);
  }
}

function wireKey(callId: string, localTag: string, remoteTag: string): string {
  return JSON.stringify([callId, localTag, remoteTag]);
}
