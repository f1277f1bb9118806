import { addressRelations } from "./addresses.ts";
import type { ConfigProblem } from "./load.ts";
import { type Key, type Relation, unless } from "./relation.ts";
import type { Config } from "./schema.ts";

const MIN_SECRET_LENGTH = 16;
/** The oldest version of the Graph API that ponte speaks. */
const MIN_GRAPH_VERSION = 17;

export const relations: readonly Relation[] = [
  {
    reads: ["trunks.name"],
    problems: ({ trunks }) =>
      duplicates(trunks.map(({ name }) => name)).map((name) => ({
        key: "trunks",
        text: `Two trunks have the name ${name}.`,
      })),
  },
  {
    reads: ["trunks.kind", "trunks.allow_pstn"],
    problems: ({ trunks }) =>
      trunks.flatMap(({ kind, allow_pstn }, index) =>
        unless(
          kind !== "pstn" || allow_pstn,
          `trunks[${index}].kind`,
          "pstn is refused: Meta's terms forbid PSTN on any leg of a WhatsApp call. Set allow_pstn: true if you may.",
        ),
      ),
  },
  {
    reads: ["trunks.username", "trunks.password"],
    problems: ({ trunks }) =>
      trunks.flatMap(({ username, password }, index) =>
        unless(
          password === undefined || username !== undefined,
          `trunks[${index}].username`,
          "is missing, but there is a password.",
        ),
      ),
  },
  {
    reads: ["trunks.codecs"],
    problems: ({ trunks }) =>
      trunks.flatMap(({ codecs }, index) =>
        unless(codecs.length > 0, `trunks[${index}].codecs`, "must name at least one audio format."),
      ),
  },
  {
    reads: ["channels.phone_number_id"],
    problems: ({ channels }) =>
      duplicates(channels.map((channel) => channel.phone_number_id)).map((id) => ({
        key: "channels",
        text: `Two channels have the phone_number_id ${id}.`,
      })),
  },
  {
    reads: [
      "channels.handler",
      "channels.enabled",
      "channels.trunk",
      "calling.handler",
      "calling.trunk",
      "trunks.name",
    ],
    problems: lostChannels,
  },
  {
    reads: ["calling.trunk", "trunks.name"],
    problems: ({ calling, trunks }) =>
      unless(
        calling.trunk === undefined || trunks.some(({ name }) => name === calling.trunk),
        "calling.trunk",
        `There is no trunk ${calling.trunk}.`,
      ),
  },
  {
    reads: ["calling.enabled", "channels"],
    problems: ({ calling, channels }) =>
      unless(!calling.enabled || channels.length > 0, "channels", "is empty, but calling.enabled is true."),
  },
  {
    reads: ["calling.enabled", "meta.app_secrets"],
    problems: ({ calling, meta }) =>
      unless(
        !calling.enabled || meta.app_secrets.length > 0,
        "meta.app_secrets",
        "is empty: webhooks could not be verified. Set META_APP_SECRET.",
      ),
  },
  {
    reads: ["calling.enabled", "meta.verify_token"],
    problems: ({ calling, meta }) =>
      unless(
        !calling.enabled || meta.verify_token !== undefined,
        "meta.verify_token",
        "is missing: Meta could not verify the webhook address. Set META_VERIFY_TOKEN.",
      ),
  },
  {
    reads: ["calling.enabled", "meta.access_token", "channels.enabled", "channels.access_token"],
    problems: ({ calling, meta, channels }) => {
      const poor = channels.some(({ enabled, access_token }) => enabled && access_token === undefined);
      const text = "is missing, and not every channel has its own. Set META_ACCESS_TOKEN.";
      return unless(!calling.enabled || meta.access_token !== undefined || !poor, "meta.access_token", text);
    },
  },
  {
    reads: ["calling.enabled", "calling.answer_budget_ms", "calling.stale_after_ms"],
    problems: ({ calling: { enabled, answer_budget_ms, stale_after_ms } }) =>
      unless(
        !enabled || answer_budget_ms < stale_after_ms,
        "calling.answer_budget_ms",
        "must be less than calling.stale_after_ms.",
      ),
  },
  {
    reads: ["meta.graph_version"],
    problems: ({ meta }) => {
      const [, major] = /^v(\d+)\./.exec(meta.graph_version) ?? [];
      const text = `must be at least v${MIN_GRAPH_VERSION}.0, but is ${meta.graph_version}.`;
      return unless(major === undefined || Number(major) >= MIN_GRAPH_VERSION, "meta.graph_version", text);
    },
  },
  {
    reads: ["media.sip_port_min", "media.sip_port_max"],
    problems: ({ media }) =>
      unless(
        media.sip_port_max - media.sip_port_min >= 3,
        "media.sip_port_max",
        "must be at least 3 above media.sip_port_min.",
      ),
  },
  {
    reads: ["media.public_port", "media.public_port_max"],
    problems: ({ media }) =>
      unless(
        media.public_port_max - media.public_port >= 64,
        "media.public_port_max",
        "must be at least 64 above media.public_port.",
      ),
  },
  {
    reads: ["sip.secret"],
    // The control protocol separates its words by `|`.
    problems: ({ sip }) => unless(sip.secret?.includes("|") !== true, "sip.secret", "must not contain |."),
  },
  {
    reads: ["sip.engine", "sip.secret"],
    problems: ({ sip }) =>
      unless(
        sip.engine === "embedded" || sip.secret !== undefined,
        "sip.secret",
        "is missing: a drachtio-server asks for it. Set DRACHTIO_SECRET.",
      ),
  },
  {
    reads: ["wpp.base_url", "wpp.secret"],
    problems: ({ wpp }) =>
      unless(
        wpp.base_url === undefined || wpp.secret !== undefined,
        "wpp.secret",
        "is missing, but there is a gateway. Set WPP_GATEWAY_SECRET.",
      ),
  },
  ...addressRelations,
  webAddress("meta.graph_url", ({ meta }) => meta.graph_url),
  webAddress("wpp.base_url", ({ wpp }) => wpp.base_url),
  webAddress("wpp.webhook_url", ({ wpp }) => wpp.webhook_url),
  longEnough("database.secret_key", ({ database }) => database.secret_key),
  longEnough("events.ingestion_secret", ({ events }) => events.ingestion_secret),
  longEnough("http.api_key", ({ http }) => http.api_key),
];

