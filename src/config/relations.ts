import { isIP } from "node:net";
import type { ConfigProblem } from "./load.ts";
import type { Config } from "./schema.ts";

/** What one key demands of another: everything that a schema cannot say. */
export function relations(config: Config): ConfigProblem[] {
  return [
    ...trunkProblems(config),
    ...channelProblems(config),
    ...callingProblems(config),
    ...mediaProblems(config),
    ...sipProblems(config),
    ...messageProblems(config),
  ];
}

function duplicates(names: readonly string[]): string[] {
  return [...new Set(names.filter((name, index) => names.indexOf(name) !== index))];
}

function trunkProblems({ trunks }: Config): ConfigProblem[] {
  const twice = duplicates(trunks.map((trunk) => trunk.name)).map((name) => ({
    key: "trunks",
    text: `Two trunks have the name ${name}.`,
  }));
  const pstn = trunks.flatMap((trunk, index) =>
    trunk.kind === "pstn" && !trunk.allow_pstn
      ? [
          {
            key: `trunks[${index}].kind`,
            text: "pstn is refused: Meta's terms forbid PSTN on any leg of a WhatsApp call. Set allow_pstn: true if you may.",
          },
        ]
      : [],
  );
  const passwords = trunks.flatMap((trunk, index) =>
    trunk.password !== undefined && trunk.username === undefined
      ? [{ key: `trunks[${index}].username`, text: "is missing, but there is a password." }]
      : [],
  );
  const silent = trunks.flatMap((trunk, index) =>
    trunk.codecs.length === 0 ? [{ key: `trunks[${index}].codecs`, text: "must name at least one audio format." }] : [],
  );
  return [...twice, ...pstn, ...passwords, ...silent];
}

function channelProblems({ channels, trunks, calling }: Config): ConfigProblem[] {
  const known = new Set(trunks.map((trunk) => trunk.name));
  const twice = duplicates(channels.map((channel) => channel.phone_number_id)).map((id) => ({
    key: "channels",
    text: `Two channels have the phone_number_id ${id}.`,
  }));
  const lost = channels.flatMap((channel, index) => {
    if ((channel.handler ?? calling.handler) !== "bridge" || !channel.enabled) return [];
    const trunk = channel.trunk ?? calling.trunk;
    if (trunk === undefined) {
      return [
        { key: `channels[${index}].trunk`, text: "is missing: neither the channel nor calling.trunk names a trunk." },
      ];
    }
    return known.has(trunk) ? [] : [{ key: `channels[${index}].trunk`, text: `There is no trunk ${trunk}.` }];
  });
  const missing =
    calling.trunk !== undefined && !known.has(calling.trunk)
      ? [{ key: "calling.trunk", text: `There is no trunk ${calling.trunk}.` }]
      : [];
  return [...twice, ...lost, ...missing];
}

function callingProblems({ calling, channels, meta }: Config): ConfigProblem[] {
  if (!calling.enabled) return [];
  const problems: ConfigProblem[] = [];
  if (channels.length === 0) problems.push({ key: "channels", text: "is empty, but calling.enabled is true." });
  if (meta.app_secrets.length === 0) {
    problems.push({ key: "meta.app_secrets", text: "is empty: webhooks could not be verified. Set META_APP_SECRET." });
  }
  if (meta.verify_token === undefined) {
    problems.push({
      key: "meta.verify_token",
      text: "is missing: Meta could not verify the webhook address. Set META_VERIFY_TOKEN.",
    });
  }
  const poor = channels.some((channel) => channel.enabled && channel.access_token === undefined);
  if (meta.access_token === undefined && poor) {
    problems.push({
      key: "meta.access_token",
      text: "is missing, and not every channel has its own. Set META_ACCESS_TOKEN.",
    });
  }
  if (calling.answer_budget_ms >= calling.stale_after_ms) {
    problems.push({ key: "calling.answer_budget_ms", text: "must be less than calling.stale_after_ms." });
  }
  return problems;
}

function mediaProblems({ media }: Config): ConfigProblem[] {
  const addresses = (["public_address", "bind_address"] as const).flatMap((key) =>
    media[key].flatMap((address, index) =>
      isIP(address) === 0 ? [{ key: `media.${key}[${index}]`, text: `${address} is not an IP address.` }] : [],
    ),
  );
  const range =
    media.sip_port_max - media.sip_port_min < 3
      ? [{ key: "media.sip_port_max", text: "must be at least 3 above media.sip_port_min." }]
      : [];
  const ports =
    media.public_port_max - media.public_port < 64
      ? [{ key: "media.public_port_max", text: "must be at least 64 above media.public_port." }]
      : [];
  return [...addresses, ...range, ...ports];
}

/** The control protocol separates its words by `|`. */
function sipProblems({ sip }: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (sip.secret?.includes("|")) problems.push({ key: "sip.secret", text: "must not contain |." });
  if (sip.engine !== "embedded" && sip.secret === undefined) {
    problems.push({ key: "sip.secret", text: "is missing: a drachtio-server asks for it. Set DRACHTIO_SECRET." });
  }
  return problems;
}

function messageProblems({ wpp, database, events }: Config): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  if (wpp.base_url !== undefined && wpp.secret === undefined) {
    problems.push({ key: "wpp.secret", text: "is missing, but there is a gateway. Set WPP_GATEWAY_SECRET." });
  }
  for (const [key, url] of Object.entries({ base_url: wpp.base_url, webhook_url: wpp.webhook_url })) {
    if (url !== undefined && !/^https?:\/\/[^/]/.test(url)) {
      problems.push({ key: `wpp.${key}`, text: "must begin with http:// or https://." });
    }
  }
  for (const [key, value] of [
    ["database.secret_key", database.secret_key],
    ["events.ingestion_secret", events.ingestion_secret],
  ] as const) {
    if (value !== undefined && value.length < 16) problems.push({ key, text: "must have at least 16 characters." });
  }
  return problems;
}
