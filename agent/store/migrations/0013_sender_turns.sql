-- Portfolios that share a sender take turns in its line.

create table sender_turn (
    portfolio_id integer not null references portfolio (id),
    channel text not null,
    sender text not null,
    asked_at timestamptz not null,
    took_at timestamptz not null,
    primary key (portfolio_id, channel, sender)
) with (fillfactor = 50);
comment on table sender_turn is 'Which portfolios wait for a place in a sender''s line, and when each last took one: who waited longest is first.';
