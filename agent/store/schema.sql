-- Written by `make schema` from the migrations; do not edit.

CREATE FUNCTION public.attempt_rank(state text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$
    select case state
        when 'begun' then 0
        when 'unknown' then 1 when 'closed_unknown' then 1 when 'absent' then 1 when 'refused' then 1
        when 'accepted' then 2
        when 'sent' then 3
        else 4
    end
$$;

COMMENT ON FUNCTION public.attempt_rank(state text) IS 'Height of a state in the lattice that receipts move attempts up; the same as in domain/delivery.py.';

CREATE FUNCTION public.make_month_partition(parent text, month date) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
declare
    child text := format('%s_%s', parent, to_char(month, 'YYYY_MM'));
begin
    if to_regclass(child) is not null then
        return false;
    end if;
    execute format('create table %I partition of %I for values from (%L) to (%L)',
                   child, parent, month, (month + interval '1 month')::date);
    return true;
exception when check_violation then
    -- rows of that month lie in the default partition already: they are found there, only less tidily
    return false;
end $$;

COMMENT ON FUNCTION public.make_month_partition(parent text, month date) IS 'Time partition of one month; true if it was made now. Bounds are UTC midnights.';

CREATE FUNCTION public.sender_parts(part_takes interval) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN GREATEST((floor((1.05 / EXTRACT(epoch FROM part_takes))))::integer, 1);

COMMENT ON FUNCTION public.sender_parts(part_takes interval) IS 'How many parts one second may hold: the sender''s pace and a twentieth.';

CREATE FUNCTION public.sender_takes(parts integer, part_takes interval) RETURNS interval
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN GREATEST(((parts)::double precision * part_takes), ('00:00:01.02'::interval / (GREATEST((public.sender_parts(part_takes) / GREATEST(parts, 1)), 1))::double precision));

COMMENT ON FUNCTION public.sender_takes(parts integer, part_takes interval) IS 'How much of the line a message of so many parts fills, so that as many as fit in a second leave in one.';

CREATE TABLE public.attempt (
    portfolio_id integer NOT NULL,
    token text NOT NULL,
    loan_id bigint NOT NULL,
    anchor date NOT NULL,
    stage text NOT NULL,
    borrower_id bigint NOT NULL,
    contact_point_id bigint NOT NULL,
    channel text NOT NULL,
    address_key bytea NOT NULL,
    fence integer NOT NULL,
    state text NOT NULL,
    begun_at timestamp with time zone NOT NULL,
    deadline_at timestamp with time zone NOT NULL,
    person_rev bigint NOT NULL,
    number_rev bigint NOT NULL,
    portfolio_rev bigint NOT NULL,
    amount_minor bigint NOT NULL,
    currency text NOT NULL,
    template text NOT NULL,
    body bytea NOT NULL,
    provider_id text,
    code text,
    settled_at timestamp with time zone,
    look_at timestamp with time zone,
    clear_at timestamp with time zone,
    CONSTRAINT attempt_check CHECK ((deadline_at > begun_at)),
    CONSTRAINT attempt_check1 CHECK (((state = ANY (ARRAY['begun'::text, 'unknown'::text])) = (settled_at IS NULL))),
    CONSTRAINT attempt_state_check CHECK ((state = ANY (ARRAY['begun'::text, 'unknown'::text, 'accepted'::text, 'sent'::text, 'delivered'::text, 'undelivered'::text, 'failed'::text, 'refused'::text, 'absent'::text, 'closed_unknown'::text]))),
    CONSTRAINT attempt_token_check CHECK ((length(token) = 32))
)
WITH (fillfactor='50');

COMMENT ON TABLE public.attempt IS 'One try through one channel. Recent ones only: settled rows move to attempt_archive.';

COMMENT ON COLUMN public.attempt.clear_at IS 'When a complete provider list first showed nothing; absence needs two, a horizon apart.';

CREATE TABLE public.attempt_archive (
    portfolio_id integer CONSTRAINT attempt_portfolio_id_not_null NOT NULL,
    token text CONSTRAINT attempt_token_not_null NOT NULL,
    loan_id bigint CONSTRAINT attempt_loan_id_not_null NOT NULL,
    anchor date CONSTRAINT attempt_anchor_not_null NOT NULL,
    stage text CONSTRAINT attempt_stage_not_null NOT NULL,
    borrower_id bigint CONSTRAINT attempt_borrower_id_not_null NOT NULL,
    contact_point_id bigint CONSTRAINT attempt_contact_point_id_not_null NOT NULL,
    channel text CONSTRAINT attempt_channel_not_null NOT NULL,
    address_key bytea CONSTRAINT attempt_address_key_not_null NOT NULL,
    fence integer CONSTRAINT attempt_fence_not_null NOT NULL,
    state text CONSTRAINT attempt_state_not_null NOT NULL,
    begun_at timestamp with time zone CONSTRAINT attempt_begun_at_not_null NOT NULL,
    deadline_at timestamp with time zone CONSTRAINT attempt_deadline_at_not_null NOT NULL,
    person_rev bigint CONSTRAINT attempt_person_rev_not_null NOT NULL,
    number_rev bigint CONSTRAINT attempt_number_rev_not_null NOT NULL,
    portfolio_rev bigint CONSTRAINT attempt_portfolio_rev_not_null NOT NULL,
    amount_minor bigint CONSTRAINT attempt_amount_minor_not_null NOT NULL,
    currency text CONSTRAINT attempt_currency_not_null NOT NULL,
    template text CONSTRAINT attempt_template_not_null NOT NULL,
    body bytea CONSTRAINT attempt_body_not_null NOT NULL,
    provider_id text,
    code text,
    settled_at timestamp with time zone,
    look_at timestamp with time zone,
    clear_at timestamp with time zone
)
PARTITION BY RANGE (begun_at);

COMMENT ON COLUMN public.attempt_archive.clear_at IS 'When a complete provider list first showed nothing; absence needs two, a horizon apart.';

CREATE TABLE public.attempt_archive_default (
    portfolio_id integer CONSTRAINT attempt_portfolio_id_not_null NOT NULL,
    token text CONSTRAINT attempt_token_not_null NOT NULL,
    loan_id bigint CONSTRAINT attempt_loan_id_not_null NOT NULL,
    anchor date CONSTRAINT attempt_anchor_not_null NOT NULL,
    stage text CONSTRAINT attempt_stage_not_null NOT NULL,
    borrower_id bigint CONSTRAINT attempt_borrower_id_not_null NOT NULL,
    contact_point_id bigint CONSTRAINT attempt_contact_point_id_not_null NOT NULL,
    channel text CONSTRAINT attempt_channel_not_null NOT NULL,
    address_key bytea CONSTRAINT attempt_address_key_not_null NOT NULL,
    fence integer CONSTRAINT attempt_fence_not_null NOT NULL,
    state text CONSTRAINT attempt_state_not_null NOT NULL,
    begun_at timestamp with time zone CONSTRAINT attempt_begun_at_not_null NOT NULL,
    deadline_at timestamp with time zone CONSTRAINT attempt_deadline_at_not_null NOT NULL,
    person_rev bigint CONSTRAINT attempt_person_rev_not_null NOT NULL,
    number_rev bigint CONSTRAINT attempt_number_rev_not_null NOT NULL,
    portfolio_rev bigint CONSTRAINT attempt_portfolio_rev_not_null NOT NULL,
    amount_minor bigint CONSTRAINT attempt_amount_minor_not_null NOT NULL,
    currency text CONSTRAINT attempt_currency_not_null NOT NULL,
    template text CONSTRAINT attempt_template_not_null NOT NULL,
    body bytea CONSTRAINT attempt_body_not_null NOT NULL,
    provider_id text,
    code text,
    settled_at timestamp with time zone,
    look_at timestamp with time zone,
    clear_at timestamp with time zone
);

CREATE TABLE public.borrower (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    ref text NOT NULL,
    locale text NOT NULL,
    region text,
    zones text[] NOT NULL,
    rev bigint DEFAULT 0 NOT NULL,
    data_key bytea,
    personal bytea,
    told jsonb DEFAULT '{}'::jsonb NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    clues jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT borrower_clues_check CHECK ((jsonb_typeof(clues) = 'object'::text)),
    CONSTRAINT borrower_ref_check CHECK (((length(ref) >= 1) AND (length(ref) <= 200))),
    CONSTRAINT borrower_rev_check CHECK ((rev >= 0)),
    CONSTRAINT borrower_zones_check CHECK ((cardinality(zones) <= 100))
)
WITH (fillfactor='50');

COMMENT ON COLUMN public.borrower.region IS 'The places whose packs protect the person, joined by +; what the ledger named comes first.';

COMMENT ON COLUMN public.borrower.zones IS 'Every zone the person may be in; none where nobody knows: then nobody contacts them.';

COMMENT ON COLUMN public.borrower.rev IS 'Raised by every blocking fact and every begun attempt of this person.';

COMMENT ON COLUMN public.borrower.data_key IS 'Key of this person''s fields, wrapped by the master key; null after erasure.';

COMMENT ON COLUMN public.borrower.told IS 'Instant (epoch seconds) of the newest word on each field: an older one that comes late changes nothing.';

COMMENT ON COLUMN public.borrower.clues IS 'What was said of a place besides zones and region: state of the address, zone of the device, statement.';

CREATE SEQUENCE public.borrower_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 64;

CREATE TABLE public.calendar_version (
    portfolio_id integer DEFAULT 0 NOT NULL,
    id bigint NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    confirmed_years integer[] NOT NULL,
    reason text NOT NULL,
    stored_by text NOT NULL,
    stored_at timestamp with time zone NOT NULL,
    CONSTRAINT calendar_version_portfolio_id_check CHECK ((portfolio_id = 0)),
    CONSTRAINT calendar_version_reason_check CHECK ((reason <> ''::text))
);

COMMENT ON TABLE public.calendar_version IS 'Calendars as staff compared them with the official lists, for the whole installation; the newest of a name binds. Append only.';

ALTER TABLE public.calendar_version ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.calendar_version_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.case_item (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    kind text NOT NULL,
    subject text NOT NULL,
    loan_id bigint,
    borrower_id bigint,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    due_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    closed_by text,
    CONSTRAINT case_item_check CHECK (((closed_at IS NULL) = (closed_by IS NULL)))
);

COMMENT ON TABLE public.case_item IS 'A piece of work for a person. One open case per (kind, subject).';

ALTER TABLE public.case_item ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.case_item_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.confirmation (
    portfolio_id integer DEFAULT 0 NOT NULL,
    channel text NOT NULL,
    provider_id text NOT NULL,
    address_key bytea NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    rules text[] NOT NULL,
    packs text NOT NULL,
    state text NOT NULL,
    token text,
    body bytea,
    deadline_at timestamp with time zone,
    settled_at timestamp with time zone,
    sent_as text,
    CONSTRAINT confirmation_address_key_check CHECK ((length(address_key) = 16)),
    CONSTRAINT confirmation_check CHECK (((state = 'none'::text) = (token IS NULL))),
    CONSTRAINT confirmation_portfolio_id_check CHECK ((portfolio_id = 0)),
    CONSTRAINT confirmation_state_check CHECK ((state = ANY (ARRAY['none'::text, 'begun'::text, 'accepted'::text, 'refused'::text, 'unknown'::text])))
);

COMMENT ON TABLE public.confirmation IS 'The answer to an opt-out, or why there is none. It is sent once: what is not known to have arrived is not sent again.';

CREATE TABLE public.contact_evidence (
    portfolio_id integer NOT NULL,
    contact_point_id bigint NOT NULL,
    consent_source text,
    consent_at timestamp with time zone,
    given_to text,
    scopes text[] DEFAULT '{}'::text[] NOT NULL,
    revoked_at timestamp with time zone,
    consent_told_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    checked_at timestamp with time zone,
    revoked_seen_at timestamp with time zone,
    CONSTRAINT contact_evidence_check CHECK (((consent_source IS NOT NULL) OR ((given_to IS NULL) AND (revoked_at IS NULL) AND (scopes = '{}'::text[])))),
    CONSTRAINT contact_evidence_given_to_check CHECK ((given_to = ANY (ARRAY['lender'::text, 'collector'::text]))),
    CONSTRAINT contact_evidence_scopes_check CHECK ((scopes <@ '{service,commercial}'::text[]))
);

COMMENT ON TABLE public.contact_evidence IS 'More than contact_point knows of a consent: to whom, for what, and whether it was taken back.';

COMMENT ON COLUMN public.contact_evidence.checked_at IS 'When somebody last made sure that the number still is this person''s.';

COMMENT ON COLUMN public.contact_evidence.revoked_seen_at IS 'When the word that takes the consent back was stored here; null where there is none.';

CREATE TABLE public.contact_point (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    borrower_id bigint NOT NULL,
    channel text NOT NULL,
    provider text,
    address bytea NOT NULL,
    address_key bytea NOT NULL,
    status text NOT NULL,
    consent_source text,
    consent_at timestamp with time zone,
    told_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    number_block text,
    CONSTRAINT contact_point_status_check CHECK ((status = ANY (ARRAY['active'::text, 'wrong_number'::text, 'disconnected'::text, 'withdrawn'::text])))
);

COMMENT ON COLUMN public.contact_point.number_block IS 'First digits of a number, the others zero: what it tells of a place, and not whose it is.';

CREATE SEQUENCE public.contact_point_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 64;

CREATE TABLE public.decision (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    loan_id bigint NOT NULL,
    anchor date NOT NULL,
    stage text NOT NULL,
    decided_at timestamp with time zone NOT NULL,
    verdict text NOT NULL,
    until_at timestamp with time zone,
    rules text[] NOT NULL,
    facts_hash bytea NOT NULL,
    packs text NOT NULL,
    zone text NOT NULL,
    person_rev bigint NOT NULL,
    CONSTRAINT decision_check CHECK (((verdict = 'snooze'::text) = (until_at IS NOT NULL))),
    CONSTRAINT decision_check1 CHECK (((verdict = 'send'::text) OR (cardinality(rules) > 0))),
    CONSTRAINT decision_facts_hash_check CHECK ((length(facts_hash) = 32)),
    CONSTRAINT decision_verdict_check CHECK ((verdict = ANY (ARRAY['send'::text, 'snooze'::text, 'cancel'::text])))
)
PARTITION BY RANGE (decided_at);

COMMENT ON TABLE public.decision IS 'What the gate answered, with every rule that failed. Append only: the history of a notice.';

CREATE TABLE public.decision_default (
    portfolio_id integer CONSTRAINT decision_portfolio_id_not_null NOT NULL,
    id bigint CONSTRAINT decision_id_not_null NOT NULL,
    loan_id bigint CONSTRAINT decision_loan_id_not_null NOT NULL,
    anchor date CONSTRAINT decision_anchor_not_null NOT NULL,
    stage text CONSTRAINT decision_stage_not_null NOT NULL,
    decided_at timestamp with time zone CONSTRAINT decision_decided_at_not_null NOT NULL,
    verdict text CONSTRAINT decision_verdict_not_null NOT NULL,
    until_at timestamp with time zone,
    rules text[] CONSTRAINT decision_rules_not_null NOT NULL,
    facts_hash bytea CONSTRAINT decision_facts_hash_not_null NOT NULL,
    packs text CONSTRAINT decision_packs_not_null NOT NULL,
    zone text CONSTRAINT decision_zone_not_null NOT NULL,
    person_rev bigint CONSTRAINT decision_person_rev_not_null NOT NULL,
    CONSTRAINT decision_check CHECK (((verdict = 'snooze'::text) = (until_at IS NOT NULL))),
    CONSTRAINT decision_check1 CHECK (((verdict = 'send'::text) OR (cardinality(rules) > 0))),
    CONSTRAINT decision_facts_hash_check CHECK ((length(facts_hash) = 32)),
    CONSTRAINT decision_verdict_check CHECK ((verdict = ANY (ARRAY['send'::text, 'snooze'::text, 'cancel'::text])))
);

ALTER TABLE public.decision ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.decision_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.duty_begun (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    loan_ref text DEFAULT ''::text NOT NULL,
    rule text NOT NULL,
    began_on date NOT NULL,
    due_on date NOT NULL,
    opened_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.duty_begun IS 'A deadline rule whose days run, or ran: its case was opened with this row.';

CREATE TABLE public.erasure (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    erased_at timestamp with time zone NOT NULL,
    rules text[] NOT NULL,
    packs text NOT NULL,
    kept_through date,
    delete_by date,
    erased jsonb NOT NULL
);

COMMENT ON TABLE public.erasure IS 'What was erased of a person, and by which rules their time was over. Append only.';

CREATE TABLE public.hold (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    reason text NOT NULL,
    scope text NOT NULL,
    borrower_id bigint,
    loan_id bigint,
    channel text,
    address_key bytea,
    from_at timestamp with time zone NOT NULL,
    until_at timestamp with time zone,
    placed_by text NOT NULL,
    placed_rev bigint NOT NULL,
    lifted_at timestamp with time zone,
    lifted_rev bigint,
    CONSTRAINT hold_check CHECK (((until_at IS NULL) OR (until_at > from_at))),
    CONSTRAINT hold_check1 CHECK (((lifted_at IS NULL) = (lifted_rev IS NULL))),
    CONSTRAINT hold_check2 CHECK (((scope <> 'loan'::text) OR (loan_id IS NOT NULL))),
    CONSTRAINT hold_check3 CHECK (((scope = 'number'::text) OR (borrower_id IS NOT NULL))),
    CONSTRAINT hold_check4 CHECK (((scope <> 'number'::text) OR ((channel IS NOT NULL) AND (address_key IS NOT NULL)))),
    CONSTRAINT hold_check5 CHECK (((scope <> 'channel'::text) OR (channel IS NOT NULL))),
    CONSTRAINT hold_scope_check CHECK ((scope = ANY (ARRAY['person'::text, 'loan'::text, 'number'::text, 'channel'::text])))
);

ALTER TABLE public.hold ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.hold_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.inbound (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    provider_id text NOT NULL,
    sender_key bytea NOT NULL,
    sender bytea NOT NULL,
    recipient text NOT NULL,
    body bytea NOT NULL,
    provider_reading text,
    media smallint DEFAULT 0 NOT NULL,
    at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    found_by text NOT NULL,
    reading text NOT NULL,
    CONSTRAINT inbound_channel_check CHECK ((channel = ANY (ARRAY['sms'::text, 'push'::text]))),
    CONSTRAINT inbound_found_by_check CHECK ((found_by = ANY (ARRAY['webhook'::text, 'list'::text]))),
    CONSTRAINT inbound_media_check CHECK ((media >= 0)),
    CONSTRAINT inbound_provider_id_check CHECK (((length(provider_id) >= 1) AND (length(provider_id) <= 64))),
    CONSTRAINT inbound_reading_check CHECK ((reading = ANY (ARRAY['opt_out'::text, 'case'::text]))),
    CONSTRAINT inbound_sender_key_check CHECK ((length(sender_key) = 16))
);

COMMENT ON TABLE public.inbound IS 'Every message sent to us, once by the provider''s id, committed before the webhook is answered.';

COMMENT ON COLUMN public.inbound.sender IS 'Encrypted, like the body; sender_key is its blind index.';

COMMENT ON COLUMN public.inbound.reading IS 'opt_out: a suppression of the number was stored in the same transaction; case: a person reads it.';

CREATE TABLE public.inbound_mark (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    sender text NOT NULL,
    listed_through timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.inbound_mark IS 'How far the provider''s list of inbound messages was read completely.';

CREATE TABLE public.instalment (
    portfolio_id integer NOT NULL,
    loan_id bigint NOT NULL,
    number integer NOT NULL,
    kind text NOT NULL,
    due_on date NOT NULL,
    amount_minor bigint NOT NULL,
    CONSTRAINT instalment_amount_minor_check CHECK ((amount_minor > 0)),
    CONSTRAINT instalment_kind_check CHECK ((kind = ANY (ARRAY['instalment'::text, 'fee'::text])))
);

CREATE SEQUENCE public.intake_step_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

CREATE TABLE public.ledger_event (
    portfolio_id integer NOT NULL,
    id text NOT NULL,
    source text NOT NULL,
    type text NOT NULL,
    subject text NOT NULL,
    at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    step bigint NOT NULL,
    "position" integer NOT NULL,
    state text NOT NULL,
    reason text,
    sha256 bytea NOT NULL,
    data jsonb NOT NULL,
    personal bytea,
    CONSTRAINT ledger_event_check CHECK (((state = 'rejected'::text) = (reason IS NOT NULL))),
    CONSTRAINT ledger_event_state_check CHECK ((state = ANY (ARRAY['applied'::text, 'rejected'::text])))
);

COMMENT ON TABLE public.ledger_event IS 'Every fact the ledger told us, once by id, applied or rejected with its reason.';

COMMENT ON COLUMN public.ledger_event.step IS 'Intake transaction; (received_at, step, position) is the order of application.';

COMMENT ON COLUMN public.ledger_event.personal IS 'The personal part of the body, encrypted; data never holds it.';

CREATE TABLE public.loan (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    ref text NOT NULL,
    borrower_id bigint NOT NULL,
    product text,
    currency text NOT NULL,
    zone text NOT NULL,
    opened_at timestamp with time zone NOT NULL,
    principal_minor bigint,
    status text NOT NULL,
    anchor date,
    anchor_since timestamp with time zone NOT NULL,
    balance_minor bigint NOT NULL,
    paid_minor bigint NOT NULL,
    bucket smallint DEFAULT 0 NOT NULL,
    next_bucket_at timestamp with time zone,
    worst_dpd_floor integer DEFAULT 0 NOT NULL,
    rescheduled_at timestamp with time zone,
    closed_at timestamp with time zone,
    close_reason text,
    held_until timestamp with time zone,
    contact_ended_at timestamp with time zone,
    outcome_seq integer DEFAULT 0 NOT NULL,
    CONSTRAINT loan_bucket_check CHECK ((bucket >= 0)),
    CONSTRAINT loan_check CHECK (((status <> 'open'::text) OR (anchor IS NOT NULL))),
    CONSTRAINT loan_check1 CHECK (((status = 'open'::text) OR (next_bucket_at IS NULL))),
    CONSTRAINT loan_check2 CHECK (((closed_at IS NULL) = (close_reason IS NULL))),
    CONSTRAINT loan_currency_check CHECK ((currency ~ '^[A-Z]{3}$'::text)),
    CONSTRAINT loan_outcome_seq_check CHECK ((outcome_seq >= 0)),
    CONSTRAINT loan_paid_minor_check CHECK ((paid_minor >= 0)),
    CONSTRAINT loan_ref_check CHECK (((length(ref) >= 1) AND (length(ref) <= 200))),
    CONSTRAINT loan_status_check CHECK ((status = ANY (ARRAY['open'::text, 'paid'::text, 'closed'::text]))),
    CONSTRAINT loan_worst_dpd_floor_check CHECK ((worst_dpd_floor >= 0))
);

COMMENT ON COLUMN public.loan.anchor IS 'Due date of the oldest unpaid instalment.';

COMMENT ON COLUMN public.loan.anchor_since IS 'Instant from which this anchor counts: entry, a moved anchor, a lifted hold.';

COMMENT ON COLUMN public.loan.bucket IS 'Index of the DPD bucket that outcomes have announced; 0 is current.';

COMMENT ON COLUMN public.loan.next_bucket_at IS 'Local midnight at which the next bucket begins.';

COMMENT ON COLUMN public.loan.held_until IS 'Derived from whole-loan and person holds, infinity when open-ended.';

CREATE SEQUENCE public.loan_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 64;

CREATE TABLE public.notice (
    portfolio_id integer NOT NULL,
    loan_id bigint NOT NULL,
    anchor date NOT NULL,
    stage text NOT NULL,
    borrower_id bigint NOT NULL,
    schedule_version integer NOT NULL,
    due_at timestamp with time zone NOT NULL,
    not_after timestamp with time zone NOT NULL,
    next_at timestamp with time zone NOT NULL,
    state text DEFAULT 'waiting'::text NOT NULL,
    reason text,
    route smallint DEFAULT 0 NOT NULL,
    fence integer DEFAULT 0 NOT NULL,
    strandings smallint DEFAULT 0 NOT NULL,
    planned_at timestamp with time zone NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT notice_check CHECK (((closed_at IS NULL) = (state = ANY (ARRAY['waiting'::text, 'sending'::text, 'awaiting_receipt'::text])))),
    CONSTRAINT notice_check1 CHECK (((reason IS NOT NULL) = (state = ANY (ARRAY['cancelled'::text, 'failed'::text])))),
    CONSTRAINT notice_check2 CHECK ((not_after >= due_at)),
    CONSTRAINT notice_fence_check CHECK ((fence >= 0)),
    CONSTRAINT notice_route_check CHECK ((route >= 0)),
    CONSTRAINT notice_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'sending'::text, 'awaiting_receipt'::text, 'sent'::text, 'done'::text, 'cancelled'::text, 'failed'::text]))),
    CONSTRAINT notice_strandings_check CHECK ((strandings >= 0))
)
PARTITION BY RANGE (anchor);

