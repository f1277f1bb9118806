/** A WhatsApp business number at the simulated Meta. */
export interface BusinessNumber {
  /** What Graph URLs and webhooks call it: digits, not the phone number. */
  readonly phoneNumberId: string;
  /** Digits without `+`. */
  readonly displayPhoneNumber: string;
  /** The WhatsApp Business Account that owns it. */
  readonly wabaId: string;
}

/** Calling settings of one number, as `GET /<id>/settings` tells them. */
export interface CallingSettings {
  status: "ENABLED" | "DISABLED";
  sip: "ENABLED" | "DISABLED";
}

/** Who calls. */
export interface WhatsAppUser {
  /** Digits without `+`. A user name hides it from the business when `hidesNumber` is set. */
  readonly number: string;
  readonly profileName: string;
  readonly username?: string;
  /** Business-scoped user id, such as `BR.13491208655302741918`. */
  readonly userId: string;
  /** The business sees the BSUID only. */
  readonly hidesNumber?: boolean;
}
