"""The shipped files: valid for editors by schema, valid for Duly by compiling, and the same to both."""

import copy
import tomllib
from collections.abc import Callable, Iterator
from datetime import date, time
from functools import cache, partial, reduce
from typing import Any

import jsonschema
import pytest

import schedules
from agent.domain.calendar import BusinessCalendar, compile_calendar, wrong_file
from agent.domain.conduct import DailyCap, Pack, compile_pack
from agent.domain.conduct_compile import file_problems, head_problems
from agent.domain.ladder import Ladder, compile_ladder
from agent.flows.calendars import shipped_calendars
from agent.flows.rules import read_pack

Raw = dict[str, Any]
FILES = [
    *(("ladder", name, schedules.ladder_text(name)) for name in schedules.ladder_names()),
    *(("conduct", name, schedules.conduct_text(name)) for name in schedules.conduct_names()),
    *(("calendar", name, schedules.calendar_text(name)) for name in schedules.calendar_names()),
]


def plain(value: Any) -> Any:
    """TOML's times and dates as editors see them when they validate."""
    match value:
        case dict():
            return {key: plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
        case date() | time():
            return value.isoformat()
        case _:
            return value


def valid(kind: str, raw: Raw) -> bool:
    return bool(validator(kind).is_valid(plain(raw)))


@cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = schedules.schema(kind)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def compiles(kind: str, raw: Raw) -> bool:
    match kind:
        case "ladder":
            return isinstance(compile_ladder(raw), Ladder)
        case "conduct":
            wrong = file_problems(raw) or (*head_problems(raw),)
            return not wrong and isinstance(compile_pack(raw, "1", shipped_calendars()), Pack)
        case _:
            return isinstance(wrong_file(raw) or compile_calendar(raw), BusinessCalendar)


@pytest.mark.parametrize(("kind", "name", "text"), FILES, ids=lambda value: str(value)[:30])
def test_shipped_file_is_valid_and_compiles(kind: str, name: str, text: str) -> None:
    raw = tomllib.loads(text)
    assert text.startswith(f"#:schema ../{kind}.schema.json\n")
    assert valid(kind, raw)
    assert compiles(kind, raw)
    assert name == (raw["pack"]["id"] if kind == "conduct" else raw["name"])


# Looked up, so that only Duly can say that they are not there; and names that a lender's ledger chooses.
LOOKED_UP = {"calendar", "clock"}
CHOSEN = {"when", "allows", "deny_if", "unless"}
OTHERS: tuple[Any, ...] = ("zzz", "", -7, True, 1.5, [], {}, ["zzz"])


def places(value: Any, *path: Any) -> Iterator[tuple[Any, ...]]:
    """Every key and the first items of every list, from the top down."""
    items = value.items() if isinstance(value, dict) else enumerate(value[:2])
    for key, item in items:
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, *path, key)


def changed(raw: Raw, path: tuple[Any, ...], change: Callable[[Any, Any], object]) -> Raw:
    new = copy.deepcopy(raw)
    change(reduce(lambda at, key: at[key], path[:-1], new), path[-1])
    return new


def put(other: Any, table: Any, key: Any) -> None:
    table[key] = other


def misspell(table: Any, key: Any) -> None:
    table[key + "x"] = table.pop(key)


@pytest.mark.parametrize(
    ("kind", "text"), [(kind, text) for kind, _, text in FILES], ids=[name for _, name, _ in FILES]
)
def test_a_misspelt_key_is_wrong_to_editors_and_to_duly(kind: str, text: str) -> None:
    raw = tomllib.loads(text)
    for path in places(raw):
        if not isinstance(path[-1], str) or CHOSEN.intersection(path[-2:-1]):
            continue
        new = changed(raw, path, misspell)
        assert not valid(kind, new), path
        assert not compiles(kind, new), path


@pytest.mark.parametrize(
    ("kind", "name"), [("ladder", "consumer-instalment"), ("conduct", "house"),
                       ("conduct", "us-fed-tcpa"), ("calendar", "cn-state-council")],
)  # fmt: skip
def test_editors_and_duly_refuse_the_same_values(kind: str, name: str) -> None:
    raw = tomllib.loads(next(text for k, n, text in FILES if (k, n) == (kind, name)))
    for path in places(raw):
        for other in () if path[-1] in LOOKED_UP else OTHERS:
            new = changed(raw, path, partial(put, other))
            assert valid(kind, new) is compiles(kind, new), (path, other)


def test_a_pack_whose_rules_are_misspelt_is_no_pack_without_rules() -> None:
    text = schedules.conduct_text("house").replace("[[rule]]", "[[rules]]")
    found = read_pack(text.replace("[rule.source]", "[rules.source]"), shipped_calendars())
    assert not isinstance(found, Pack)
    told = [f"{problem.what} ({problem.fix})" for problem in found]
    assert told == [
        "a pack file has no rules (use [pack] and [[rule]])",
        "no [[rule]] tables (write at least one)",
    ]