COMMENT ON TABLE public.notice IS 'One planned contact: (loan, anchor, stage) is unique, for ever.';

COMMENT ON COLUMN public.notice.route IS 'Index into the stage''s channels that the next attempt uses.';

COMMENT ON COLUMN public.notice.strandings IS 'Attempts that ended in a crash; the third makes a case.';

CREATE TABLE public.notice_default (
    portfolio_id integer CONSTRAINT notice_portfolio_id_not_null NOT NULL,
    loan_id bigint CONSTRAINT notice_loan_id_not_null NOT NULL,
    anchor date CONSTRAINT notice_anchor_not_null NOT NULL,
    stage text CONSTRAINT notice_stage_not_null NOT NULL,
    borrower_id bigint CONSTRAINT notice_borrower_id_not_null NOT NULL,
    schedule_version integer CONSTRAINT notice_schedule_version_not_null NOT NULL,
    due_at timestamp with time zone CONSTRAINT notice_due_at_not_null NOT NULL,
    not_after timestamp with time zone CONSTRAINT notice_not_after_not_null NOT NULL,
    next_at timestamp with time zone CONSTRAINT notice_next_at_not_null NOT NULL,
    state text DEFAULT 'waiting'::text CONSTRAINT notice_state_not_null NOT NULL,
    reason text,
    route smallint DEFAULT 0 CONSTRAINT notice_route_not_null NOT NULL,
    fence integer DEFAULT 0 CONSTRAINT notice_fence_not_null NOT NULL,
    strandings smallint DEFAULT 0 CONSTRAINT notice_strandings_not_null NOT NULL,
    planned_at timestamp with time zone CONSTRAINT notice_planned_at_not_null NOT NULL,
    closed_at timestamp with time zone,
    CONSTRAINT notice_check CHECK (((closed_at IS NULL) = (state = ANY (ARRAY['waiting'::text, 'sending'::text, 'awaiting_receipt'::text])))),
    CONSTRAINT notice_check1 CHECK (((reason IS NOT NULL) = (state = ANY (ARRAY['cancelled'::text, 'failed'::text])))),
    CONSTRAINT notice_check2 CHECK ((not_after >= due_at)),
    CONSTRAINT notice_fence_check CHECK ((fence >= 0)),
    CONSTRAINT notice_route_check CHECK ((route >= 0)),
    CONSTRAINT notice_state_check CHECK ((state = ANY (ARRAY['waiting'::text, 'sending'::text, 'awaiting_receipt'::text, 'sent'::text, 'done'::text, 'cancelled'::text, 'failed'::text]))),
    CONSTRAINT notice_strandings_check CHECK ((strandings >= 0))
);

