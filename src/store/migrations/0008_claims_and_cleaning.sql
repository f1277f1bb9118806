-- A claim goes from target to target and takes of each what there is room for.

create index q_lanes_due_of_target on q_lanes (pool, target, next_at) where next_at is not null;
drop index q_lanes_due;

-- What is forgotten is found by its age. Events and deliveries have ids that sort by time.

create index q_lanes_idle on q_lanes (touched_at) where next_at is null;
create index q_jobs_given_up on q_jobs (dead_at) where state = 'dead';
create index effects_of_nobody on effects (settled_at) where event_id is null;
