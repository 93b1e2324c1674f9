"""Mapping files: the documented example works, every mistake is named at once, schema and compiler agree."""

import re
import tomllib
from typing import Any

import jsonschema
import pytest

import schedules
from agent.domain.event import Event, Reason, Rejected
from agent.domain.event_reading import parse_event
from agent.domain.mapping import Mapping, events_of
from agent.domain.mapping_compile import compile_mapping
from tests.support.places import ROOT

README = (ROOT / "schedules" / "README.md").read_text("utf-8")
EXAMPLE = re.findall(r"```toml\n(#:schema ./mapping.*?)```", README, re.DOTALL)[0]
Row = dict[str, str]


def compiled(text: str) -> Mapping:
    found = compile_mapping(tomllib.loads(text))
    assert isinstance(found, Mapping), found
    return found


def problems(change: str, to: str) -> list[str]:
    assert change in EXAMPLE
    found = compile_mapping(tomllib.loads(EXAMPLE.replace(change, to, 1)))
    return [] if isinstance(found, Mapping) else [p.where for p in found]


def row(**cells: str) -> Row:
    base = dict.fromkeys(compiled(EXAMPLE).columns, "")
    return base | {"Loan No": "A1", "No": "1", "Date": "15/02/2024", "Amount": "1.500,00"} | cells


LOAN = {"Kind": "DUE", "Opened": "15/01/2024", "Customer": "c1", "Phone": "+2347010000001"}


def test_the_documented_example_makes_events() -> None:
    mapping = compiled(EXAMPLE)
    rows = [row(**LOAN), row(**LOAN, No="2", Date="15/03/2024"), row(Kind="PAID", No="r1")]
    opened, paid = (parse_event(made.event) for made in events_of(mapping, rows))
    assert isinstance(opened, Event)
    assert isinstance(paid, Event)
    assert (opened.id, opened.portfolio, opened.at.isoformat()) == (
        "A1:opened",
        "mobile-loans",
        "2024-01-15T11:00:00+00:00",
    )
    assert [part.amount_minor for part in opened.fact.parts] == [150_000, 150_000]  # type: ignore[union-attr]
    assert paid.fact.amount == "1500.00"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "read"),
    [("1.500,00", "1500.00"), ("1500", "1500"), ("12.34.567,5", "1234567.5"), ("-3,10", "-3.10")]
    + [
        (bad, None)
        for bad in ("1,500.00", "1.5", "1.50,00", "NaN", "1e3", "12.3456", "N5", ",5", "5,")
    ],
)
def test_amounts_are_read_or_refused_never_guessed(text: str, read: str | None) -> None:
    made = events_of(compiled(EXAMPLE), [row(Kind="PAID", Amount=text)])[0].event
    if read is None:
        assert made == Rejected(Reason.BAD_AMOUNT, 'Amount: by this mapping right is "1600,50"')
    else:
        assert isinstance(made, dict)
        assert made["data"]["amount"] == read


@pytest.mark.parametrize("text", ["31/02/2024", "1/1/24", "32/01/2024", "tomorrow"])
def test_bad_dates_name_their_column(text: str) -> None:
    made = events_of(compiled(EXAMPLE), [row(Kind="PAID", Date=text)])[0].event
    assert made == Rejected(Reason.BAD_TIME, "Date")


def test_amounts_in_minor_units() -> None:
    mapping = compiled(
        EXAMPLE.replace('decimal = ","', 'amounts = "minor"').replace('thousands = "."', "")
    )
    made = events_of(mapping, [row(Kind="PAID", Amount="650000")])[0].event
    assert isinstance(made, dict)
    assert made["data"]["amount"] == "6500.00"


@pytest.mark.parametrize(
    ("change", "to", "where"),
    [
        ('name = "branch-export"', 'name = "Branch Export"', "name"),
        ('delimiter = ";"', 'delimiter = "; "', "delimiter"),
        ('delimiter = ";"', 'encoding = "utf-16"', "encoding"),
        ('timezone = "Africa/Lagos"', 'timezone = "Lagos"', "style.timezone"),
        ('date_format = "%d/%m/%Y"', 'date_format = "%d/%m"', "style.date_format"),
        ('decimal = ","', 'decimal = ";"', "style.decimal"),
        ('thousands = "."', 'thousands = ","', "style.thousands"),
        ('currency = "NGN"', 'curency = "NGN"', "constants.curency"),
        ('type = "loan.opened"', 'type = "loan.open"', "event 1: type"),
        ('id = "{Loan No}:opened"', 'id = "opened"', "event 1: id"),
        ('borrower = "Customer"', 'customer = "Customer"', "event 1: fields.customer"),
        (', time = "Date"', "", "event 2: fields.time"),
        ('is = ["PAID"]', "are = 1", "event 2: when"),
        ('channel = "sms"', 'channel = "fax"', "event 1: contact 1: channel"),
        ('due_on = "Date", ', "", "event 1: instalment 1: due_on"),
    ],
)
def test_every_mistake_is_named(change: str, to: str, where: str) -> None:
    assert where in problems(change, to)


def test_all_mistakes_are_told_at_once() -> None:
    found = compile_mapping({"name": "X", "style": {"decimal": "x"}, "event": [{"type": "?"}]})
    assert not isinstance(found, Mapping)
    assert len(found) >= 4


def test_schema_and_compiler_know_the_same_keys() -> None:
    schema: dict[str, Any] = schedules.schema("mapping")
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema)
    assert checker.is_valid(tomllib.loads(EXAMPLE))
    for change, to in [("[style]", "[styles]"), ("currency =", "curency ="), ("number =", "nr =")]:
        assert not checker.is_valid(tomllib.loads(EXAMPLE.replace(change, to, 1)))
