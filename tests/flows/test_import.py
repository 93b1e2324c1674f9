"""`duly import`: files of every shape, good and damaged; what it says, what is stored, how it ends."""

import gzip
import json
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from agent.clock import VirtualClock
from agent.domain.event import Reason
from agent.domain.mapping import Mapping
from agent.domain.mapping_compile import compile_mapping
from agent.entry.import_command import ErrorFile
from agent.flows import import_csv
from agent.flows import import_file as importing
from agent.flows.import_file import Imported, import_file
from agent.flows.import_source import Unusable
from agent.flows.intake import Problem
from agent.flows.reading import LINE_MAX
from agent.flows.rehearsal import rehearse
from agent.store.connect import open_connection
from tests.entry.command import duly
from tests.support.intake import NOW, desk, facts, lines, loan, opened, paid, reversed_

EVENTS = [
    one
    for n in range(60)
    for one in (
        opened(f"L{n}", borrower={"id": f"p{n % 20}"}),
        paid(f"L{n}", "p", "500.00", "2024-01-20"),
    )
]


def ndjson(events: list[Any]) -> bytes:
    return b"".join(body + b"\n" for _, body in lines(events))


class Office:
    """Imports files into one database and keeps what was refused."""

    def __init__(self, pool: Any, keyring: Any, folder: Path) -> None:
        self.pool, self.keyring, self.folder = pool, keyring, folder
        self.problems: list[Problem] = []

    async def take(self, name: str, body: bytes, **options: Any) -> Imported:
        path = self.folder / name
        path.write_bytes(body)
        self.problems = []
        at = options.pop("desk", desk(self.pool, self.keyring))
        return await import_file(
            at, path, VirtualClock(NOW), refused=self.problems.append, **options
        )


@pytest.fixture
def office(pool: Any, keyring: Any, tmp_path: Path) -> Office:
    return Office(pool, keyring, tmp_path)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.ndjson", ndjson(EVENTS)),
        ("no-final-newline.ndjson", ndjson(EVENTS)[:-1]),
        ("crlf.ndjson", ndjson(EVENTS).replace(b"\n", b"\r\n")),
        ("bom.ndjson", b"\xef\xbb\xbf" + ndjson(EVENTS)),
        ("blank.ndjson", b"\n \n" + ndjson(EVENTS).replace(b"\n", b"\n\n\t\n")),
        ("a.ndjson.gz", gzip.compress(ndjson(EVENTS))),
        ("two.ndjson.gz", gzip.compress(ndjson(EVENTS[:9])) + gzip.compress(ndjson(EVENTS[9:]))),
        ("padded.gz", gzip.compress(ndjson(EVENTS)) + bytes(512)),
        ("named-gz.gz", ndjson(EVENTS)),
        ("a.json", json.dumps(EVENTS, indent=2).encode()),
        ("a.json.gz", gzip.compress(json.dumps(EVENTS).encode())),
        ("array.ndjson", b"\xef\xbb\xbf \n" + json.dumps(EVENTS).encode()),
        ("objects.json", b"\n".join(json.dumps(one, indent=1).encode() for one in EVENTS)),
    ],
)
async def test_every_shape_of_file(office: Office, name: str, body: bytes) -> None:
    done = await office.take(name, body)
    assert (done.taken.applied, dict(done.taken.rejected), done.broken) == (120, {}, None)
    assert done.complete
    again = await office.take(name, body)
    assert (again.taken.applied, again.taken.duplicates) == (0, 120)


