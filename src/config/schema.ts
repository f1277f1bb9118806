import Type, { type Static, type TSchema } from "typebox";

/**
 * The configuration: one schema with type, default, unit and a sentence for every key. It is the source of the types, of the
 * checks at start, of `config/ponte.example.yaml` and of the table in the README.
 */

interface Says {
  /** One sentence. */
  readonly says: string;
  /** Unit of the value, where it has one. */
  readonly unit?: string;
  /** Environment variable that overrides the file; used for secrets and for what a container is given. */
  readonly env?: string;
  readonly default?: unknown;
}

function about({ says, unit, env, default: value }: Says): Record<string, unknown> {
  return {
    description: says,
    ...(unit === undefined ? {} : { unit }),
    ...(env === undefined ? {} : { env }),
    ...(value === undefined ? {} : { default: value }),
  };
}

const text = (o: Says) => Type.String({ minLength: 1, maxLength: 2_000, ...about(o) });
const maybeText = (o: Says) => Type.Optional(text(o));
const secret = (o: Says) => Type.Optional(Type.String({ minLength: 1, maxLength: 2_000, secret: true, ...about(o) }));
const flag = (o: Says & { default: boolean }) => Type.Boolean(about(o));
const whole = (minimum: number, maximum: number, o: Says) => Type.Integer({ minimum, maximum, ...about(o) });
const port = (o: Says) => whole(0, 65_535, o);
const ms = (minimum: number, maximum: number, o: Says) => whole(minimum, maximum, { unit: "ms", ...o });
const oneOf = <const T extends string[]>(values: [...T], o: Says) => Type.Enum(values, about(o));
const list = <T extends TSchema>(items: T, o: Says) => Type.Array(items, { maxItems: 1_000, ...about(o) });
const section = <P extends Parameters<typeof Type.Object>[0]>(properties: P, says: string) =>
  Type.Object(properties, { additionalProperties: false, default: {}, description: says });
const item = <P extends Parameters<typeof Type.Object>[0]>(properties: P) =>
  Type.Object(properties, { additionalProperties: false });

const codec = oneOf(["opus", "PCMU", "PCMA"], { says: "An audio format." });

const calling = section(
  {
    enabled: flag({
      default: false,
      says: "Takes WhatsApp calls; without it every call is left alone and Meta's webhooks are only stored.",
    }),
    handler: oneOf(["bridge", "reject"], {
      default: "bridge",
      says: "What happens to a call whose channel does not say otherwise.",
    }),
    trunk: maybeText({ says: "Trunk for calls whose channel does not name one." }),
    target: maybeText({
      says: "Number or name that is dialled on the trunk; without it the business number that was called.",
    }),
    max_calls: whole(1, 10_000, {
      default: 500,
      unit: "calls",
      says: "Calls at once in this daemon; further ones are rejected.",
    }),
    stale_after_ms: ms(1_000, 120_000, {
      default: 60_000,
      says: "An offer older than this by Meta's timestamp is not answered: Meta has given it up.",
    }),
    answer_budget_ms: ms(1_000, 60_000, {
      default: 28_000,
      says: "From Meta's timestamp to accept; Meta ends a call that is not accepted in 30 to 60 s.",
    }),
    ring_timeout_ms: ms(500, 60_000, { default: 25_000, says: "How long the PBX may ring." }),
    media_timeout_ms: ms(500, 30_000, { default: 5_000, says: "From the PBX's answer to ICE and DTLS being up." }),
    drain_timeout_ms: ms(0, 600_000, {
      default: 10_000,
      says: "How long calls may go on when the daemon is told to stop.",
    }),
  },
  "WhatsApp calls.",
);

const meta = section(
  {
    graph_url: text({ default: "https://graph.facebook.com", says: "Base address of the Graph API." }),
    graph_version: Type.String({
      pattern: "^v\\d+\\.\\d+$",
      ...about({ default: "v23.0", says: "Version of the Graph API, at least v17.0." }),
    }),
    access_token: secret({
      env: "META_ACCESS_TOKEN",
      says: "Token with whatsapp_business_messaging, for channels without their own.",
    }),
    app_secrets: list(Type.String({ minLength: 1, secret: true }), {
      default: [],
      env: "META_APP_SECRET",
      says: "App secrets that sign the webhooks; more than one while a secret is changed.",
    }),
    verify_token: secret({
      env: "META_VERIFY_TOKEN",
      says: "What Meta must say when it verifies the webhook address.",
    }),
    request_timeout_ms: ms(100, 60_000, { default: 5_000, says: "How long one Graph request may take." }),
  },
  "Meta's Cloud API.",
);

