/**
 * A failure of the outside world: a database that is away, a trunk that does not answer, a worker that died. Outcomes of a
 * call (busy, no answer) are dispositions and never come as an error.
 */
export class PonteError extends Error {
  override readonly name = "PonteError";
  /** A stable word for machines, such as `store_unavailable`. */
  readonly code: string;
  /** The same thing may succeed later. */
  readonly retryable: boolean;

  constructor(code: string, message: string, options: { readonly cause?: unknown; readonly retryable?: boolean } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
  }
}