function duplicates(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

function lostChannels({ channels, trunks, calling }: Config): ConfigProblem[] {
  return channels.flatMap((channel, index) => {
    if ((channel.handler ?? calling.handler) !== "bridge" || !channel.enabled) return [];
    const key = `channels[${index}].trunk`;
    const trunk = channel.trunk ?? calling.trunk;
    if (trunk === undefined) return [{ key, text: "is missing: neither the channel nor calling.trunk names a trunk." }];
    return unless(
      trunks.some(({ name }) => name === trunk),
      key,
      `There is no trunk ${trunk}.`,
    );
  });
}

/** The address itself is not repeated: it may hold a password. */
function webAddress(key: Key, of: (config: Config) => string | undefined): Relation {
  const right = (url: string): boolean => /^https?:\/\/[^/]/i.test(url) && URL.canParse(url);
  return {
    reads: [key],
    problems: (config) => {
      const url = of(config);
      return unless(url === undefined || right(url), key, "must be an address that begins with http:// or https://.");
    },
  };
}

function longEnough(key: Key, of: (config: Config) => string | undefined): Relation {
  return {
    reads: [key],
    problems: (config) => {
      const value = of(config);
      const text = `must have at least ${MIN_SECRET_LENGTH} characters.`;
      return unless(value === undefined || value.length >= MIN_SECRET_LENGTH, key, text);
    },
  };
}
