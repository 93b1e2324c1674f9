"""One table sorts Twilio's answers; whatever is not in it is unknown."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.base import Accepted, Answer, Fault, Refusal, Refused, Unknown
from channels.sms_twilio.answers import classify, retry_after

SID = "SM" + "0a" * 16


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (201, f'{{"sid":"{SID}"}}', Accepted(SID)),
        (201, f'{{"sid":"{SID}","status":"failed"}}', Accepted(SID)),
        (201, '{"sid":"SM1"}', Unknown("http-201-without-sid")),
        (201, f'{{"sid":"{SID}0"}}', Unknown("http-201-without-sid")),
        (201, '{"sid":null}', Unknown("http-201-without-sid")),
        (201, "{}", Unknown("http-201-without-sid")),
        (201, "[]", Unknown("http-201-unreadable")),
        (201, "<html>", Unknown("http-201-unreadable")),
        (200, f'{{"sid":"{SID}"}}', Unknown("http-200")),
        (202, f'{{"sid":"{SID}"}}', Unknown("http-202")),
        (307, "", Unknown("http-307")),
        (429, "", Refused("429", Refusal.TRANSIENT)),
        (400, '{"code":21211,"message":"x","status":400}',
         Refused("21211", Refusal.PERMANENT, fault=Fault.NUMBER)),
        (400, '{"type":"u","title":"t","status":400,"code":21610}',
         Refused("21610", Refusal.OPTED_OUT, fault=Fault.OPT_OUT)),
        (400, '{"code":"21211"}', Unknown("http-400-without-code")),
        (400, '{"code":true}', Unknown("http-400-without-code")),
        (400, '{"code":77777}', Refused("77777", Refusal.CONFIGURATION, fault=Fault.UNKNOWN)),
        (400, '{"code":20500}', Unknown("code-20500")),
        (404, "<html>not here</html>", Unknown("http-404-unreadable")),
        (408, '{"code":1}', Unknown("http-408")),
        (500, '{"code":20500}', Unknown("http-500")),
        (503, '{"code":20503}', Unknown("http-503")),
        (503, '{"code":21211}', Unknown("http-503")),
    ],
)  # fmt: skip
def test_table(status: int, body: str, answer: Answer) -> None:
    assert classify(status, {}, body.encode()) == answer


@given(st.integers(0, 999), st.binary(max_size=60))
def test_only_a_201_with_a_message_id_accepts_and_only_a_4xx_refuses(
    status: int, body: bytes
) -> None:
    answer = classify(status, {}, body)
    assert not isinstance(answer, Accepted)
    assert not isinstance(answer, Refused) or 400 <= status < 500
    whole = classify(status, {}, orjson.dumps({"sid": SID, "code": 21211}))
    assert isinstance(whole, Accepted) == (status == 201)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("1", 1.0), ("9999999", 3600.0), ("-1", None), ("1.5", None), ("Wed, 21 Oct 2026", None), ("٣", None)],
)  # fmt: skip
def test_how_long_to_wait(said: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": said}) == seconds


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 09:28:00 GMT", 3600.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("21 Oct", None),
    ],
)
def test_a_date_counts_from_the_providers_own_clock(said: str, seconds: float | None) -> None:
    headers = {"Retry-After": said, "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}
    assert retry_after(headers) == seconds
    answer = classify(429, headers, b"{}")
    assert isinstance(answer, Refused)
    assert answer.retry_after == seconds
