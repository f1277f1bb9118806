/** What can be written on a phone, in the fields of WPPConnect's messages. */
export type Said = { readonly type: string } & Readonly<Record<string, unknown>>;

export interface Media {
  readonly type: "image" | "video" | "audio" | "ptt" | "document" | "sticker";
  readonly mimetype: string;
  readonly caption?: string;
  readonly filename?: string;
  readonly sizeBytes?: number;
  readonly seconds?: number;
}

export function text(body: string): Said {
  return { type: "chat", body };
}

/** A stub, as gateways send it: a thumbnail in `body`, and keys to media that nobody fetches here. */
export function media({ type, mimetype, caption, filename, sizeBytes = 23_414, seconds }: Media): Said {
  return {
    type,
    mimetype,
    body: "/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABALDA4MChAODQ4SERATGCga",
    ...(caption === undefined ? {} : { caption }),
    ...(filename === undefined ? {} : { filename }),
    ...(seconds === undefined ? {} : { duration: String(seconds) }),
    size: sizeBytes,
    filehash: "3nUwPvXbYx0kqYPqnhXGVMMtBnSMwJ5yDmJhvYkWjZc=",
    mediaKey: "fPYLH5EWbBcbF3Vk0DkfCqVEjEIYkCjlCIRnKJ8eP0c=",
    deprecatedMms3Url: "https://mmg.whatsapp.net/d/f/AnYqz.enc",
    isMedia: true,
    isMMS: true,
  };
}

export function location(lat: number, lng: number, loc?: string): Said {
  return { type: "location", lat, lng, ...(loc === undefined ? {} : { loc }), body: "/9j/4AAQSkZJRg" };
}

/** Somebody's card (RFC 6350, in the version 3.0 that phones write). */
export function card(name: string, number: string): Said {
  const lines = ["BEGIN:VCARD", "VERSION:3.0", `FN:${name}`, `item1.TEL;waid=${number}:+${number}`, "END:VCARD"];
  return { type: "vcard", vcardFormattedName: name, body: lines.join("\n") };
}

/** An empty emoji takes a reaction back. */
export function reaction(emoji: string, messageId: string): Said {
  return { type: "reaction", reactionText: emoji, msgId: { _serialized: messageId }, orphan: 0 };
}

/** A row of a list was chosen. */
export function choice(id: string, title: string): Said {
  return { type: "list_response", body: title, listResponse: { title, singleSelectReply: { selectedRowId: id } } };
}

/** Not written by a person: `e2e_notification`, `ciphertext`, `gp2`, … */
export function notice(type: string): Said {
  return { type };
}
