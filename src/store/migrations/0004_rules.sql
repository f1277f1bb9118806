-- What happens to events, and who said so.

create table routing_rules (
  id         uuid primary key,
  tenant_id  uuid not null references tenants (id),
  name       text not null check (length(name) between 1 and 200),
  enabled    boolean not null default true,
  priority   integer not null default 100,
  event_type text not null check (length(event_type) between 1 and 128),
  provider   text check (provider in ('wpp_gateway', 'cloud_api')),
  channel_id text,
  condition  text check (length(condition) <= 4000),
  hours      jsonb,
  actions    jsonb not null check (jsonb_typeof(actions) = 'array' and jsonb_array_length(actions) between 1 and 20),
  on_match   text not null default 'stop' check (on_match in ('stop', 'continue')),
  version    integer not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  updated_by text not null
);

create index routing_rules_in_order on routing_rules (tenant_id, priority, created_at, id);

-- Every version of every rule, also of those that are gone.
create table routing_rule_versions (
  rule_id   uuid not null,
  version   integer not null,
  tenant_id uuid not null references tenants (id),
  change    text not null check (change in ('created', 'changed', 'deleted')),
  rule      jsonb not null,
  at        timestamptz not null default now(),
  by        text not null,
  primary key (rule_id, version)
);

create index routing_rule_versions_newest on routing_rule_versions (tenant_id, at desc);

-- Grows with every change of a tenant's rules, so that caches know when they are old.
create table routing_rule_revisions (
  tenant_id uuid primary key references tenants (id),
  revision  bigint not null
);

insert into routing_rules (id, tenant_id, name, enabled, priority, event_type, actions, on_match, updated_by)
select id::uuid, '00000000-0000-7000-8000-000000000001', name, enabled, 100, event_type, actions::jsonb, 'stop', 'ponte'
from (values
  ('00000000-0000-7000-8000-000000000101', 'Messages go to the inbox', true, 'whatsapp.inbound.message',
   '[{"type":"inbox"}]'),
  ('00000000-0000-7000-8000-000000000102', 'Overdue invoices are told to the customer', true, 'billing.invoice.overdue',
   '[{"type":"send_message","to":"{{payload.customer.phone}}","content":{"type":"text","text":"Olá, {{payload.customer.name}}! A fatura {{payload.invoice.id}} venceu em {{payload.invoice.due_date}}. Se já pagou, desconsidere esta mensagem."}}]'),
  ('00000000-0000-7000-8000-000000000103', 'Invoices that fall due are told to the customer', true, 'billing.invoice.pre_due',
   '[{"type":"send_message","to":"{{payload.customer.phone}}","content":{"type":"text","text":"Olá, {{payload.customer.name}}! A fatura {{payload.invoice.id}} vence em {{payload.invoice.due_date}}."}}]'),
  ('00000000-0000-7000-8000-000000000104', 'Payments of Asaas are written down', true, 'asaas.payment.*',
   '[{"type":"log"}]'),
  ('00000000-0000-7000-8000-000000000105', 'Missed calls are answered with a message', false, 'call.missed',
   '[{"type":"send_message","content":{"type":"text","text":"Vimos a sua ligação e não conseguimos atender. Como podemos ajudar?"}}]')
) as given (id, name, enabled, event_type, actions);

insert into routing_rule_versions (rule_id, version, tenant_id, change, rule, by)
select id, version, tenant_id, 'created', jsonb_strip_nulls(jsonb_build_object(
  'name', name, 'enabled', enabled, 'priority', priority, 'event_type', event_type, 'actions', actions, 'on_match', on_match)),
  'ponte'
from routing_rules;

insert into routing_rule_revisions (tenant_id, revision) select id, 1 from tenants;
