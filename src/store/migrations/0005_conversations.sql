-- The internal chat.

create table conversations (
  id              uuid primary key,
  tenant_id       uuid not null references tenants (id),
  channel         uuid not null references tenant_message_channels (id) on delete cascade,
  contact_id      uuid not null references contacts (id),
  state           text not null default 'open' check (state in ('open', 'closed')),
  unread          integer not null default 0 check (unread >= 0),
  assignee        text,
  last_at         timestamptz not null,
  last_direction  text,
  last_preview    text,
  -- The contact's last message: the 24 h window runs from it.
  last_inbound_at timestamptz,
  created_at      timestamptz not null default now(),
  unique (channel, contact_id)
);

create index conversations_newest on conversations (tenant_id, last_at desc, id desc);
create index conversations_unread on conversations (tenant_id, last_at desc, id desc) where unread > 0;
create index conversations_of_contact on conversations (contact_id);

create table messages (
  id                  uuid primary key,
  tenant_id           uuid not null references tenants (id),
  conversation_id     uuid not null references conversations (id) on delete cascade,
  channel             uuid not null,
  direction           text not null check (direction in ('in', 'out')),
  provider_message_id text collate "C",
  idem                text collate "C" unique,
  content             jsonb not null,
  state               text not null check (state in ('queued', 'sent', 'delivered', 'read', 'failed', 'received')),
  error_code          text,
  error_message       text,
  author              text,
  event_id            text collate "C",
  reply_to            text,
  at                  timestamptz not null,
  sent_at             timestamptz,
  delivered_at        timestamptz,
  read_at             timestamptz,
  check ((direction = 'in') = (state = 'received'))
);

create unique index messages_of_provider on messages (channel, provider_message_id) where provider_message_id is not null;
create index messages_newest on messages (conversation_id, at desc, id desc);
create index messages_of_event on messages (event_id) where event_id is not null;