const channels = list(
  item({
    phone_number_id: Type.String({
      pattern: "^[0-9]{1,32}$",
      description: "Meta's id of the business number (not the number itself).",
    }),
    name: maybeText({ says: "A name for people." }),
    enabled: flag({
      default: true,
      says: "Takes calls of this channel and sends messages over it; what people write to it is taken either way.",
    }),
    handler: Type.Optional(oneOf(["bridge", "reject"], { says: "Overrides calling.handler." })),
    trunk: maybeText({ says: "Overrides calling.trunk." }),
    target: maybeText({ says: "Overrides calling.target." }),
    access_token: secret({ says: "Overrides meta.access_token." }),
  }),
  { default: [], says: "The WhatsApp business numbers that ponte answers for." },
);

const trunks = list(
  item({
    name: Type.String({ pattern: "^[a-z0-9_-]{1,40}$", description: "Name by which channels refer to it." }),
    kind: oneOf(["pbx", "pstn"], {
      default: "pbx",
      says: "What is behind it; pstn is refused because Meta's terms forbid PSTN on any leg of a WhatsApp call.",
    }),
    allow_pstn: flag({ default: false, says: "Overrides that refusal; read the legal note first." }),
    host: text({ says: "Address of the PBX." }),
    port: Type.Integer({ minimum: 1, maximum: 65_535, ...about({ default: 5060, says: "SIP port of the PBX." }) }),
    transport: oneOf(["udp", "tcp"], { default: "udp", says: "Transport towards the PBX." }),
    username: maybeText({ says: "User name for digest authentication." }),
    password: secret({ says: "Password for digest authentication." }),
    from_domain: maybeText({ says: "Host part of From; without it the PBX's address." }),
    caller_identity: oneOf(["from", "p-asserted-identity", "both", "none"], {
      default: "both",
      says: "Where the caller's number is shown to the PBX.",
    }),
    codecs: list(codec, { default: ["opus", "PCMU", "PCMA"], says: "Audio formats offered, in this order." }),
    latching: oneOf(["strict", "auto"], {
      default: "auto",
      says: "strict takes RTP only from the announced address; auto takes the first address that sends the agreed format.",
    }),
    options_interval_s: whole(0, 3_600, {
      default: 30,
      unit: "s",
      says: "How often the PBX is asked whether it is there; 0 never.",
    }),
  }),
  { default: [], says: "SIP peerings." },
);

const sip = section(
  {
    engine: Type.String({
      pattern: "^(embedded|drachtio://[^\\s/]+:\\d+)$",
      ...about({ default: "embedded", says: "embedded, or drachtio://host:port of a drachtio-server." }),
    }),
    secret: secret({ env: "DRACHTIO_SECRET", says: "Secret of the drachtio-server." }),
    bind_address: text({
      default: "127.0.0.1",
      says: "Address at which the embedded agent takes SIP; 0.0.0.0 is all of this machine's.",
    }),
    port: port({ default: 5060, says: "SIP port of the embedded agent, UDP and TCP; 0 takes a free one." }),
    public_address: maybeText({
      says: "Address that the embedded agent puts into Via and Contact where it is behind NAT.",
    }),
    peers: list(Type.String({ minLength: 1 }), {
      default: [],
      says: "Addresses or networks besides those of the trunks that the embedded agent takes requests from.",
    }),
  },
  "SIP.",
);

const media = section(
  {
    public_address: list(Type.String({ minLength: 1 }), {
      default: [],
      env: "PONTE_PUBLIC_ADDRESS",
      says: "Addresses that WhatsApp shall send to (one IPv4, one IPv6); needed behind 1:1 NAT.",
    }),
    bind_address: list(Type.String({ minLength: 1 }), {
      default: ["0.0.0.0"],
      says: "Local addresses of the public UDP port (one IPv4, one IPv6).",
    }),
    public_port: port({
      default: 10_000,
      says: "First public UDP port; each worker has one of its own. 0 takes free ones.",
    }),
    public_port_max: port({
      default: 10_999,
      says: "Last public UDP port; those behind the workers' are for calls that share a relay address with another call.",
    }),
    workers: whole(0, 64, { default: 0, says: "Media workers; 0 means one per core." }),
    sip_bind_address: text({
      default: "127.0.0.1",
      says: "Local address for RTP with the PBX; 0.0.0.0 is all of them.",
    }),
    sip_address: maybeText({
      says: "Address for RTP that the PBX is told; without it sip_bind_address, or, where that is 0.0.0.0 or ::, this machine's own in the network of the first trunk.",
    }),
    sip_port_min: port({ default: 20_000, says: "First RTP port towards the PBX (even)." }),
    sip_port_max: port({ default: 29_999, says: "Last RTP port towards the PBX." }),
    dead_after_ms: ms(5_000, 300_000, {
      default: 30_000,
      says: "A call from whose WhatsApp side nothing came for so long, and whose consent check fails, is ended.",
    }),
  },
  "Media.",
);