def stage(number: int, **changes: Any) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        raw["stage"][number].update(changes)

    return change


def without(number: int, key: str) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        del raw["stage"][number][key]

    return change


def top(**changes: Any) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        raw.update(changes)

    return change


CASE, END = 11, 16


@pytest.mark.parametrize(
    "change",
    [
        top(name="Two Words"),
        top(buckets=[]),
        top(buckets=[0]),
        top(stage=[]),
        top(owner="me"),
        stage(0, id="Bad Id"),
        stage(0, grade="rude"),
        stage(0, offset_days=1.5),
        stage(0, offset_days=9999),
        stage(0, at="ten"),
        stage(0, action="shout"),
        stage(0, channels=[]),
        stage(0, channels=["fax"]),
        stage(0, channels=["sms"]),
        stage(0, fallback_after_minutes=0),
        stage(0, catch_up="maybe"),
        stage(0, not_after_hours=0),
        stage(0, colour="red"),
        stage(0, case="call"),
        stage(0, ends_contact=True),
        stage(0, repeat={"every_days": 7}),
        stage(CASE, message="due-soon"),
        stage(END, outcome="account.cured"),
        stage(END, repeat={"every_days": 7, "until_offset_days": 200}),
        without(0, "id"),
        without(0, "at"),
        without(0, "message"),
        without(0, "channels"),
        without(0, "fallback_after_minutes"),
        without(0, "catch_up"),
        without(0, "not_after_hours"),
        without(CASE, "case"),
        without(END, "outcome"),
    ],
)
def test_wrong_ladder_is_wrong_to_editors_and_to_duly(change: Callable[[Raw], None]) -> None:
    raw = copy.deepcopy(tomllib.loads(schedules.ladder_text("consumer-instalment")))
    change(raw)
    assert not valid("ladder", raw)
    assert not compiles("ladder", raw)


def conduct_rule(number: int, **changes: Any) -> Raw:
    raw = copy.deepcopy(tomllib.loads(schedules.conduct_text("house")))
    raw["rule"][number].update(changes)
    return raw


@pytest.mark.parametrize(
    "raw",
    [
        conduct_rule(0, type="curfew"),
        conduct_rule(0, windows={}),
        conduct_rule(0, windows={"all_days": ["08:00"]}),
        conduct_rule(1, count=0),
        conduct_rule(1, period={}),
        conduct_rule(1, period={"rolling": "a day"}),
    ],
)
def test_wrong_pack_is_wrong_to_editors_and_to_duly(raw: Raw) -> None:
    assert not valid("conduct", raw)
    assert not compiles("conduct", raw)


def test_pack_without_its_warning_is_refused_by_the_schema() -> None:
    for key in ("checked_on", "reviewed_by", "notice"):
        raw = copy.deepcopy(tomllib.loads(schedules.conduct_text("house")))
        del raw["pack"][key]
        assert not valid("conduct", raw)


@pytest.mark.parametrize("change", [{"off": ["soon"]}, {"weekend": ["caturday"]}, {"covers": []}])
def test_wrong_calendar_is_wrong_to_editors_and_to_duly(change: Raw) -> None:
    raw = tomllib.loads(schedules.calendar_text("us-federal")) | change
    assert not valid("calendar", raw)
    assert not compiles("calendar", raw)


def test_shipped_ladder_is_the_documented_one() -> None:
    ladder = compile_ladder(tomllib.loads(schedules.ladder_text("consumer-instalment")))
    assert isinstance(ladder, Ladder)
    assert ladder.buckets == (1, 8, 31, 61, 91)
    shape = [(str(s.grade), s.offset_days, s.at, str(s.action)) for s in ladder.stages]
    ten = time(10)
    assert shape == [
        ("reminder", -3, ten, "message"),
        ("reminder", -1, time(18), "message"),
        ("reminder", 0, time(9), "message"),
        *(("friendly", day, ten, "message") for day in (1, 3, 7)),
        *(("firm", day, ten, "message") for day in (10, 15, 21, 28)),
        ("formal", 31, ten, "message"),
        ("formal", 35, ten, "case"),
        ("formal", 40, ten, "message"),
        ("formal", 50, ten, "message"),
        ("final", 61, ten, "message"),
        ("final", 75, ten, "message"),
        ("final", 91, ten, "outcome"),
    ]
    assert [s.id for s in ladder.stages if s.ends_contact] == ["end-91"]


def test_house_rules_are_the_documented_ones() -> None:
    pack = compile_pack(tomllib.loads(schedules.conduct_text("house")), "1")
    assert isinstance(pack, Pack)
    caps = [(rule.count, rule.days) for rule in pack.rules if isinstance(rule, DailyCap)]
    assert caps == [(1, 1), (5, 7)]
    assert pack.in_force(date(2016, 1, 1))


def test_unknown_names_are_refused() -> None:
    for name in ("nowhere", "../conduct/house", ""):
        with pytest.raises(KeyError):
            schedules.ladder_text(name)
        with pytest.raises(KeyError):
            schedules.schema(name)