CREATE TABLE public.notice_given (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    loan_id bigint NOT NULL,
    anchor date NOT NULL,
    before text NOT NULL,
    given_on date NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    recorded_by text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT notice_given_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT notice_given_recorded_by_check CHECK ((recorded_by <> ''::text))
);

COMMENT ON TABLE public.notice_given IS 'A notice that staff gave by other means: a letter, a call. Counts like one that Duly sent.';

ALTER TABLE public.notice_given ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.notice_given_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.number (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    address_key bytea NOT NULL,
    rev bigint DEFAULT 0 NOT NULL,
    CONSTRAINT number_address_key_check CHECK ((length(address_key) = 16)),
    CONSTRAINT number_channel_check CHECK ((channel = ANY (ARRAY['sms'::text, 'push'::text]))),
    CONSTRAINT number_rev_check CHECK ((rev >= 0))
)
WITH (fillfactor='80');

COMMENT ON TABLE public.number IS 'One address on one channel, by blind index: several people may share it.';

CREATE TABLE public.outcome (
    portfolio_id integer NOT NULL,
    loan_id bigint NOT NULL,
    seq integer NOT NULL,
    type text NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    data jsonb NOT NULL,
    bucket smallint,
    corrects integer,
    tries integer DEFAULT 0 NOT NULL,
    next_try_at timestamp with time zone NOT NULL,
    lease_until timestamp with time zone,
    stuck_reason text,
    acked_at timestamp with time zone,
    held_by text[],
    let_go_at timestamp with time zone,
    withheld_at timestamp with time zone,
    CONSTRAINT outcome_check CHECK (((type = 'outcome.retracted'::text) = (corrects IS NOT NULL))),
    CONSTRAINT outcome_check1 CHECK (((corrects IS NULL) OR (corrects < seq))),
    CONSTRAINT outcome_seq_check CHECK ((seq > 0))
);

