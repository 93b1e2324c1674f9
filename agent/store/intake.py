"""What intake reads and writes, set-based: arrays go in, rows come out, nothing is done row by row."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime
from typing import Any, NamedTuple

from agent.domain.account import Loan
from agent.domain.outcome import Claim, OutcomeType
from agent.domain.standing import Instalment, Kind, LoanFacts, Payment, Position, Status, in_order
from agent.store.sql import Connection, copy_rows, execute, fetch

Key = tuple[int, int]


class EventRow(NamedTuple):
    """A stored event; a named tuple because every event becomes one."""

    portfolio_id: int
    id: str
    source: str
    type: str
    subject: str
    at: datetime
    received_at: datetime
    step: int
    position: int
    state: str
    reason: str | None
    sha256: bytes
    data: Any
    personal: bytes | None


class StoredLoan(NamedTuple):
    """A loan as intake loads it, with the keys it needs to write it back."""

    portfolio_id: int
    id: int
    borrower_id: int
    loan: Loan
    # planning skips it
    held: bool = False


_EVENT = EventRow._fields
_KINDS = {kind.value: kind for kind in Kind}
_STATUSES = {status.value: status for status in Status}
_LOAN = (
    "portfolio_id", "id", "ref", "borrower_id", "product", "currency", "zone", "opened_at",
    "principal_minor", "status", "anchor", "anchor_since", "balance_minor", "paid_minor", "bucket",
    "next_bucket_at", "worst_dpd_floor", "rescheduled_at", "closed_at", "close_reason",
    "contact_ended_at", "outcome_seq",
)  # fmt: skip
_PAYMENT = (
    "portfolio_id", "loan_id", "ref", "amount_minor", "paid_at", "known_at", "reversed_at",
)  # fmt: skip
_INSTALMENT = ("portfolio_id", "loan_id", "number", "kind", "due_on", "amount_minor")
_BORROWER = (
    "portfolio_id", "id", "ref", "locale", "region", "zones", "data_key", "personal", "told",
    "clues", "updated_at",
)  # fmt: skip
_POINT = (
    "portfolio_id", "id", "borrower_id", "channel", "provider", "address", "address_key", "status",
    "consent_source", "consent_at", "told_at", "number_block",
)  # fmt: skip
_OUTCOME = (
    "portfolio_id", "loan_id", "seq", "type", "occurred_at", "recorded_at", "data", "corrects",
    "next_try_at", "bucket",
)  # fmt: skip


async def new_ids(conn: Connection, sequence: str, count: int) -> list[int]:
    """Ids for rows that COPY will write."""
    if not count:
        return []
    return [row[0] for row in await fetch(conn, "new_ids", sequence=sequence, count=count)]


async def load_loans(
    conn: Connection, keys: Sequence[Key], reaching_back: AbstractSet[Key]
) -> dict[Key, StoredLoan]:
    """Loans with all their facts; with the claims that stand where a fact reaches back in time."""
    if not keys:
        return {}
    rows = await fetch(
        conn, "loan_facts", portfolios=[k[0] for k in keys], ids=[k[1] for k in keys]
    )
    told = [(row["portfolio_id"], row["id"]) for row in rows if row["outcome_seq"]]
    claims = await _claims(conn, [key for key in told if key in reaching_back])
    return {
        (row["portfolio_id"], row["id"]): _stored(
            row, claims.get((row["portfolio_id"], row["id"]), ())
        )
        for row in rows
    }


async def _claims(conn: Connection, keys: Sequence[Key]) -> dict[Key, list[Claim]]:
    found: dict[Key, list[Claim]] = {}
    if not keys:
        return found
    rows = await fetch(conn, "claims", portfolios=[k[0] for k in keys], ids=[k[1] for k in keys])
    for row in rows:
        anchor = row["anchor"]
        claim = Claim(
            row["seq"],
            OutcomeType(row["type"]),
            row["occurred_at"],
            row["to_index"],
            date.fromisoformat(anchor) if anchor else None,
        )
        found.setdefault((row["portfolio_id"], row["loan_id"]), []).append(claim)
    return found


def _stored(row: Any, claims: Iterable[Claim]) -> StoredLoan:
    loan = Loan(
        ref=row["ref"],
        currency=row["currency"],
        facts=_facts(row),
        now=Position(
            _STATUSES[row["status"]], row["anchor"], row["balance_minor"], row["paid_minor"]
        ),
        anchor_since=row["anchor_since"],
        bucket=row["bucket"],
        next_bucket_at=row["next_bucket_at"],
        contact_ended_at=row["contact_ended_at"],
        outcome_seq=row["outcome_seq"],
        claims=tuple(claims),
    )
    return StoredLoan(row["portfolio_id"], row["id"], row["borrower_id"], loan, row["held"])


def _facts(row: Any) -> LoanFacts:
    parts = zip(
        row["numbers"] or (), row["kinds"] or (), row["due_ons"] or (), row["amounts"] or (),
        strict=True,
    )  # fmt: skip
    runs = zip(
        row["refs"] or (), row["paid"] or (), row["paid_ats"] or (), row["known_ats"] or (),
        row["reversed_ats"] or (), strict=True,
    )  # fmt: skip
    return LoanFacts(
        zone=row["zone"],
        opened_at=row["opened_at"],
        instalments=in_order(
            [Instalment(n, _KINDS[kind], due, amount) for n, kind, due, amount in parts]
        ),
        payments=tuple(Payment(*run) for run in runs),
        closed_at=row["closed_at"],
        close_reason=row["close_reason"],
        worst_dpd_floor=row["worst_dpd_floor"],
        rescheduled_at=row["rescheduled_at"],
    )


class NewLoan(NamedTuple):
    """What a new loan's row holds beyond its facts."""

    stored: StoredLoan
    product: str | None
    principal_minor: int | None


