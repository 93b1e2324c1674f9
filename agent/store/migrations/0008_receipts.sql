-- Receipts that came before the record of their message are looked for, and only those.

create index receipt_unmatched on receipt (portfolio_id, received_at) where effect = 'unmatched';