COMMENT ON TABLE public.outcome IS 'Facts for the credit ledger, gapless per loan, done only when acknowledged.';

COMMENT ON COLUMN public.outcome.held_by IS 'Rules that kept it from leaving when it was last looked at; null once they let it go.';

COMMENT ON COLUMN public.outcome.let_go_at IS 'Nothing held it back any more. From then on it may have left, so it is not asked about again.';

COMMENT ON COLUMN public.outcome.withheld_at IS 'It was taken back before it could leave: the ledger gets its number, not what it said.';

CREATE TABLE public.pause (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    scope text NOT NULL,
    subject text DEFAULT ''::text NOT NULL,
    reason text NOT NULL,
    paused_by text NOT NULL,
    paused_at timestamp with time zone NOT NULL,
    paused_rev bigint NOT NULL,
    resumed_at timestamp with time zone,
    resumed_by text,
    resumed_rev bigint,
    resume_reason text,
    CONSTRAINT pause_check CHECK (((resumed_at IS NULL) = (resumed_rev IS NULL))),
    CONSTRAINT pause_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT pause_scope_check CHECK ((scope = ANY (ARRAY['all'::text, 'portfolio'::text, 'channel'::text, 'stage'::text, 'loan'::text, 'person'::text, 'template'::text])))
);

