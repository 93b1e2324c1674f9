-- name: store_inbound
-- Store what people sent, once by the provider's id; returned is what was new. Each that is no opt-out is work
-- for a person, in every portfolio that knows its number; one that nobody knows is work for whoever looks
-- after the installation. One statement, so that it needs no transaction around it.
with fresh as (
    insert into inbound (portfolio_id, channel, provider_id, sender_key, sender, recipient, body,
                         provider_reading, media, at, received_at, found_by, reading)
    select 0, w.channel, w.provider_id, w.sender_key, w.sender, w.recipient, w.body, w.provider_reading,
           w.media, w.at, :now, :found_by, w.reading
    from unnest(string_to_array(:channels, E'\x1f'), string_to_array(:providers, E'\x1f'), :keys::bytea[],
                :senders::bytea[], :recipients::text[], :bodies::bytea[], :provider_readings::text[],
                :media::smallint[], :ats::timestamptz[], string_to_array(:readings, E'\x1f'))
         as w (channel, provider_id, sender_key, sender, recipient, body, provider_reading, media, at, reading)
    order by w.channel, w.provider_id
    on conflict do nothing
    returning channel, provider_id, sender_key, reading
), owners as materialized (
    select f.channel, f.provider_id, p.id as portfolio_id,
           case when c.first = c.last then c.first end as borrower_id
    from fresh f
    cross join portfolio p
    -- by the whole key, whatever the statistics say of how many there are
    cross join lateral (
        select min(c.borrower_id) as first, max(c.borrower_id) as last from contact_point c
        where c.portfolio_id = p.id and c.channel = f.channel and c.address_key = f.sender_key
    ) c
    where f.reading = 'case' and p.id > 0 and c.first is not null
), opened as (
    insert into case_item (portfolio_id, kind, subject, borrower_id, detail, opened_at, due_at)
    select o.portfolio_id, 'reply', 'message ' || o.provider_id, o.borrower_id, '{}', :now,
           :now::timestamptz + interval '1 day'
    from (
        select portfolio_id, provider_id, borrower_id from owners
        union all
        select 0, f.provider_id, null from fresh f
        where f.reading = 'case'
          and not exists (select 1 from owners o
                          where o.channel = f.channel and o.provider_id = f.provider_id)
    ) o
    order by o.portfolio_id, o.provider_id
    on conflict do nothing
)
select channel, provider_id from fresh;

-- name: add_numbers_everywhere
-- Whoever opts out does so towards the sender, which all portfolios share: known there or not.
insert into number (portfolio_id, channel, address_key)
select p.id, w.channel, w.address_key
from portfolio p
cross join (select distinct * from unnest(:channels::text[], :keys::bytea[]) as u (channel, address_key)) w
where p.id > 0
order by p.id, w.channel, w.address_key
on conflict do nothing;

-- name: suppress_everywhere
-- An opt-out binds the number in every portfolio, in the transaction that stores the message.
with locked as materialized (
    select n.portfolio_id, n.channel, n.address_key from number n
    where (n.channel, n.address_key) in (select * from unnest(:channels::text[], :keys::bytea[]))
    order by n.portfolio_id, n.channel, n.address_key
    for update
), raised as (
    update number n set rev = n.rev + 1
    from locked l
    where n.portfolio_id = l.portfolio_id and n.channel = l.channel and n.address_key = l.address_key
    returning n.portfolio_id, n.channel, n.address_key, n.rev
)
insert into suppression (portfolio_id, channel, address_key, reason, stored_at, number_rev)
select r.portfolio_id, r.channel, r.address_key, :reason, :now, r.rev from raised r
where not exists (select 1 from suppression s
                  where s.portfolio_id = r.portfolio_id and s.channel = r.channel
                    and s.address_key = r.address_key and s.lifted_at is null);

-- name: inbound_mark
-- How far the list of this sender was read.
select listed_through from inbound_mark
where portfolio_id = 0 and channel = :channel and sender = :sender;

-- name: move_inbound_mark
-- A complete list was read up to here; the mark never goes back.
insert into inbound_mark (portfolio_id, channel, sender, listed_through)
values (0, :channel, :sender, :through)
on conflict (portfolio_id, channel, sender)
do update set listed_through = greatest(inbound_mark.listed_through, excluded.listed_through);

-- name: silent_attempts
-- Accepted long ago and nothing heard since: their callbacks may be lost, so the provider is asked.
with due as (
    select portfolio_id, token from attempt
    where portfolio_id = :portfolio and channel = :channel and state in ('accepted', 'sent')
      and settled_at between :oldest and :newest and provider_id is not null
      and (look_at is null or look_at < :now)
    order by settled_at limit :batch
)
update attempt a set look_at = :again
from due d
where a.portfolio_id = :portfolio and a.token = d.token
returning a.token, a.provider_id;

-- name: unknown_faults
-- Receipts that bring a fault and are new, with the attempt they are about.
select w.ord, a.contact_point_id, a.address_key, a.borrower_id, a.loan_id, a.template, a.channel, a.begun_at
from unnest(:channels::text[], :providers::text[], :statuses::text[], :tokens::text[])
     with ordinality as w (channel, provider_id, status, token, ord)
join attempt a on a.portfolio_id = :portfolio
     and a.token = coalesce(w.token, (select b.token from attempt b
                                      where b.portfolio_id = :portfolio and b.channel = w.channel
                                        and b.provider_id = w.provider_id limit 1))
where not exists (select 1 from receipt r
                  where r.portfolio_id = :portfolio and r.channel = w.channel
                    and r.provider_id = w.provider_id and r.status = w.status)
order by w.ord;

-- name: unretired_points
-- Contact points of these attempts of which one message proved or two messages said that the number is no good.
select a.contact_point_id
from unnest(:tokens::text[], :proven::boolean[]) as w (token, proven)
join attempt told on told.portfolio_id = :portfolio and told.token = w.token
join attempt a on a.portfolio_id = told.portfolio_id and a.borrower_id = told.borrower_id
             and a.contact_point_id = told.contact_point_id
join receipt r on r.portfolio_id = a.portfolio_id and r.channel = a.channel and r.provider_id = a.provider_id
where r.fault = 'number'
group by a.contact_point_id
having count(distinct r.provider_id) >= 2 or bool_or(w.proven);
