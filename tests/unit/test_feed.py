"""Wording of outcomes, meaning of answers, signatures; no store and no network."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.adapters.ledger import BadSecret, read_secrets, sign
from agent.domain.feed import (
    BACKOFF_FIRST,
    BACKOFF_MAX,
    CONFLICT_TRIES,
    RETRY_AFTER_MAX,
    Acknowledged,
    Delayed,
    Misdirected,
    Rejected,
    Told,
    answer_of,
    backoff,
    cloud_event,
    in_the_end,
    line,
    outcome_id,
    parse_outcome_id,
    read_retry_after,
    unbroken,
)
from agent.domain.report_paths import OutcomeTally

AT = datetime(2017, 7, 1, 23, 0, tzinfo=UTC)


def told(seq: int = 4, kind: str = "account.bucket_changed", corrects: int | None = None) -> Told:
    data = {
        "to": "1-7",
        "from": "current",
        "conduct": {"worst_dpd": 1, "instalments": [{"b": 1, "a": 2}]},
    }
    return Told("mobile-loans", "301", "Africa/Lagos", seq, kind, AT, data, corrects)  # fmt: skip


def test_an_outcome_is_a_cloud_event_with_fields_in_a_fixed_order() -> None:
    assert line(told()) == (
        b'{"specversion":"1.0","id":"mobile-loans/301/4","source":"duly/mobile-loans",'
        b'"type":"account.bucket_changed","subject":"301","time":"2017-07-02T00:00:00+01:00",'
        b'"sequence":4,"data":{"conduct":{"instalments":[{"a":2,"b":1}],"worst_dpd":1},'
        b'"from":"current","to":"1-7"}}'
    )


def test_the_order_of_keys_in_the_database_does_not_show() -> None:
    other = Told("mobile-loans", "301", "Africa/Lagos", 4, "account.bucket_changed", AT,
                 orjson.loads(orjson.dumps(dict(sorted(told().data.items(), reverse=True)))))  # fmt: skip
    assert line(other) == line(told())


def test_a_retraction_names_the_id_it_corrects() -> None:
    event = cloud_event(told(seq=6, kind="outcome.retracted", corrects=4))
    assert event["data"]["corrects"] == "mobile-loans/301/4"
    assert event["data"]["corrects_sequence"] == 4


def test_the_report_understands_what_is_fed() -> None:
    tally = OutcomeTally()
    tally.add(cloud_event(told(seq=1)))
    tally.add(cloud_event(told(seq=2)))
    tally.add(cloud_event(told(seq=3, kind="outcome.retracted", corrects=1)))
    assert [fact.sequence for fact in tally.standing()["301"]] == [2]


@given(st.text(), st.text(), st.integers(1, 2**31 - 1))
def test_ids_are_safe_in_headers_and_reversible(portfolio: str, loan: str, seq: int) -> None:
    try:
        text = outcome_id(portfolio, loan, seq)
    except UnicodeEncodeError:
        return  # a lone surrogate is no reference that the store can hold
    assert text.isascii()
    assert text.isprintable()
    assert "." not in text
    if "\0" in portfolio + loan:
        assert parse_outcome_id(text) is None
    else:
        assert parse_outcome_id(text) == (portfolio, loan, seq)


@pytest.mark.parametrize(
    "text",
    [
        *("", "a/b", "a/b/c", "a/b/1/2", "a/b/01", "a/b/-1", "a/b/²", "a.b/c/1", "a/%zz/1"),
        *("a/%00/1", "a/b/9999999999"),
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_outcome_id(text) is None


@pytest.mark.parametrize(
    ("status", "meaning"),
    [
        (200, Acknowledged), (201, Acknowledged), (202, Acknowledged), (204, Acknowledged),
        (301, Misdirected), (307, Misdirected), (401, Misdirected), (403, Misdirected), (404, Misdirected),
        (400, Rejected), (413, Rejected), (422, Rejected), (451, Rejected),
        (408, Delayed), (409, Delayed), (425, Delayed), (429, Delayed),
        (500, Delayed), (502, Delayed), (503, Delayed), (199, Delayed), (600, Delayed),
    ],
)  # fmt: skip
def test_what_a_status_means(status: int, meaning: type) -> None:
    assert isinstance(answer_of(status, None), meaning)


def test_a_conflict_is_a_rejection_once_it_has_lasted() -> None:
    conflict, down = answer_of(409, None), answer_of(500, None)
    assert in_the_end(conflict, CONFLICT_TRIES - 1) is conflict
    assert in_the_end(conflict, CONFLICT_TRIES) == Rejected("http-409")
    assert in_the_end(down, 10**6) is down


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        (None, None),
        ("30", timedelta(seconds=30)),
        (" 7 ", timedelta(seconds=7)),
        ("Sun, 02 Jul 2017 23:00:10 GMT", RETRY_AFTER_MAX),
        ("Sat, 01 Jul 2017 23:00:10 GMT", timedelta(seconds=10)),
        ("Sat, 01 Jul 2017 22:00:00 GMT", timedelta(0)),
        ("99999999999999", RETRY_AFTER_MAX),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_retry_after(header: str | None, wait: timedelta | None) -> None:
    assert read_retry_after(header, AT) == wait


def test_backoff_grows_to_its_limit() -> None:
    waits = [backoff(tries, 1.0) for tries in range(1, 60)]
    assert waits[0] == BACKOFF_FIRST
    assert waits == sorted(waits)
    assert waits[-1] == BACKOFF_MAX
    assert backoff(3, 0.5) == BACKOFF_FIRST * 2


@given(st.sets(st.integers(1, 40)))
def test_a_run_ends_at_its_first_hole(ranks: set[int]) -> None:
    count = unbroken(sorted(ranks))
    assert set(range(1, count + 1)) <= ranks
    assert count + 1 not in ranks


def test_a_signature_is_what_standard_webhooks_says() -> None:
    # the example of the specification's own verification tools
    keys = read_secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = sign(keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_make_two_signatures_while_one_replaces_the_other() -> None:
    old, new = b"o" * 24, b"n" * 24
    text = " ".join("whsec_" + base64.b64encode(key).decode() for key in (new, old))
    signatures = sign(read_secrets(text), "a/b/1", 5, b"{}").split()
    for key, signature in zip((new, old), signatures, strict=True):
        digest = hmac.new(key, b"a/b/1.5.{}", hashlib.sha256).digest()
        assert signature == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize("text", ["whsec_", "whsec_***", "kein Geheimnis!"])
def test_a_bad_secret_is_refused(text: str) -> None:
    with pytest.raises(BadSecret):
        read_secrets(text)
