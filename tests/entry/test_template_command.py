"""`duly template`: lint, render and segments, as a person runs them."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from agent.entry import template_command
from agent.entry.output import Refused
from templates import names, text


def run(*arguments: str) -> tuple[int, str]:
    app = typer.Typer()
    app.callback()(lambda: None)
    template_command.register(app)
    done = CliRunner().invoke(app, ["template", *arguments], catch_exceptions=True)
    if isinstance(done.exception, Refused):
        return 2, str(done.exception)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, done.output


def answered(*arguments: str) -> Any:
    return json.loads(run(*arguments, "--json")[1])


def test_shipped_texts_pass() -> None:
    code, said = run("lint")
    assert (code, said.strip()) == (0, "80 texts: nothing wrong")
    document = answered("lint")
    assert (document["texts"], document["problems"], len(document["costs"])) == (80, 0, 75)


def test_a_country_is_judged_by_its_route(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = answered("lint", "--country", "US")["findings"]
    (route,) = [each for each in found if each["rule"] == "route"]
    assert (route["severity"], route["what"]) == ("warning", "nothing goes there: loan-content")
    assert "30863" in route["source"]
    own = tmp_path / "countries.toml"
    own.write_text(
        '[[country]]\ncode = "US"\nloan_content = true\ntwo_way = false\nlinks = true\nsenders = ["number"]\n'
        'basis = "lender"\nsource = "our counsel"\nchecked_on = 2026-11-01\n'
    )
    monkeypatch.setenv("DULY_TWILIO_COUNTRIES", str(own))
    found = answered("lint", "--country", "US")["findings"]
    said = {each["what"] for each in found if each["rule"] == "route"}
    assert said == {"refused on the way to US: one-way"}


def test_own_folder_is_linted(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "due-soon.txt").write_text("pay {amount} or we sue", "utf-8")
    code, said = run("lint", str(tmp_path))
    assert code == 1
    assert "en/due-soon:20: “sue” threatens a legal step" in said.replace("\n", " ")
    document = answered("lint", str(tmp_path))
    assert document["problems"] == len(document["findings"]) > 1
    assert run("lint", str(tmp_path / "no"))[0] == 2
    (tmp_path / "en" / "bad.txt").write_bytes(b"\xff\xfe")
    assert run("lint", str(tmp_path))[0] == 2


def test_render_shows_the_finished_message() -> None:
    arguments = (
        "render",
        "due-soon",
        "--locale",
        "zh-CN",
        "--country",
        "CN",
        "--amount",
        "6500.00 CNY",
    )
    found = answered(*arguments)
    assert found["body"] == (
        "【Quick Cash】温馨提示：您有一笔6,500.00元的还款将于2026年11月23日到期。"
        "如已还款，请忽略本消息，谢谢。"
    )
    assert (found["segments"]["encoding"], found["segments"]["segments"]) == ("ucs2", 1)
    code, said = run("render", "overdue-7", "--locale", "en-US", "--country", "us", "--third-party")
    assert code == 0
    assert "This is from a debt collector. Reply STOP to opt out." in said
    assert "1 part" in said or "2 parts" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("render", "nope"),
        ("render", "due-soon", "--amount", "6500"),
        ("render", "due-soon", "--amount", "6500.005 NGN"),
        ("render", "due-soon", "--today", "tomorrow"),
        ("render", "due-soon", "--country", "XX"),
        ("render", "due-soon", "--channel", "pigeon"),
        ("render", "nope", "--channel", "push"),
        ("lint", "--schedule", "nope"),
        ("segments",),
        ("segments", "a", "--file", "b"),
        ("segments", "--file", "/no/such"),
        ("segments", "nope", "--locale", "en"),
    ],
)
def test_bad_use_says_what_to_do(arguments: tuple[str, ...]) -> None:
    code, said = run(*arguments)
    assert code == 2
    assert said


def test_segments_of_a_text_a_file_and_a_message(tmp_path: Path) -> None:
    found = answered("segments", "Don’t forget")
    assert (found["encoding"], found["units"], found["segments"]) == ("ucs2", 12, 1)
    assert found["forced_by"] == {
        "character": "’",
        "position": 4,
        "name": "U+2019 RIGHT SINGLE QUOTATION MARK",
        "replacement": "'",
    }
    file = tmp_path / "text"
    file.write_text("A" * 161 + "\n", "utf-8")
    assert [len(part) for part in answered("segments", "--file", str(file))["parts"]] == [153, 8]
    file.write_bytes("\ufeffa\r\nb\n\n".encode())
    counted = answered("segments", "--file", str(file))
    assert (counted["encoding"], counted["parts"]) == ("gsm7", ["a\r\nb\n"])
    message = answered("segments", "overdue-31", "--locale", "es")
    assert (message["encoding"], message["segments"]) == ("gsm7", 2)
    assert message["parts"][0].startswith("Superlender Ltd: ")
    assert "GSM-7, 3 units, 1 part" in run("segments", "abc")[1]


def test_a_language_that_readers_must_find_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    for name in names("en"):
        (folder / f"{name}.txt").write_text(text("en", name) or "", "utf-8")
    assert run("lint", str(folder.parent))[0] == 0
    code, said = run("lint", str(folder.parent), "--locale", "en", "--locale", "sw")
    assert code == 1
    assert "sw/*: no text at all" in said


def test_texts_of_other_editors_are_read_and_bad_ones_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    for name in names("en"):
        raw = (text("en", name) or "").replace("\n", "\r\n").encode("utf-8-sig")
        (folder / f"{name}.txt").write_bytes(raw)
    assert run("lint", str(folder.parent)) == (0, "16 texts: nothing wrong\n")
    (folder / "overdue-7.txt").write_bytes(b"caf\xe9")
    code, said = run("lint", str(folder.parent))
    assert code == 2
    assert "overdue-7.txt is not UTF-8" in said


@pytest.mark.parametrize(
    ("given", "code"),
    [("lender.example", 0), ("https://Lender.Example/", 0), ("pay.lender.example", 1), ("example", 2),
     (".example", 2), ("lender example", 2), ("*.example", 2)],
)  # fmt: skip
def test_only_a_host_can_be_allowed(tmp_path: Path, given: str, code: int) -> None:
    folder = tmp_path / "texts" / "en"
    folder.mkdir(parents=True)
    for name in names("en"):
        (folder / f"{name}.txt").write_text(text("en", name) or "", "utf-8")
    (folder / "overdue-7.txt").write_text("see https://lender.example/a for {amount}", "utf-8")
    assert run("lint", str(folder.parent), "--allow-link", given)[0] == code
