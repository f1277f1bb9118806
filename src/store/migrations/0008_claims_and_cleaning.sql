-- A claim goes from target to target and takes of each what there is room for.

create index q_lanes_due_of_target on q_lanes (pool, target, next_at) where next_at is not null;
drop index q_lanes_due;
