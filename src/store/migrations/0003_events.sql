-- Everything that happened, and the work that follows from it. The hot tables have no foreign keys: each would lock the same row
-- of tenants for every insert, and what they refer to is never deleted before them.

create table communication_events (
  -- evt_ and a UUID of version 7: sorts by time.
  event_id         text collate "C" primary key check (event_id ~ '^evt_[0-9a-f-]{36}$'),
  trace_id         text not null check (trace_id ~ '^[0-9a-f]{32}$'),
  -- source_system:external_id:event_type
  idempotency_key  text collate "C" not null check (length(idempotency_key) <= 800),
  -- Null: it came over a channel that nobody has claimed.
  tenant_id        uuid,
  source_system    text not null,
  external_id      text not null,
  event_type       text collate "C" not null,
  payload          jsonb not null,
  payload_version  integer not null,
  raw              jsonb,
  -- SHA-256 of the payload with its keys in order: tells a repetition from another body under the same key.
  digest           bytea not null,
  provider         text,
  channel_id       text,
  conversation_key text not null,
  status           text not null default 'received'
                     check (status in ('received', 'routed', 'processed', 'failed', 'dead', 'ignored')),
  attempts         integer not null default 0,
  last_error       text,
  -- Effects that are planned and not settled; those that were given up.
  effects_open     integer not null default 0 check (effects_open >= 0),
  effects_dead     integer not null default 0 check (effects_dead >= 0),
  -- Replays that repeat what succeeded.
  repeats          integer not null default 0,
  conflicts        integer not null default 0,
  occurred_at      timestamptz not null,
  received_at      timestamptz not null,
  routed_at        timestamptz,
  settled_at       timestamptz,
  unique nulls not distinct (tenant_id, idempotency_key)
);

create index communication_events_newest on communication_events (tenant_id, event_id desc);
create index communication_events_of_type on communication_events (tenant_id, event_type, event_id desc);
create index communication_events_of_trace on communication_events (trace_id);
create index communication_events_of_conversation on communication_events (tenant_id, conversation_key, event_id desc);
-- Few: what a person or a replay looks for.
create index communication_events_unwell on communication_events (tenant_id, status, event_id desc)
  where status in ('failed', 'dead');
create index communication_events_parked on communication_events (provider, channel_id) where tenant_id is null;

-- Other bodies that came under the key of an event. They do nothing.
create table event_conflicts (
  event_id    text collate "C" not null references communication_events (event_id) on delete cascade,
  digest      bytea not null,
  payload     jsonb not null,
  raw         jsonb,
  received_at timestamptz not null,
  primary key (event_id, digest)
);

create sequence q_leases;

-- One row per lane: a conversation towards one target. Whoever holds its lease works off its jobs in order.
create table q_lanes (
  key        text collate "C" primary key,
  pool       text not null check (pool in ('route', 'send', 'deliver')),
  target     text not null,
  tenant_id  uuid not null,
  -- When there is something to do; while a lane is held, when its lease runs out; null: idle.
  next_at    timestamptz,
  -- Counts additions, so that a release sees that something was added behind its back.
  seq        bigint not null default 0,
  -- From q_leases at each claim: older holders are refused.
  lease      bigint not null default 0,
  locked_by  uuid,
  touched_at timestamptz not null default now()
) with (fillfactor = 70);

create index q_lanes_due on q_lanes (pool, next_at) where next_at is not null;
create index q_lanes_held on q_lanes (locked_by) where locked_by is not null;

-- What is done is deleted; what stands here is to be done, or was given up.
create table q_jobs (
  id         bigint generated always as identity primary key,
  lane       text collate "C" not null,
  pool       text not null,
  target     text not null,
  tenant_id  uuid not null,
  handler    text not null,
  payload    jsonb not null,
  event_id   text collate "C",
  idem       text collate "C",
  state      text not null default 'queued' check (state in ('queued', 'dead')),
  attempts   integer not null default 0,
  run_at     timestamptz not null default now(),
  last_error text,
  added_at   timestamptz not null default now(),
  dead_at    timestamptz
);

create index q_jobs_of_lane on q_jobs (lane, id) where state = 'queued';
create unique index q_jobs_once on q_jobs (idem) where idem is not null and state = 'queued';
create index q_jobs_dead on q_jobs (tenant_id, id) where state = 'dead';
create index q_jobs_of_event on q_jobs (event_id) where event_id is not null;

-- What rules did or will do; on the outside nothing is done twice because of this table.
create table effects (
  key          text collate "C" primary key,
  event_id     text collate "C" not null,
  rule_id      uuid,
  rule_version integer,
  step         text not null,
  kind         text not null,
  state        text not null check (state in ('planned', 'started', 'done', 'dead', 'unknown')),
  attempts     integer not null default 0,
  detail       jsonb not null default '{}',
  response     jsonb,
  error        text,
  planned_at   timestamptz not null default now(),
  started_at   timestamptz,
  settled_at   timestamptz
);

create index effects_of_event on effects (event_id);