async def insert_loans(conn: Connection, new: Sequence[NewLoan]) -> None:
    """New loans with their instalments and payments, by COPY."""
    await copy_rows(conn, "loan", _LOAN, [_loan_row(loan) for loan in new])
    await copy_rows(
        conn,
        "instalment",
        _INSTALMENT,
        [row for loan in new for row in instalment_rows(loan.stored)],
    )


def _loan_row(new: NewLoan) -> tuple[Any, ...]:
    at, loan = new.stored, new.stored.loan
    facts, now = loan.facts, loan.now
    return (
        at.portfolio_id, at.id, loan.ref, at.borrower_id, new.product, loan.currency, facts.zone,
        facts.opened_at, new.principal_minor, now.status, now.anchor, loan.anchor_since,
        now.balance_minor, now.paid_minor, loan.bucket, loan.next_bucket_at, facts.worst_dpd_floor,
        facts.rescheduled_at, facts.closed_at, facts.close_reason,
        loan.contact_ended_at, loan.outcome_seq,
    )  # fmt: skip


def instalment_rows(at: StoredLoan) -> list[tuple[Any, ...]]:
    """The dated parts of a loan as rows."""
    return [
        (at.portfolio_id, at.id, part.number, part.kind, part.due_on, part.amount_minor)
        for part in at.loan.facts.instalments
    ]


async def update_loans(conn: Connection, loans: Sequence[StoredLoan]) -> None:
    """Write back what was derived anew."""
    if not loans:
        return
    states = [at.loan for at in loans]
    await execute(
        conn,
        "update_loans",
        portfolios=[at.portfolio_id for at in loans],
        ids=[at.id for at in loans],
        zones=[loan.facts.zone for loan in states],
        statuses=[loan.now.status for loan in states],
        anchors=[loan.now.anchor for loan in states],
        sinces=[loan.anchor_since for loan in states],
        balances=[loan.now.balance_minor for loan in states],
        paids=[loan.now.paid_minor for loan in states],
        buckets=[loan.bucket for loan in states],
        crossings=[loan.next_bucket_at for loan in states],
        floors=[loan.facts.worst_dpd_floor for loan in states],
        rescheduled=[loan.facts.rescheduled_at for loan in states],
        closed=[loan.facts.closed_at for loan in states],
        reasons=[loan.facts.close_reason for loan in states],
        ended=[loan.contact_ended_at for loan in states],
        seqs=[loan.outcome_seq for loan in states],
    )


async def insert_payments(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """(portfolio, loan, ref, amount, paid_at, known_at, reversed_at) by COPY."""
    await copy_rows(conn, "payment", _PAYMENT, rows)


async def insert_instalments(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """Rows of `instalment_rows`, by COPY."""
    await copy_rows(conn, "instalment", _INSTALMENT, rows)


async def insert_people(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """New people, by COPY."""
    await copy_rows(conn, "borrower", _BORROWER, rows)


async def insert_points(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """New contact points, by COPY; their numbers exist by then."""
    await copy_rows(conn, "contact_point", _POINT, rows)


async def insert_outcomes(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
    """(portfolio, loan, seq, type, occurred_at, recorded_at, data, corrects, next_try_at, bucket)."""
    await copy_rows(conn, "outcome", _OUTCOME, rows)


async def insert_events(conn: Connection, rows: Sequence[EventRow]) -> None:
    """Events as stored facts, by COPY."""
    await copy_rows(conn, "ledger_event", _EVENT, rows)
