-- Which tenant a WhatsApp channel belongs to, and who the people are that write over it.

create table tenant_message_channels (
  id                 uuid primary key,
  tenant_id          uuid not null references tenants (id),
  provider           text not null check (provider in ('wpp_gateway', 'cloud_api')),
  -- The gateway's channel, or Meta's phone_number_id.
  channel_id         text not null check (length(channel_id) between 1 and 128),
  name               text,
  enabled            boolean not null default true,
  state              text not null check (state in ('new', 'connecting', 'qr', 'connected', 'disconnected')),
  -- Of the business, digits.
  phone              text,
  webhook_configured boolean not null default false,
  -- Sealed, see secret-box.ts.
  secret             bytea,
  metadata           jsonb not null default '{}',
  created_at         timestamptz not null default now(),
  updated_at         timestamptz not null default now(),
  -- A webhook names a channel and nothing else, so that two tenants cannot share one.
  unique (provider, channel_id)
);

create index tenant_message_channels_of_tenant on tenant_message_channels (tenant_id);

create table contacts (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  name       text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create index contacts_of_tenant on contacts (tenant_id);

create table contact_identities (
  tenant_id  uuid not null references tenants (id),
  kind       text not null check (kind in ('phone', 'lid', 'bsuid', 'group')),
  -- The form that stands for all equivalent ones.
  value      text not null check (length(value) between 1 and 256),
  -- The form that is sent to.
  address    text not null,
  contact_id uuid not null references contacts (id) on delete cascade,
  seen_at    timestamptz not null default now(),
  primary key (tenant_id, kind, value)
);

create index contact_identities_of_contact on contact_identities (contact_id);
