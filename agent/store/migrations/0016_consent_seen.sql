-- When we knew that a consent was taken back: what was begun after that had none.

alter table contact_evidence add column revoked_seen_at timestamptz;
comment on column contact_evidence.revoked_seen_at is 'When the word that takes the consent back was stored here; null where there is none.';
