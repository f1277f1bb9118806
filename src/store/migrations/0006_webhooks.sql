-- Outgoing webhooks.

create table webhook_endpoints (
  id               uuid primary key,
  tenant_id        uuid not null references tenants (id),
  url              text not null check (length(url) between 1 and 2000),
  name             text,
  -- Event types with wildcards; empty: only where a rule asks for it.
  events           text[] not null default '{}',
  enabled          boolean not null default true,
  disabled_reason  text,
  allow_private    boolean not null default false,
  -- Sealed, see secret-box.ts; the old one also signs until its time.
  secret           bytea not null,
  old_secret       bytea,
  old_secret_until timestamptz,
  failing_since    timestamptz,
  created_at       timestamptz not null default now(),
  updated_at       timestamptz not null default now()
);

create index webhook_endpoints_of_tenant on webhook_endpoints (tenant_id, created_at);

create table deliveries (
  id          uuid primary key,
  -- The effect's key: one delivery for one effect.
  key         text collate "C" not null unique,
  tenant_id   uuid not null references tenants (id),
  -- No foreign key: the history outlives its endpoint.
  endpoint_id uuid not null,
  event_id    text collate "C" not null,
  effect_key  text collate "C",
  state       text not null default 'pending' check (state in ('pending', 'delivered', 'dead')),
  created_at  timestamptz not null default now(),
  next_at     timestamptz,
  settled_at  timestamptz
);

create index deliveries_newest on deliveries (tenant_id, id desc);
create index deliveries_of_endpoint on deliveries (endpoint_id, id desc);
create index deliveries_of_event on deliveries (event_id);
create index deliveries_dead on deliveries (tenant_id, id) where state = 'dead';

create table delivery_attempts (
  delivery_id uuid not null references deliveries (id) on delete cascade,
  n           integer not null,
  at          timestamptz not null,
  took_ms     integer not null,
  status      integer,
  error       text,
  response    text check (length(response) <= 4000),
  primary key (delivery_id, n)
);