const database = section(
  {
    url: secret({ env: "DATABASE_URL", says: "Postgres to use; without it an embedded one is started." }),
    data_dir: maybeText({
      env: "PONTE_DATA_DIR",
      says: "Where the embedded Postgres keeps its data; ./data, or /var/lib/ponte as root.",
    }),
    secret_key: secret({
      env: "PONTE_SECRET_KEY",
      says: "Seals secrets of tenants in the database, at least 16 characters; without it they are stored in clear.",
    }),
    max_connections: whole(10, 200, {
      default: 28,
      unit: "connections",
      says: "Connections to Postgres that this daemon opens at most, all in all.",
    }),
  },
  "State.",
);

const wpp = section(
  {
    base_url: maybeText({
      env: "WPP_GATEWAY_BASE_URL",
      says: "Address of the WPP Gateway; without it WhatsApp messages go by the Cloud API only.",
    }),
    secret: secret({ env: "WPP_GATEWAY_SECRET", says: "What the gateway wants in X-Gateway-Secret." }),
    request_timeout_ms: ms(100, 120_000, { default: 10_000, says: "How long one request to the gateway may take." }),
    webhook_url: maybeText({
      says: "Address at which the gateway reaches ponte's HTTP port, such as https://ponte.example; without it that of http.",
    }),
    channels_per_tenant: whole(1, 100, {
      default: 1,
      unit: "channels",
      says: "Channels of the gateway that a tenant may connect; each but the first is connected with an id of its own.",
    }),
    webhook_secret_required: flag({
      default: true,
      says: "Refuses webhooks of the gateway that prove nothing; switch it off only where nobody else can reach the port.",
    }),
    defer_read: flag({
      default: false,
      says: "Answers a webhook with 2xx, by which many gateways mark a message as read, only when the message was worked off.",
    }),
  },
  "The WPP Gateway.",
);

const events = section(
  {
    ingestion_secret: secret({
      env: "EVENT_INGESTION_SECRET",
      says: "Lets internal systems post events without an API key, at least 16 characters.",
    }),
    concurrency: whole(1, 256, {
      default: 128,
      unit: "lanes",
      says: "Conversations that are worked on at once, for each kind of work.",
    }),
    keep_days: whole(1, 3_650, {
      default: 90,
      unit: "days",
      says: "How long events are kept, with their effects, deliveries and dead letters; what still has work to do stays, and so do messages. A repetition that comes later is taken for a new event.",
    }),
  },
  "The event router.",
);

const webhooks = section(
  {
    allow_private: flag({
      default: false,
      says: "Lets outgoing webhooks go to private and loopback addresses, which is how requests are forged.",
    }),
    timeout_ms: ms(100, 60_000, { default: 10_000, says: "How long the target of an outgoing webhook may take." }),
  },
  "Outgoing webhooks.",
);

const http = section(
  {
    host: text({ default: "127.0.0.1", env: "PONTE_HTTP_HOST", says: "Where the API and the webhooks are served." }),
    port: port({ default: 8080, env: "PONTE_HTTP_PORT", says: "HTTP port; 0 takes a free one." }),
    trusted_proxies: list(Type.String({ minLength: 1 }), {
      default: [],
      says: "Addresses or networks of reverse proxies whose X-Forwarded-For is believed.",
    }),
    api_key: secret({
      env: "PONTE_API_KEY",
      says: "An API key, at least 16 characters; without it one is made at the first start and shown once.",
    }),
  },
  "HTTP.",
);

const log = section(
  {
    level: oneOf(["trace", "debug", "info", "warn", "error"], {
      default: "info",
      env: "PONTE_LOG_LEVEL",
      says: "Least severe level that is written.",
    }),
    phone_numbers: oneOf(["masked", "full", "hidden"], { default: "masked", says: "How phone numbers appear." }),
    format: oneOf(["auto", "json", "pretty"], {
      default: "auto",
      says: "auto is pretty in a terminal and JSON elsewhere.",
    }),
  },
  "Logs.",
);

const sandbox = section(
  {
    host: text({ default: "127.0.0.1", env: "PONTE_SANDBOX_HOST", says: "Where the phone page is served." }),
    port: port({ default: 8081, env: "PONTE_SANDBOX_PORT", says: "Port of the phone page; 0 takes a free one." }),
  },
  "The sandbox: a simulated Meta, a demo PBX and a phone page. Used by `npm start` when there is no configuration file.",
);

export const schema = Type.Object(
  { calling, meta, channels, trunks, sip, media, wpp, events, webhooks, database, http, log, sandbox },
  { additionalProperties: false },
);

export type Config = Static<typeof schema>;
export type ChannelConfig = Config["channels"][number];
export type TrunkConfig = Config["trunks"][number];
