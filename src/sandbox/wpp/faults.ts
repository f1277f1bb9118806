import type { TransportFault } from "#sandbox/faults.ts";

/** What the API can be asked for. */
export type GatewayAction =
  | "create_channel"
  | "list_channels"
  | "get_channel"
  | "qr"
  | "send"
  | "set_webhook"
  | "set_channel_webhook";

/** What shall go wrong with a request. */
export type GatewayFault =
  | {
      /** Refused; nothing is done. */
      readonly kind: "error";
      readonly status: number;
      readonly code?: string;
      readonly retryAfterS?: number;
      /** In the place of JSON, such as a proxy's page. */
      readonly text?: string;
    }
  | TransportFault;