COMMENT ON TABLE public.pause IS 'Kill switches. Each one raises portfolio.rev in its own transaction.';

ALTER TABLE public.pause ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.pause_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.payment (
    portfolio_id integer NOT NULL,
    loan_id bigint NOT NULL,
    ref text NOT NULL,
    amount_minor bigint NOT NULL,
    paid_at timestamp with time zone NOT NULL,
    known_at timestamp with time zone NOT NULL,
    reversed_at timestamp with time zone,
    CONSTRAINT payment_amount_minor_check CHECK ((amount_minor > 0))
);

COMMENT ON COLUMN public.payment.paid_at IS 'Value date as an instant; known_at is when we learned of it.';

CREATE TABLE public.place_before (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    rev bigint NOT NULL,
    until_at timestamp with time zone NOT NULL,
    zones text[] NOT NULL,
    region text
);

COMMENT ON TABLE public.place_before IS 'Where a person was thought to be before the change that raised their rev to this one: what decisions then went by.';

CREATE TABLE public.plan_mark (
    portfolio_id integer NOT NULL,
    schedule_version integer NOT NULL,
    planned_at timestamp with time zone NOT NULL,
    planned_through timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.plan_mark IS 'How far planning has come: what lies before it is only planned again for loans that changed.';

CREATE TABLE public.portfolio (
    id integer NOT NULL,
    name text NOT NULL,
    lender text NOT NULL,
    zone text NOT NULL,
    locale text NOT NULL,
    packs text[] DEFAULT '{house}'::text[] NOT NULL,
    rev bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone NOT NULL,
    role text,
    texts text DEFAULT ''::text NOT NULL,
    country text,
    CONSTRAINT portfolio_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT portfolio_name_check CHECK ((name ~ '^[A-Za-z0-9(][A-Za-z0-9._)-]{0,62}$'::text)),
    CONSTRAINT portfolio_role_check CHECK ((role = ANY (ARRAY['first_party'::text, 'third_party'::text])))
);

COMMENT ON TABLE public.portfolio IS 'One lender''s product line. Row 0 holds events whose portfolio is not known yet.';

COMMENT ON COLUMN public.portfolio.role IS 'Who collects: the lender its own debt, or somebody for others. Null: not known, so every rule binds.';

COMMENT ON COLUMN public.portfolio.texts IS 'Names the set of own texts in force, from what they say; empty while all are the shipped ones. Each begin reads it.';

COMMENT ON COLUMN public.portfolio.country IS 'Where people are of whom nothing tells, in the lender''s own words; null: nobody knows, and they are held.';

ALTER TABLE public.portfolio ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.portfolio_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.portfolio_rules (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    role text,
    packs text[] NOT NULL,
    reason text NOT NULL,
    chosen_by text NOT NULL,
    chosen_at timestamp with time zone NOT NULL,
    portfolio_rev bigint NOT NULL,
    country text,
    CONSTRAINT portfolio_rules_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT portfolio_rules_packs_check CHECK ((cardinality(packs) > 0)),
    CONSTRAINT portfolio_rules_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT portfolio_rules_role_check CHECK ((role = ANY (ARRAY['first_party'::text, 'third_party'::text])))
);

COMMENT ON TABLE public.portfolio_rules IS 'Every choice of role, packs and country for a portfolio; the newest is what portfolio says. Append only.';

ALTER TABLE public.portfolio_rules ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.portfolio_rules_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.preference (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    quiet jsonb DEFAULT '[]'::jsonb NOT NULL,
    quiet_told_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    waivers jsonb DEFAULT '[]'::jsonb NOT NULL,
    waivers_told_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    CONSTRAINT preference_quiet_check CHECK ((jsonb_typeof(quiet) = 'array'::text)),
    CONSTRAINT preference_waivers_check CHECK ((jsonb_typeof(waivers) = 'array'::text))
);

COMMENT ON TABLE public.preference IS 'What a person asked for: hours without contact, and rules that they waived. The newest word on each counts.';

COMMENT ON COLUMN public.preference.quiet IS '[[weekdays 0-6 on which it begins], first minute of the day, last minute of the day] each.';

COMMENT ON COLUMN public.preference.waivers IS '[what is waived, whom the consent was given to, instant] each.';

CREATE TABLE public.receipt (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    provider_id text NOT NULL,
    status text NOT NULL,
    token text,
    code text,
    at timestamp with time zone NOT NULL,
    received_at timestamp with time zone NOT NULL,
    effect text NOT NULL,
    fault text,
    CONSTRAINT receipt_effect_check CHECK ((effect = ANY (ARRAY['moved'::text, 'behind'::text, 'contradiction'::text, 'unmatched'::text]))),
    CONSTRAINT receipt_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'sent'::text, 'delivered'::text, 'undelivered'::text, 'failed'::text])))
);

COMMENT ON TABLE public.receipt IS 'What a provider said of an attempt, once by (message, status): the history of the attempt.';

COMMENT ON COLUMN public.receipt.fault IS 'What its error code is about, as the channel''s own table says.';

CREATE TABLE public.registered_text (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    country text NOT NULL,
    message text NOT NULL,
    locale text NOT NULL,
    template_id text,
    reason text NOT NULL,
    registered_by text NOT NULL,
    registered_at timestamp with time zone NOT NULL,
    CONSTRAINT registered_text_country_check CHECK ((country ~ '^[A-Z]{2}$'::text)),
    CONSTRAINT registered_text_reason_check CHECK ((reason <> ''::text)),
    CONSTRAINT registered_text_template_id_check CHECK ((template_id <> ''::text))
);

COMMENT ON TABLE public.registered_text IS 'The ids under which a country''s gateways know a lender''s texts; the newest counts, null takes it back. Append only.';

ALTER TABLE public.registered_text ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.registered_text_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.rejected_line (
    portfolio_id integer NOT NULL,
    sha256 bytea NOT NULL,
    origin text NOT NULL,
    line bigint NOT NULL,
    reason text NOT NULL,
    body bytea NOT NULL,
    received_at timestamp with time zone NOT NULL
);

COMMENT ON TABLE public.rejected_line IS 'Input that is not an event at all; the body is encrypted, it may hold anything.';

CREATE TABLE public.retention (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    looked_at timestamp with time zone NOT NULL,
    look_at timestamp with time zone NOT NULL,
    reason text NOT NULL,
    kept_through date,
    delete_by date,
    rules text[] NOT NULL
);

COMMENT ON TABLE public.retention IS 'Why a person''s data is still kept, as of the last look, and when it is looked at again.';

CREATE TABLE public.schedule_version (
    portfolio_id integer NOT NULL,
    version integer NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    sha256 text NOT NULL,
    active_from timestamp with time zone NOT NULL,
    author text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT schedule_version_version_check CHECK ((version > 0))
);

COMMENT ON COLUMN public.schedule_version.source IS 'The TOML text as its author wrote it; compiled on load.';

CREATE TABLE public.schema_migration (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone NOT NULL
);

CREATE TABLE public.sender_act (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    channel text NOT NULL,
    sender text NOT NULL,
    country text NOT NULL,
    act text NOT NULL,
    part_takes interval,
    reason text NOT NULL,
    acted_by text NOT NULL,
    at timestamp with time zone NOT NULL,
    changed boolean NOT NULL,
    CONSTRAINT sender_act_act_check CHECK ((act = ANY (ARRAY['open'::text, 'close'::text, 'half-open'::text, 'pace'::text]))),
    CONSTRAINT sender_act_country_check CHECK ((country ~ '^([A-Z]{2}|\*)$'::text)),
    CONSTRAINT sender_act_reason_check CHECK ((reason <> ''::text))
);

COMMENT ON TABLE public.sender_act IS 'What staff did to a sender''s breaker or pace, and why; nothing is taken out.';

