-- A reply by a person is an effect without an event: it must not be sent twice either.

alter table effects alter column event_id drop not null;
