-- An ack that nobody knows waits only where a message is on its way whose id the provider has not told yet.
create index messages_on_their_way on messages (channel) where state = 'queued' and provider_message_id is null;
