-- Calls, their timelines, what Meta told us and was acknowledged, the nodes that work, and the keys of the API.
-- Written for Postgres 15 and later. Ids are made by the application (UUID version 7), so that no call waits for one.

create table tenants (
  id         uuid primary key,
  name       text not null unique,
  created_at timestamptz not null default now()
);

-- Whoever runs ponte for one company never needs to know that there are tenants.
insert into tenants (id, name) values ('00000000-0000-7000-8000-000000000001', 'default');

create table nodes (
  -- Drawn at each start: a daemon that comes back is another node.
  id         uuid primary key,
  host       text not null,
  pid        integer not null,
  version    text not null,
  -- The session advisory lock that the node holds while it lives.
  lock_key   bigint not null,
  started_at timestamptz not null default now(),
  seen_at    timestamptz not null default now()
);

create table whatsapp_calls (
  id               uuid primary key,
  -- Meta's id of the call; personal data.
  wacid            text not null unique check (length(wacid) between 1 and 512),
  tenant_id        uuid not null references tenants (id),
  -- Meta's phone_number_id.
  channel_id       text not null,
  direction        text not null default 'user_initiated' check (direction in ('user_initiated', 'business_initiated')),
  state            text not null check (state in
                     ('offered', 'preparing', 'pre_accepting', 'dialing', 'accepting', 'bridged', 'ended')),
  -- The end came before the offer: the row is there only to refuse the offer when it comes.
  tombstone        boolean not null default false,

  from_number      text,
  -- Business-scoped user id; a caller with a user name may have no number.
  from_user_id     text,
  username         text,
  profile_name     text,
  to_number        text,
  cta_payload      text,
  deeplink_payload text,

  handler          text,
  trunk            text,
  target           text,

  result           text,
  ended_by         text,
  cause            text,
  sip_status       integer,
  q850_cause       integer,
  graph_code       integer,
  detail           text,

  meta_timestamp   timestamptz,
  received_at      timestamptz not null,
  pre_accepted_at  timestamptz,
  answered_at      timestamptz,
  ended_at         timestamptz,

  -- What Meta's terminate webhook said.
  meta_status      text,
  meta_start_at    timestamptz,
  meta_end_at      timestamptz,
  meta_duration_s  integer,
  meta_error_code  integer,
  meta_error_title text,

  evidence         jsonb,
  media_stats      jsonb,
  timings          jsonb,

  -- Who holds the media. Every write of an owner names both; a take-over counts the epoch up.
  node_id          uuid not null,
  epoch            integer not null default 1,
  updated_at       timestamptz not null default now(),

  check ((state = 'ended') = (ended_at is not null)),
  check (not tombstone or state = 'ended')
);

create index whatsapp_calls_newest on whatsapp_calls (tenant_id, received_at desc, id desc);
create index whatsapp_calls_newest_of_channel on whatsapp_calls (channel_id, received_at desc, id desc);
-- Few rows at any time, asked for whenever a node may have died.
create index whatsapp_calls_alive on whatsapp_calls (node_id) where state <> 'ended';

create table whatsapp_call_events (
  call_id uuid not null references whatsapp_calls (id) on delete cascade,
  -- Microseconds since 1970, pushed forward where two would be equal: the order in which the node told them.
  seq     bigint not null,
  at      timestamptz not null,
  type    text not null,
  data    jsonb not null,
  primary key (call_id, seq)
);

create table webhook_inbox (
  id           uuid primary key,
  source       text not null,
  -- SHA-256 of source and body: the sender repeats a body byte for byte.
  digest       bytea not null unique,
  body         bytea not null,
  received_at  timestamptz not null,
  node_id      uuid not null,
  -- How many nodes have begun to work it off.
  attempts     integer not null default 1,
  processed_at timestamptz,
  error        text
);

create index webhook_inbox_open on webhook_inbox (id) where processed_at is null;
create index webhook_inbox_done on webhook_inbox (processed_at) where processed_at is not null;

create table api_keys (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  name       text not null,
  -- The part of the secret that may be shown.
  prefix     text not null,
  -- SHA-256 of the whole secret, which has 256 bits of chance: a slow hash would add nothing.
  hash       bytea not null unique,
  created_at timestamptz not null default now(),
  revoked_at timestamptz
);

-- Nodes that start at once make one first key.
create unique index api_keys_first on api_keys (name) where name = 'first' and revoked_at is null;