async def test_a_cut_gzip_gives_all_it_has(office: Office) -> None:
    whole = gzip.compress(ndjson(EVENTS))
    done = await office.take("cut.ndjson.gz", whole[: len(whole) * 2 // 3])
    assert done.broken is not None
    assert done.broken.at_byte == len(whole) * 2 // 3
    assert 0 < done.taken.applied == done.broken.after_line < 120
    assert done.taken.rejected.total() == 0  # half a line is not a broken line
    assert not done.complete
    rest = await office.take("whole.ndjson.gz", whole)
    assert (rest.taken.applied, rest.taken.duplicates) == (
        120 - done.taken.applied,
        done.taken.applied,
    )


async def test_a_damaged_gzip_gives_what_lies_before_the_damage(office: Office) -> None:
    whole = bytearray(gzip.compress(ndjson(EVENTS), 1))
    middle = len(whole) // 2
    whole[middle : middle + 40] = b"\xff" * 40
    done = await office.take("bad.ndjson.gz", bytes(whole))
    assert done.broken is not None
    assert "damaged" in done.broken.why
    assert middle - 2000 < done.broken.at_byte <= len(whole)
    assert done.taken.applied > 0


async def test_a_wrong_checksum_is_told_and_everything_is_in(office: Office) -> None:
    whole = bytearray(gzip.compress(ndjson(EVENTS)))
    whole[-6] ^= 1
    done = await office.take("sum.ndjson.gz", bytes(whole))
    assert done.taken.applied == 120
    assert done.broken is not None


async def test_an_empty_gzip_is_broken_and_an_empty_file_is_empty(office: Office) -> None:
    assert (await office.take("a.ndjson.gz", b"")).broken is not None
    assert (await office.take("a.ndjson", b"")).complete


async def test_bad_lines_are_told_by_number(office: Office) -> None:
    body = b"".join(
        [
            ndjson([opened("L")]),
            b"{broken\n",
            b"\xff\xfe\x00\n",
            b'{"id": "' + b"x" * (LINE_MAX + 300_000) + b'"}\n',
            b'{"id": "n\\u0000l", "type": "loan.closed"}\n',
            ndjson([paid("L", "p", "-1", "2024-01-20"), paid("L", "q", "1.00", "2024-01-20")]),
        ]
    )
    done = await office.take("a.ndjson", body)
    assert done.taken.applied == 2
    found = [(p.line, p.reason.value) for p in office.problems]
    assert found == [(n, "not-an-event") for n in (2, 3, 4, 5)] + [(6, "amount-not-positive")]
    again = await office.take("a.ndjson", body)
    assert sorted((p.line, p.reason.value) for p in office.problems) == found
    assert again.taken.duplicates == 2


async def test_a_broken_object_does_not_stop_an_array(office: Office) -> None:
    body = json.dumps(EVENTS[:2]).encode()[:-1] + b', {"id": nope}, {"id": "]}"}, '
    body += json.dumps(EVENTS[2:4]).encode()[1:]
    done = await office.take("a.json", body)
    assert done.taken.applied == 4
    assert [p.line for p in office.problems] == [3, 4]


async def test_utf_16_is_refused_whole(office: Office) -> None:
    with pytest.raises(Unusable, match="UTF-16"):
        await office.take("a.ndjson", "{}".encode("utf-16"))


async def test_a_loans_history_is_applied_together(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a bulk import announces delinquency and takes it back a batch later."""
    monkeypatch.setattr(importing, "BATCH", 7)
    spread = [e for e in EVENTS if e["type"] == "loan.opened"]
    spread += [paid(e["subject"], "all", "1000.00", "2024-01-20") for e in spread]
    done = await office.take("a.ndjson", ndjson(spread))
    assert (done.taken.applied, done.taken.outcomes) == (120, 60)
    kinds = await office.pool.fetch("select distinct type from outcome")
    assert [row["type"] for row in kinds] == ["account.paid_off"]


async def test_what_came_too_early_is_refused_only_until_its_loan_comes(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "WINDOW_LINES", 2)
    early = [paid("L", "p", "1.00", "2024-01-20"), paid("never", "p", "1.00", "2024-01-20")]
    others = [opened("M"), opened("N")]
    done = await office.take("a.ndjson", ndjson([*early, *others, early[0], opened("L")]))
    assert dict(done.taken.rejected) == {"unknown-loan": 1}
    assert (done.taken.applied, done.taken.unparked, done.taken.came) == (4, 1, {"L:p"})
    assert done.lines == done.taken.applied + done.taken.rejected.total() + done.taken.duplicates


def test_the_error_file_lists_what_stayed_refused(tmp_path: Path) -> None:
    errors = ErrorFile(tmp_path / "errors")
    with errors.open():
        errors.add(Problem(1, Reason.UNKNOWN_LOAN, "subject", "early"))
        errors.add(Problem(2, Reason.BAD_AMOUNT, "amount", None))
        errors.forget({"early"})
    assert [orjson.loads(line)["line"] for line in errors.path.read_bytes().splitlines()] == [2]
    errors = ErrorFile(errors.path)
    with errors.open():
        errors.add(Problem(1, Reason.UNKNOWN_LOAN, "subject", "early"))
        errors.forget({"early"})
    assert (errors.count, errors.path.exists()) == (0, False)


@pytest.mark.parametrize(
    ("amount", "detail"),
    [
        (1600.5, 'number-with-a-point-write-it-as-text; right is text such as "1600.50"'),
        ("1,600.00", 'not-a-decimal; right is text such as "1600.50"'),
        ("1600.005", 'more-digits-than-the-currency-has; right is text such as "1600.50"'),
        ("9" * 30, 'too-large; the largest is "90071992547409.92"'),
    ],
)
async def test_a_bad_amount_is_told_with_its_event_and_its_reason(
    office: Office, amount: object, detail: str
) -> None:
    bad = opened("L", installments=[{"number": 1, "due_on": "2024-01-15", "amount": amount}])
    await office.take("a.ndjson", ndjson([bad]))
    assert [(p.event_id, p.detail) for p in office.problems] == [
        (bad["id"], f"installments.amount: {detail}")
    ]


async def test_windows_bound_what_is_held(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "WINDOW_LINES", 11)
    assert (await office.take("a.ndjson", ndjson(EVENTS))).taken.applied == 120


async def test_interrupted_and_run_again(office: Office) -> None:
    class Stop(Exception):
        pass

    def stop(_done: int, _size: int) -> None:
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "BATCH", 10)
        with pytest.raises(Stop):
            await office.take("a.ndjson", ndjson(EVENTS), progress=stop)
    assert 0 < await office.pool.fetchval("select count(*) from ledger_event") < 120
    await office.take("a.ndjson", ndjson(EVENTS))
    broken_off = await facts(office.pool)
    assert len(broken_off["events"]) == 120
    assert {
        row["paid_minor"] for row in await office.pool.fetch("select paid_minor from loan")
    } == {50_000}


async def test_a_dry_run_says_the_same_and_leaves_nothing(
    office: Office, database_url: str
) -> None:
    await office.take(
        "first.ndjson", ndjson([opened("L"), paid("L", "p", "1000.00", "2024-01-20")])
    )
    await office.take("early.ndjson", ndjson([paid("N", "p", "1.00", "2024-01-20")]))
    before, sequence = await facts(office.pool), "select last_value from loan_seq"
    numbers = await office.pool.fetchval(sequence)
    body = ndjson(
        [
            reversed_("L", "p", "2024-01-25"),
            opened("N"),
            opened("M", portfolio="new"),
            b"{",
            paid("L", "p", "1000.00", "2024-01-20"),
        ]
    )
    conn = await open_connection(database_url)
    stage = await rehearse(conn)
    rehearsed = replace(desk(office.pool, office.keyring), pool=stage.pool())
    dry = await office.take("b.ndjson", body, desk=rehearsed, prepare=stage.copy)
    with pytest.raises(Exception, match="read-only"):
        await conn.execute("delete from public.loan")
    await conn.close()
    assert await facts(office.pool) == before
    assert await office.pool.fetchval(sequence) == numbers
    real = await office.take("b.ndjson", body)
    assert replace(dry.taken, problems=[]) == replace(real.taken, problems=[])
    assert real.taken.applied == 4
    assert real.taken.unparked == 1
    assert (await loan(office.pool, "L"))["status"] == "open"


MAPPING = """
name = "branch-export"
group_by = "Loan No"
delimiter = ";"
encoding = "cp1252"

[style]
timezone = "Africa/Lagos"
date_format = "%d/%m/%Y"
time_format = "%d/%m/%Y %H:%M"
decimal = ","
thousands = "."

[constants]
currency = "NGN"
portfolio = "branch"

[[event]]
type = "loan.opened"
id = "{Loan No}:opened"
when = { column = "Kind", is = ["DUE"] }
fields = { subject = "Loan No", time = "Opened", borrower = "Customer", name = "Name" }

[[event.contact]]
channel = "sms"
address = "Phone"
consent_source = { constant = "application" }

[[event.instalment]]
number = "No"
due_on = "Date"
amount = "Amount"

[[event]]
type = "payment.posted"
id = "{Loan No}:{No}:paid"
when = { column = "Kind", is = ["PAID"] }
fields = { subject = "Loan No", time = "Date", payment_id = "No", amount = "Amount" }
"""
ROWS = """Kind;Loan No;Opened;Customer;Name;Phone;No;Date;Amount;Teller
DUE;A1;15/01/2024 08:53;c1;Zoé Canary;+2347010000001;1;15/02/2024;1.500,00;x
DUE;B2;16/01/2024 09:00;c2;"Canary; ""Jo""\nSmith";+2347010000002;1;16/02/2024;700;x
PAID;A1;;;;;r1;20/01/2024 10:00;1.500,00;x
DUE;A1;15/01/2024 08:53;c1;Zoé Canary;+2347010000001;2;15/03/2024;1.500,50;x
PAID;B2;;;;;r2;21/01/2024;1,500;x
PAID;B2;;;;;r3;31/02/2024;5,00;x
PAID;B2;;;;;r4;21/01/2024
PAID;B2;;;;;r5;"21/01/2024;5,00;x
NOTE;B2;;;;;r6;21/01/2024;5,00;x
PAID;B2;;;;;r7;21/01/2024;12.00,00;x
PAID;B2;;;;;r8;22/01/2024;100,00;x
"""


def mapping(text: str = MAPPING) -> Mapping:
    found = compile_mapping(tomllib.loads(text))
    assert isinstance(found, Mapping), found
    return found


async def test_rows_become_loans_and_payments(office: Office) -> None:
    done = await office.take("t.csv", ROWS.encode("cp1252"), mapping=mapping())
    assert done.notes == ["columns that the mapping does not use: Teller"]
    found = sorted((p.line, p.reason.value, p.detail) for p in office.problems)
    assert found == [
        (
            7,
            "bad-amount",
            'amount: more-digits-than-the-currency-has; right is text such as "1600.50"',
        ),
        (8, "bad-time", "Date"),
        (9, "bad-row", "cells"),
        (10, "bad-row", "row"),
        (11, "bad-row", "no event"),
        (12, "bad-amount", 'Amount: by this mapping right is "1600,50"'),
    ]
    row = await loan(office.pool, "A1")
    assert (row["balance_minor"], row["paid_minor"]) == (150_050, 150_000)
    assert row["opened_at"].isoformat() == "2024-01-15T07:53:00+00:00"
    assert (await loan(office.pool, "B2"))["paid_minor"] == 10_000
    found_in = await office.pool.fetchrow("select name, zone from portfolio where id > 0")
    assert tuple(found_in) == ("branch", "Africa/Lagos")
    again = await office.take("t.csv", ROWS.encode("cp1252"), mapping=mapping())
    assert again.taken.applied == 0
    assert again.taken.duplicates == 4


async def test_rows_of_a_loan_may_stand_anywhere(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_csv, "RUN", 2)
    await office.take("t.csv", ROWS.encode("cp1252"), mapping=mapping())
    assert await office.pool.fetchval("select count(*) from instalment") == 3


async def test_a_missing_column_is_told_before_anything_is_taken(office: Office) -> None:
    with pytest.raises(Unusable, match="no column 'Phone'; it has 'Kind', 'Loan No'"):
        await office.take("t.csv", ROWS.replace("Phone", "Tel").encode("cp1252"), mapping=mapping())
    assert await office.pool.fetchval("select count(*) from ledger_event") == 0


def test_the_command(database_url: str, tmp_path: Path) -> None:
    settings = {"DULY_DATABASE_URL": database_url, "DULY_MASTER_KEY": "11" * 32}
    path = tmp_path / "a.ndjson"
    errors = tmp_path / "a.ndjson.errors.ndjson"
    path.write_bytes(ndjson([opened("L"), paid("L", "p", "0", "2024-01-20")]))
    dry = duly("import", str(path), "--dry-run", "--json", **settings)
    assert dry.code == 1, dry.err
    first = duly("import", str(path), "--json", "--portfolio", "q", "--lender", "Acme", **settings)
    answer = orjson.loads(first.out)
    assert (first.code, answer["applied"], answer["rejected"]) == (1, 1, {"amount-not-positive": 1})
    assert [orjson.loads(line) for line in errors.read_bytes().splitlines()] == [
        {"line": 2, "reason": "amount-not-positive", "detail": "amount", "event": "L:p"}
    ]
    path.write_bytes(ndjson([opened("L")]))
    clean = duly("import", str(path), "--portfolio", "q", **settings)
    assert (clean.code, errors.exists()) == (0, False)
    assert "1 known already" in clean.out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["missing.ndjson"], "not a file"),
        (["t.csv"], "--mapping"),
        (["a.ndjson", "--mapping", "m.toml"], "for tables"),
        (["t.csv", "--mapping", "none.toml"], "cannot be read"),
        (["t.csv", "--mapping", "m.toml"], "event there is none"),
        (["a.ndjson", "--portfolio", "a b"], "portfolio's name"),
    ],
)
def test_bad_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("a,b\n")
    (tmp_path / "a.ndjson").write_text("")
    (tmp_path / "m.toml").write_text('name = "x"\n')
    answer = duly("import", *args)
    assert answer.code == 2
    assert says in answer.err