ALTER TABLE public.sender_act ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sender_act_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.sender_halt (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    channel text NOT NULL,
    sender text NOT NULL,
    country text NOT NULL,
    code text NOT NULL,
    strikes smallint DEFAULT 0 NOT NULL,
    halted_at timestamp with time zone NOT NULL,
    probe_at timestamp with time zone,
    closed_at timestamp with time zone,
    closed_by text,
    proof text DEFAULT 'answer'::text NOT NULL,
    probe_lane integer,
    probe_token text,
    reason text,
    opened_by text,
    CONSTRAINT sender_halt_check CHECK (((closed_at IS NULL) = (closed_by IS NULL))),
    CONSTRAINT sender_halt_country_check CHECK ((country ~ '^([A-Z]{2}|\*)$'::text)),
    CONSTRAINT sender_halt_of_staff CHECK (((probe_at IS NOT NULL) OR (proof = 'staff'::text))),
    CONSTRAINT sender_halt_proof_check CHECK ((proof = ANY (ARRAY['answer'::text, 'receipt'::text, 'staff'::text]))),
    CONSTRAINT sender_halt_strikes_check CHECK ((strikes >= 0))
);

COMMENT ON TABLE public.sender_halt IS 'Circuit breaker of a sender, for one country or for all (*): open until one message gets through.';

COMMENT ON COLUMN public.sender_halt.probe_at IS 'From then on one message may try it (half-open); null while only staff may end it.';

COMMENT ON COLUMN public.sender_halt.proof IS 'What closes it: an accepted message, a receipt that says delivered, or staff alone.';

COMMENT ON COLUMN public.sender_halt.probe_token IS 'The attempt that tries whether the route works again; of the portfolio probe_lane.';

ALTER TABLE public.sender_halt ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.sender_halt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.sender_pace (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    sender text NOT NULL,
    busy_until timestamp with time zone NOT NULL,
    not_before timestamp with time zone NOT NULL,
    strikes smallint DEFAULT 0 NOT NULL,
    part_takes interval,
    left_at timestamp with time zone[] DEFAULT '{}'::timestamp with time zone[] NOT NULL,
    CONSTRAINT sender_pace_part_takes_check CHECK ((part_takes > '00:00:00'::interval)),
    CONSTRAINT sender_pace_strikes_check CHECK ((strikes >= 0))
)
WITH (fillfactor='50');

COMMENT ON TABLE public.sender_pace IS 'The one pace of a sender, shared by all workers: parts sent so far fill its line until busy_until.';

COMMENT ON COLUMN public.sender_pace.not_before IS 'The provider said too many: nobody sends by this sender before.';

COMMENT ON COLUMN public.sender_pace.part_takes IS 'Time that one part takes, as staff have set it; null = as the settings say.';

COMMENT ON COLUMN public.sender_pace.left_at IS 'When the parts of the last second left or will leave, in order: one entry a part.';

