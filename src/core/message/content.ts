import type { JsonObject } from "#core/json.ts";

/**
 * What a message says, whatever provider carries it. JSON documents, snake_case: they are stored, shown, and matched by rules.
 */

/** What ponte can send. */
export type OutgoingContent = TextContent | TemplateContent | InteractiveContent;

/** What can come in. */
export type IncomingContent =
  | TextContent
  | MediaContent
  | LocationContent
  | ReactionContent
  | ReplyContent
  | SharedContactsContent
  | UnsupportedContent;

export type MessageContent = OutgoingContent | IncomingContent;

export type TextContent = {
  readonly type: "text";
  /** 1 to 4096 characters (the Cloud API's limit). */
  readonly text: string;
  readonly preview_url?: boolean;
};

/** A message that Meta has approved; the only kind that may open a conversation outside the 24 h window. */
export type TemplateContent = {
  readonly type: "template";
  readonly name: string;
  /** BCP 47 with an underscore, as Meta writes it: `pt_BR`. */
  readonly language: string;
  /** Values of the body's variables, in order. */
  readonly body?: readonly string[];
  /** Components that are passed on as they are (header, buttons); they follow those made from `body`. */
  readonly components?: readonly JsonObject[];
  /** What a provider without templates says in its place. Without it such a provider refuses the message. */
  readonly fallback_text?: string;
};

/** Up to three buttons, or a list of up to ten rows (the Cloud API's limits). */
export type InteractiveContent = {
  readonly type: "interactive";
  readonly header?: string;
  readonly body: string;
  readonly footer?: string;
  readonly choices:
    | { readonly kind: "buttons"; readonly buttons: readonly Choice[] }
    | { readonly kind: "list"; readonly button: string; readonly rows: readonly Choice[] };
};

/** `id` comes back in the reply; `title` is what the person reads. */
export type Choice = { readonly id: string; readonly title: string; readonly description?: string };

/** A stub: what is known of the media, not the media. */
export type MediaContent = {
  readonly type: "image" | "audio" | "voice" | "video" | "document" | "sticker";
  readonly mime_type?: string;
  readonly caption?: string;
  readonly filename?: string;
  readonly size_bytes?: number;
  readonly duration_s?: number;
  /** SHA-256 as the provider writes it. */
  readonly sha256?: string;
  /** By which the provider hands it out. */
  readonly media_id?: string;
  readonly url?: string;
};

export type LocationContent = {
  readonly type: "location";
  readonly latitude: number;
  readonly longitude: number;
  readonly name?: string;
  readonly address?: string;
};

/** `emoji` is empty where a reaction is taken back. */
export type ReactionContent = { readonly type: "reaction"; readonly emoji: string; readonly message_id: string };

/** A button or a row of a list was chosen. */
export type ReplyContent = { readonly type: "reply"; readonly id: string; readonly title: string };

export type SharedContactsContent = {
  readonly type: "contacts";
  readonly contacts: readonly { readonly name?: string; readonly phones: readonly string[] }[];
};

/** Anything else; `kind` is the provider's word for it. The raw payload has the rest. */
export type UnsupportedContent = { readonly type: "unsupported"; readonly kind: string };
