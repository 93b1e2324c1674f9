-- Duties that the law gives days for: each one that began has its case, once.

create table duty_begun (
    portfolio_id integer not null,
    borrower_id bigint not null,
    loan_ref text not null default '',
    rule text not null,
    began_on date not null,
    due_on date not null,
    opened_at timestamptz not null,
    primary key (portfolio_id, borrower_id, loan_ref, rule, began_on)
);
comment on table duty_begun is 'A deadline rule whose days run, or ran: its case was opened with this row.';