CREATE TABLE public.sender_turn (
    portfolio_id integer NOT NULL,
    channel text NOT NULL,
    sender text NOT NULL,
    asked_at timestamp with time zone NOT NULL,
    took_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

COMMENT ON TABLE public.sender_turn IS 'Which portfolios wait for a place in a sender''s line, and when each last took one: who waited longest is first.';

CREATE TABLE public.stated_fact (
    portfolio_id integer NOT NULL,
    borrower_id bigint NOT NULL,
    loan_ref text DEFAULT ''::text NOT NULL,
    name text NOT NULL,
    value jsonb NOT NULL,
    told_at timestamp with time zone NOT NULL,
    CONSTRAINT stated_fact_name_check CHECK ((name ~ '^[a-z][a-z0-9_]{0,63}$'::text)),
    CONSTRAINT stated_fact_value_check CHECK ((jsonb_typeof(value) = ANY (ARRAY['boolean'::text, 'number'::text, 'string'::text, 'null'::text])))
);

COMMENT ON TABLE public.stated_fact IS 'What the ledger states of a person, or of one of their loans; the newest word counts, null takes it back.';

CREATE TABLE public.suppression (
    portfolio_id integer NOT NULL,
    id bigint NOT NULL,
    channel text NOT NULL,
    address_key bytea NOT NULL,
    reason text NOT NULL,
    stored_at timestamp with time zone NOT NULL,
    number_rev bigint NOT NULL,
    lifted_at timestamp with time zone,
    lifted_rev bigint,
    CONSTRAINT suppression_channel_check CHECK ((channel = ANY (ARRAY['sms'::text, 'push'::text]))),
    CONSTRAINT suppression_check CHECK (((lifted_at IS NULL) = (lifted_rev IS NULL)))
);

COMMENT ON TABLE public.suppression IS 'An opt-out of a number. It outlives the person''s data: the key is keyed-hash only.';

ALTER TABLE public.suppression ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
    SEQUENCE NAME public.suppression_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.text_version (
    portfolio_id integer NOT NULL,
    locale text NOT NULL,
    message text NOT NULL,
    version integer NOT NULL,
    source text,
    allowed_hosts text[] DEFAULT '{}'::text[] NOT NULL,
    author text NOT NULL,
    approved_by text NOT NULL,
    reason text NOT NULL,
    active_from timestamp with time zone NOT NULL,
    portfolio_rev bigint NOT NULL,
    CONSTRAINT approved_by_another CHECK ((lower(btrim(approved_by)) <> lower(btrim(author)))),
    CONSTRAINT text_version_approved_by_check CHECK ((btrim(approved_by) <> ''::text)),
    CONSTRAINT text_version_author_check CHECK ((btrim(author) <> ''::text)),
    CONSTRAINT text_version_locale_check CHECK ((locale ~ '^[a-z]{2,3}(-[A-Z]{2})?$'::text)),
    CONSTRAINT text_version_message_check CHECK ((message ~ '^[a-z0-9]+(-[a-z0-9]+)*([.]push)?$'::text)),
    CONSTRAINT text_version_reason_check CHECK ((btrim(reason) <> ''::text)),
    CONSTRAINT text_version_source_check CHECK (((length(btrim(source)) >= 1) AND (length(btrim(source)) <= 16384))),
    CONSTRAINT text_version_version_check CHECK ((version > 0))
);

COMMENT ON TABLE public.text_version IS 'A lender''s own texts; the newest version of each counts, one without a source is the shipped text again. Append only.';

COMMENT ON COLUMN public.text_version.source IS 'The text as its author wrote it, as it was checked when it was saved.';

COMMENT ON COLUMN public.text_version.allowed_hosts IS 'Where links of the text may lead, as its approver allowed.';

COMMENT ON COLUMN public.text_version.portfolio_rev IS 'What begins compare with: one that read it, or a later one, had this version.';

CREATE TABLE public.tick_slot (
    duty text NOT NULL,
    slot timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone NOT NULL,
    claimed_by text NOT NULL,
    finished_at timestamp with time zone,
    counts jsonb
);

COMMENT ON TABLE public.tick_slot IS 'A background duty claims its slot here, so that two schedulers do no harm.';

ALTER TABLE ONLY public.attempt_archive ATTACH PARTITION public.attempt_archive_default DEFAULT;

ALTER TABLE ONLY public.decision ATTACH PARTITION public.decision_default DEFAULT;

ALTER TABLE ONLY public.notice ATTACH PARTITION public.notice_default DEFAULT;

ALTER TABLE ONLY public.attempt_archive
    ADD CONSTRAINT attempt_archive_pkey PRIMARY KEY (portfolio_id, begun_at, token);

ALTER TABLE ONLY public.attempt_archive_default
    ADD CONSTRAINT attempt_archive_default_pkey PRIMARY KEY (portfolio_id, begun_at, token);

ALTER TABLE ONLY public.attempt
    ADD CONSTRAINT attempt_pkey PRIMARY KEY (token, portfolio_id);

ALTER TABLE ONLY public.borrower
    ADD CONSTRAINT borrower_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.borrower
    ADD CONSTRAINT borrower_ref_portfolio_id_key UNIQUE (ref, portfolio_id);

ALTER TABLE ONLY public.calendar_version
    ADD CONSTRAINT calendar_version_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.case_item
    ADD CONSTRAINT case_item_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.confirmation
    ADD CONSTRAINT confirmation_pkey PRIMARY KEY (portfolio_id, channel, provider_id);

ALTER TABLE ONLY public.contact_evidence
    ADD CONSTRAINT contact_evidence_pkey PRIMARY KEY (portfolio_id, contact_point_id);

ALTER TABLE ONLY public.contact_point
    ADD CONSTRAINT contact_point_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.contact_point
    ADD CONSTRAINT contact_point_portfolio_id_borrower_id_channel_address_key_key UNIQUE (portfolio_id, borrower_id, channel, address_key);

ALTER TABLE ONLY public.decision
    ADD CONSTRAINT decision_pkey PRIMARY KEY (portfolio_id, loan_id, anchor, stage, decided_at, id);

ALTER TABLE ONLY public.decision_default
    ADD CONSTRAINT decision_default_pkey PRIMARY KEY (portfolio_id, loan_id, anchor, stage, decided_at, id);

ALTER TABLE ONLY public.duty_begun
    ADD CONSTRAINT duty_begun_pkey PRIMARY KEY (portfolio_id, borrower_id, loan_ref, rule, began_on);

ALTER TABLE ONLY public.erasure
    ADD CONSTRAINT erasure_pkey PRIMARY KEY (portfolio_id, borrower_id, erased_at);

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.inbound_mark
    ADD CONSTRAINT inbound_mark_pkey PRIMARY KEY (portfolio_id, channel, sender);

ALTER TABLE ONLY public.inbound
    ADD CONSTRAINT inbound_pkey PRIMARY KEY (portfolio_id, channel, provider_id);

ALTER TABLE ONLY public.instalment
    ADD CONSTRAINT instalment_pkey PRIMARY KEY (portfolio_id, loan_id, kind, number);

ALTER TABLE ONLY public.ledger_event
    ADD CONSTRAINT ledger_event_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.loan
    ADD CONSTRAINT loan_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.loan
    ADD CONSTRAINT loan_portfolio_id_ref_key UNIQUE (portfolio_id, ref);

ALTER TABLE ONLY public.notice
    ADD CONSTRAINT notice_pkey PRIMARY KEY (portfolio_id, loan_id, anchor, stage);

ALTER TABLE ONLY public.notice_default
    ADD CONSTRAINT notice_default_pkey PRIMARY KEY (portfolio_id, loan_id, anchor, stage);

ALTER TABLE ONLY public.notice_given
    ADD CONSTRAINT notice_given_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.number
    ADD CONSTRAINT number_pkey PRIMARY KEY (portfolio_id, channel, address_key);

ALTER TABLE ONLY public.outcome
    ADD CONSTRAINT outcome_pkey PRIMARY KEY (portfolio_id, loan_id, seq);

ALTER TABLE ONLY public.pause
    ADD CONSTRAINT pause_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_pkey PRIMARY KEY (portfolio_id, loan_id, ref);

ALTER TABLE ONLY public.place_before
    ADD CONSTRAINT place_before_pkey PRIMARY KEY (portfolio_id, borrower_id, rev);

ALTER TABLE ONLY public.plan_mark
    ADD CONSTRAINT plan_mark_pkey PRIMARY KEY (portfolio_id);

ALTER TABLE ONLY public.portfolio
    ADD CONSTRAINT portfolio_name_key UNIQUE (name);

ALTER TABLE ONLY public.portfolio
    ADD CONSTRAINT portfolio_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.portfolio_rules
    ADD CONSTRAINT portfolio_rules_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.preference
    ADD CONSTRAINT preference_pkey PRIMARY KEY (portfolio_id, borrower_id);

ALTER TABLE ONLY public.receipt
    ADD CONSTRAINT receipt_pkey PRIMARY KEY (portfolio_id, channel, provider_id, status);

ALTER TABLE ONLY public.registered_text
    ADD CONSTRAINT registered_text_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.rejected_line
    ADD CONSTRAINT rejected_line_pkey PRIMARY KEY (portfolio_id, sha256);

ALTER TABLE ONLY public.retention
    ADD CONSTRAINT retention_pkey PRIMARY KEY (portfolio_id, borrower_id);

ALTER TABLE ONLY public.schedule_version
    ADD CONSTRAINT schedule_version_pkey PRIMARY KEY (portfolio_id, version);

ALTER TABLE ONLY public.schema_migration
    ADD CONSTRAINT schema_migration_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sender_act
    ADD CONSTRAINT sender_act_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.sender_halt
    ADD CONSTRAINT sender_halt_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.sender_pace
    ADD CONSTRAINT sender_pace_pkey PRIMARY KEY (portfolio_id, channel, sender);

ALTER TABLE ONLY public.sender_turn
    ADD CONSTRAINT sender_turn_pkey PRIMARY KEY (portfolio_id, channel, sender);

ALTER TABLE ONLY public.stated_fact
    ADD CONSTRAINT stated_fact_pkey PRIMARY KEY (portfolio_id, borrower_id, loan_ref, name);

ALTER TABLE ONLY public.suppression
    ADD CONSTRAINT suppression_pkey PRIMARY KEY (portfolio_id, id);

ALTER TABLE ONLY public.text_version
    ADD CONSTRAINT text_version_pkey PRIMARY KEY (portfolio_id, locale, message, version);

ALTER TABLE ONLY public.tick_slot
    ADD CONSTRAINT tick_slot_pkey PRIMARY KEY (duty, slot);

CREATE INDEX attempt_archive_of_notice ON ONLY public.attempt_archive USING btree (portfolio_id, loan_id, anchor, stage);

CREATE INDEX attempt_archive_default_portfolio_id_loan_id_anchor_stage_idx ON public.attempt_archive_default USING btree (portfolio_id, loan_id, anchor, stage);

CREATE INDEX attempt_by_provider ON public.attempt USING btree (portfolio_id, channel, provider_id) WHERE (provider_id IS NOT NULL);

CREATE INDEX attempt_of_person ON public.attempt USING btree (borrower_id, portfolio_id, begun_at);

CREATE UNIQUE INDEX attempt_open_notice ON public.attempt USING btree (portfolio_id, loan_id, anchor, stage) WHERE (settled_at IS NULL);

CREATE UNIQUE INDEX attempt_open_number ON public.attempt USING btree (portfolio_id, channel, address_key) WHERE (settled_at IS NULL);

CREATE UNIQUE INDEX case_open ON public.case_item USING btree (portfolio_id, kind, subject) WHERE (closed_at IS NULL);

CREATE INDEX confirmation_of_number ON public.confirmation USING btree (portfolio_id, channel, address_key, decided_at);

CREATE INDEX confirmation_open ON public.confirmation USING btree (deadline_at) WHERE (state = 'begun'::text);

CREATE INDEX contact_point_by_address ON public.contact_point USING btree (portfolio_id, channel, address_key);

CREATE INDEX hold_ending ON public.hold USING btree (until_at) WHERE ((lifted_at IS NULL) AND (until_at IS NOT NULL));

CREATE INDEX hold_ever_of_borrower ON public.hold USING btree (portfolio_id, borrower_id, from_at);

CREATE INDEX hold_of_borrower ON public.hold USING btree (portfolio_id, borrower_id) WHERE (lifted_at IS NULL);

CREATE INDEX hold_of_number ON public.hold USING btree (portfolio_id, channel, address_key) WHERE ((lifted_at IS NULL) AND (scope = 'number'::text));

CREATE INDEX inbound_of_sender ON public.inbound USING btree (portfolio_id, channel, sender_key, received_at);

CREATE INDEX inbound_opt_outs ON public.inbound USING btree (received_at) WHERE (reading = 'opt_out'::text);

CREATE INDEX ledger_event_by_loan ON public.ledger_event USING btree (portfolio_id, subject, received_at, step, "position");

CREATE INDEX ledger_event_parked ON public.ledger_event USING btree (subject) WHERE ((state = 'rejected'::text) AND (reason = ANY (ARRAY['unknown-loan'::text, 'unknown-payment'::text, 'unknown-borrower'::text])));

CREATE INDEX loan_bucket_due ON public.loan USING btree (next_bucket_at) WHERE (next_bucket_at IS NOT NULL);

CREATE INDEX loan_by_borrower ON public.loan USING btree (portfolio_id, borrower_id);

CREATE INDEX loan_entered ON public.loan USING btree (portfolio_id, anchor_since) WHERE ((status = 'open'::text) AND (contact_ended_at IS NULL));

CREATE INDEX loan_held ON public.loan USING btree (portfolio_id, id) WHERE ((held_until IS NOT NULL) AND (status = 'open'::text) AND (contact_ended_at IS NULL));

CREATE INDEX loan_plannable ON public.loan USING btree (portfolio_id, zone, anchor) WHERE ((status = 'open'::text) AND (contact_ended_at IS NULL));

CREATE INDEX notice_due ON ONLY public.notice USING btree (portfolio_id, next_at, loan_id) WHERE (state = ANY (ARRAY['waiting'::text, 'awaiting_receipt'::text]));

CREATE INDEX notice_default_portfolio_id_next_at_loan_id_idx ON public.notice_default USING btree (portfolio_id, next_at, loan_id) WHERE (state = ANY (ARRAY['waiting'::text, 'awaiting_receipt'::text]));

CREATE INDEX notice_given_of_loan ON public.notice_given USING btree (portfolio_id, loan_id);

CREATE INDEX outcome_held ON public.outcome USING btree (portfolio_id, loan_id, seq) WHERE ((held_by IS NOT NULL) AND (acked_at IS NULL));

CREATE UNIQUE INDEX outcome_retracted_once ON public.outcome USING btree (portfolio_id, loan_id, corrects) WHERE (corrects IS NOT NULL);

CREATE INDEX outcome_unacked ON public.outcome USING btree (portfolio_id, next_try_at, loan_id, seq) WHERE (acked_at IS NULL);

CREATE UNIQUE INDEX pause_open ON public.pause USING btree (portfolio_id, scope, subject) WHERE (resumed_at IS NULL);

CREATE INDEX receipt_unmatched ON public.receipt USING btree (portfolio_id, received_at) WHERE (effect = 'unmatched'::text);

CREATE INDEX registered_text_newest ON public.registered_text USING btree (portfolio_id, country, message, locale, id DESC);

CREATE INDEX retention_due ON public.retention USING btree (look_at);

CREATE UNIQUE INDEX sender_halt_open ON public.sender_halt USING btree (portfolio_id, channel, sender, country) WHERE (closed_at IS NULL);

CREATE INDEX sender_halt_recent ON public.sender_halt USING btree (portfolio_id, channel, sender, country, closed_at);

CREATE INDEX suppression_open ON public.suppression USING btree (portfolio_id, channel, address_key) WHERE (lifted_at IS NULL);

ALTER INDEX public.attempt_archive_pkey ATTACH PARTITION public.attempt_archive_default_pkey;

ALTER INDEX public.attempt_archive_of_notice ATTACH PARTITION public.attempt_archive_default_portfolio_id_loan_id_anchor_stage_idx;

ALTER INDEX public.decision_pkey ATTACH PARTITION public.decision_default_pkey;

ALTER INDEX public.notice_pkey ATTACH PARTITION public.notice_default_pkey;

ALTER INDEX public.notice_due ATTACH PARTITION public.notice_default_portfolio_id_next_at_loan_id_idx;

ALTER TABLE ONLY public.borrower
    ADD CONSTRAINT borrower_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.case_item
    ADD CONSTRAINT case_item_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.confirmation
    ADD CONSTRAINT confirmation_portfolio_id_channel_provider_id_fkey FOREIGN KEY (portfolio_id, channel, provider_id) REFERENCES public.inbound(portfolio_id, channel, provider_id);

ALTER TABLE ONLY public.contact_evidence
    ADD CONSTRAINT contact_evidence_portfolio_id_contact_point_id_fkey FOREIGN KEY (portfolio_id, contact_point_id) REFERENCES public.contact_point(portfolio_id, id);

ALTER TABLE ONLY public.contact_point
    ADD CONSTRAINT contact_point_portfolio_id_borrower_id_fkey FOREIGN KEY (portfolio_id, borrower_id) REFERENCES public.borrower(portfolio_id, id);

ALTER TABLE ONLY public.contact_point
    ADD CONSTRAINT contact_point_portfolio_id_channel_address_key_fkey FOREIGN KEY (portfolio_id, channel, address_key) REFERENCES public.number(portfolio_id, channel, address_key);

ALTER TABLE ONLY public.hold
    ADD CONSTRAINT hold_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.inbound_mark
    ADD CONSTRAINT inbound_mark_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.inbound
    ADD CONSTRAINT inbound_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.instalment
    ADD CONSTRAINT instalment_portfolio_id_loan_id_fkey FOREIGN KEY (portfolio_id, loan_id) REFERENCES public.loan(portfolio_id, id);

ALTER TABLE ONLY public.ledger_event
    ADD CONSTRAINT ledger_event_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.loan
    ADD CONSTRAINT loan_portfolio_id_borrower_id_fkey FOREIGN KEY (portfolio_id, borrower_id) REFERENCES public.borrower(portfolio_id, id);

ALTER TABLE ONLY public.notice_given
    ADD CONSTRAINT notice_given_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.notice_given
    ADD CONSTRAINT notice_given_portfolio_id_loan_id_fkey FOREIGN KEY (portfolio_id, loan_id) REFERENCES public.loan(portfolio_id, id);

ALTER TABLE ONLY public.number
    ADD CONSTRAINT number_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.outcome
    ADD CONSTRAINT outcome_portfolio_id_loan_id_fkey FOREIGN KEY (portfolio_id, loan_id) REFERENCES public.loan(portfolio_id, id);

ALTER TABLE ONLY public.pause
    ADD CONSTRAINT pause_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.payment
    ADD CONSTRAINT payment_portfolio_id_loan_id_fkey FOREIGN KEY (portfolio_id, loan_id) REFERENCES public.loan(portfolio_id, id);

ALTER TABLE ONLY public.plan_mark
    ADD CONSTRAINT plan_mark_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.portfolio_rules
    ADD CONSTRAINT portfolio_rules_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.preference
    ADD CONSTRAINT preference_portfolio_id_borrower_id_fkey FOREIGN KEY (portfolio_id, borrower_id) REFERENCES public.borrower(portfolio_id, id);

ALTER TABLE ONLY public.registered_text
    ADD CONSTRAINT registered_text_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.rejected_line
    ADD CONSTRAINT rejected_line_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.schedule_version
    ADD CONSTRAINT schedule_version_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.sender_act
    ADD CONSTRAINT sender_act_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.sender_halt
    ADD CONSTRAINT sender_halt_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.sender_pace
    ADD CONSTRAINT sender_pace_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.sender_turn
    ADD CONSTRAINT sender_turn_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.stated_fact
    ADD CONSTRAINT stated_fact_portfolio_id_borrower_id_fkey FOREIGN KEY (portfolio_id, borrower_id) REFERENCES public.borrower(portfolio_id, id);

ALTER TABLE ONLY public.suppression
    ADD CONSTRAINT suppression_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);

ALTER TABLE ONLY public.text_version
    ADD CONSTRAINT text_version_portfolio_id_fkey FOREIGN KEY (portfolio_id) REFERENCES public.portfolio(id);
