"""A lender's own countries: an entry means what it says, or the file is refused with what to write."""

import re

import pytest

from channels.sms_twilio.countries import BadProfile, profiles

GERMANY = {
    "code": '"DE"', "loan_content": "true", "two_way": "true", "links": "true", "senders": '["number"]',
    "source": '"counsel"', "checked_on": "2026-01-01",
}  # fmt: skip


def germany(**change: str | None) -> str:
    keys = {name: value for name, value in (GERMANY | change).items() if value is not None}
    return "[[country]]\n" + "".join(f"{name} = {value}\n" for name, value in keys.items())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({name: None}, f"{name} missing") for name in GERMANY
    ] + [
        ({"code": '"de"'}, "two capital letters"),
        ({"code": "49"}, "two capital letters"),
        ({"two_way": '"false"'}, "true or false"),
        ({"links": "1"}, "true or false"),
        ({"opt_out_footer": "0"}, "true or false"),
        ({"senders": '["fax"]'}, 'as ["name"]'),
        ({"senders": '"number"'}, "senders are some of"),
        ({"senders": "[]"}, "no kind of sender"),
        ({"senders": "[1]"}, "senders are some of"),
        ({"registration": '"campaign"'}, 'as ["campaign"]'),
        ({"registration": '["campaign"]', "registered": '["campain"]'}, "registered are some of"),
        ({"registration": "5"}, "registration are some of"),
        ({"source": '" "'}, "say the source"),
        ({"source": "5"}, "say the source"),
        ({"checked_on": '"2026-01-01"'}, "the day on which"),
        ({"checked_on": "2026-01-01T00:00:00Z"}, "the day on which"),
        ({"quiet_hours": '"9-8"'}, "21:00-08:00"),
        ({"quiet_hours": '"22:00-22:00"'}, "21:00-08:00"),
        ({"quiet_hours": "22"}, "21:00-08:00"),
        ({"basis": '"hearsay"'}, "basis is one of"),
        ({"basis": '["vendor"]'}, "basis is one of"),
        ({"loans": "true"}, "nothing is called loans"),
    ],
)  # fmt: skip
def test_a_profile_that_says_too_little_or_something_else_is_refused(
    change: dict[str, str | None], says: str
) -> None:
    with pytest.raises(BadProfile, match=re.escape(says)):
        profiles(germany(**change))


@pytest.mark.parametrize(
    "text",
    [
        "not toml [", germany() + germany(), germany().replace("[[country]]", "[country]"),
        germany().replace("country", "countries"), 'country = "DE"', "country = [5]",
    ],
)  # fmt: skip
def test_a_file_that_is_no_list_of_countries_is_refused(text: str) -> None:
    with pytest.raises(BadProfile):
        profiles(text)


def test_a_file_of_ones_own_goes_beside_and_over_the_shipped_one() -> None:
    assert profiles("") == profiles()
    assert profiles(germany()).keys() == profiles().keys() | {"DE"}
    assert profiles(germany(code='"NG"', two_way="false"))["NG"].two_way is False
