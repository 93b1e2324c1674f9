"""`duly portfolio`: what binds, and what is to bind."""

import json

import pytest

from tests.entry.command import duly


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--role", "first_party"], "say why"),
        (["--reason", "x"], "nothing to change"),
        (["--role", "lender", "--reason", "x"], "there is no role lender"),
    ],
)
def test_bad_use_says_what_to_do(options: list[str], why: str, database_url: str) -> None:
    answer = duly("portfolio", "set", "p", *options, DULY_DATABASE_URL=database_url)
    assert answer.code == 2
    assert why in answer.err


def test_list_and_choice(database_url: str) -> None:
    at = {"DULY_DATABASE_URL": database_url}
    assert json.loads(duly("portfolio", "--json", **at).out) == {"portfolios": []}
    answer = duly("portfolio", "set", "p", "--packs", "house", "--reason", "x", **at)
    assert answer.code == 2
    assert "there is no portfolio p" in answer.err
