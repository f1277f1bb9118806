-- Messages that the business wrote itself have a type of their own, so that what answers messages does not answer them. They go on
-- going to the inbox, by a rule of their own.

create temporary table seeds on commit drop as
select gen_random_uuid() as id, t.id as tenant_id, jsonb_build_object(
  'name', 'Messages written on the phone go to the inbox', 'enabled', true, 'priority', 100,
  'event_type', 'whatsapp.outbound.message', 'actions', '[{"type":"inbox"}]'::jsonb, 'on_match', 'stop') as rule
from tenants t;

insert into routing_rules (id, tenant_id, name, enabled, priority, event_type, actions, on_match, updated_by)
select id, tenant_id, rule ->> 'name', true, 100, rule ->> 'event_type', rule -> 'actions', 'stop', 'ponte' from seeds;

insert into routing_rule_versions (rule_id, version, tenant_id, change, rule, by)
select id, 1, tenant_id, 'created', rule, 'ponte' from seeds;

update routing_rule_revisions set revision = revision + 1;
