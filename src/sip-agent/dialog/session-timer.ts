/** The running timer of one dialog's session (RFC 4028). */
export interface SessionTimer {
  stop(): void;
}
