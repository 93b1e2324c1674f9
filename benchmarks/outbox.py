"""What the baselines of dispatch work on: one narrow table, the best that can be done.

A message's text stands there ready, its address readable: no rules, no rendering, no encryption, no
decision, no history. An index holds only what waits.
"""

import asyncpg

TABLE = """
create table outbox (
    id bigint primary key,
    address text not null,
    body text not null,
    status smallint not null default 0,
    send_at timestamptz not null,
    sid text
) with (fillfactor = 70);
create index outbox_due on outbox (send_at, id) where status = 0;
"""
FILL = """
insert into outbox (id, address, body, send_at)
select n, '+23480' || lpad(n::text, 8, '0'),
       'Sample Lender: your instalment of NGN 1,234.00 for loan loan-' || n
       || ' is due today. If you have paid, ignore this. Reply STOP to opt out.', 'epoch'
from generate_series(1, $1::int) n
"""
CLAIM = """
update outbox set status = 1
where id = any(array(select id from outbox where status = 0 and send_at <= $1
                     order by send_at, id for update skip locked limit $2))
returning id, address, body
"""
RECORD = """
update outbox o set status = 2, sid = w.sid
from unnest($1::bigint[], $2::text[]) as w (id, sid) where o.id = w.id
"""
WAITING = "select id, address, body from outbox where status = 0 order by id limit $1"
TAKE = "update outbox set status = 1 where id = $1 and status = 0 returning address, body"
ONE = "update outbox set status = 2, sid = $2 where id = $1"


async def make_outbox(url: str, messages: int) -> None:
    """The table, with this many messages waiting."""
    conn = await asyncpg.connect(url)
    try:
        await conn.execute(TABLE)
        await conn.execute(FILL, messages)
    finally:
        await conn.close()
