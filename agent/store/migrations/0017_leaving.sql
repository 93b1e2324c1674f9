-- A sender's limit holds in every second and for all its workers together, also when one of them was late and another
-- follows on time.

alter table sender_pace add column left_at timestamptz[] not null default '{}';
comment on column sender_pace.left_at is 'When the parts of the last second left or will leave, in order: one entry a part.';

create function sender_parts(part_takes interval) returns integer
    language sql immutable parallel safe
    return greatest(floor(1.05 / extract(epoch from part_takes))::integer, 1);
comment on function sender_parts is 'How many parts one second may hold: the sender''s pace and a twentieth.';

create function sender_takes(parts integer, part_takes interval) returns interval
    language sql immutable parallel safe
    return greatest(parts * part_takes,
                    interval '1.02 seconds' / greatest(sender_parts(part_takes) / greatest(parts, 1), 1));
comment on function sender_takes is 'How much of the line a message of so many parts fills, so that as many as fit in a second leave in one.';
