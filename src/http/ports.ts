/** What the HTTP edge needs of its neighbours beyond the ports of the engine. */

/** What Meta asks when somebody enters the webhook address in its dashboard: `hub.mode`, `hub.verify_token`, `hub.challenge`. */
export interface WebhookQuestion {
  readonly mode?: string;
  readonly token?: string;
  readonly challenge?: string;
}

/** An HTTP status and, for a good answer, its body as plain text. */
export interface WebhookAnswer {
  readonly status: number;
  readonly body?: string;
}

/** Whoever understands Meta's webhooks. */
export interface MetaWebhookPort {
  /** Answers the GET by which Meta verifies the address: 200 with the bare challenge, or 403. */
  verify(question: WebhookQuestion): WebhookAnswer;
  /**
   * Takes one POST: the bytes as they came, and the header `X-Hub-Signature-256`. Resolves with 200 only when the body cannot
   * be lost any more; Meta repeats what gets anything else.
   */
  receive(rawBody: Buffer, signature: string | undefined): Promise<WebhookAnswer>;
}

/** One condition of being ready to take calls. */
export interface ReadyCheck {
  /** A stable word, such as `database` or `sip`. */
  readonly name: string;
  /** `detail` is public: it must not hold an address, a secret or a number. */
  check(): Promise<{ readonly ok: boolean; readonly detail?: string }>;
}
