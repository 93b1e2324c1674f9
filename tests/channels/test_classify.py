"""One table says what an HTTP answer means; whatever is not in it is unknown."""

import pytest

from channels.base import Accepted, Answer, Refusal, Refused, Unknown, classify


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (201, b'{"id":"SM1"}', Accepted("SM1")),
        (201, b'{"id":""}', Unknown("http-201-without-id")),
        (201, b'{"id":7}', Unknown("http-201-without-id")),
        (201, b"{}", Unknown("http-201-without-id")),
        (201, b'{"id":"SM', Unknown("http-201-unreadable")),
        (201, b"[]", Unknown("http-201-unreadable")),
        (201, b"", Unknown("http-201-unreadable")),
        (200, b'{"id":"SM1"}', Unknown("http-200")),
        (202, b'{"id":"SM1"}', Unknown("http-202")),
        (302, b'{"id":"SM1"}', Unknown("http-302")),
        (429, b"", Refused("429", Refusal.TRANSIENT)),
        (429, b"<html>", Refused("429", Refusal.TRANSIENT)),
        (400, b'{"code":21211}', Refused("21211", Refusal.PERMANENT)),
        (400, b'{"code":"21610","kind":"opted_out"}', Refused("21610", Refusal.OPTED_OUT)),
        (400, b'{"code":"x","kind":"nonsense"}', Refused("x", Refusal.PERMANENT)),
        (401, b'{"code":20003}', Refused("20003", Refusal.CONFIGURATION)),
        (403, b'{"code":20003}', Refused("20003", Refusal.CONFIGURATION)),
        (404, b"<html>not found</html>", Unknown("http-404-unreadable")),
        (400, b'{"code":true}', Unknown("http-400-without-code")),
        (400, b'{"message":"no"}', Unknown("http-400-without-code")),
        (408, b'{"code":1}', Unknown("http-408")),
        (500, b'{"code":20500}', Unknown("http-500")),
        (503, b"", Unknown("http-503")),
        (100, b"", Unknown("http-100")),
        (0, b"", Unknown("http-0")),
    ],
)
def test_table(status: int, body: bytes, answer: Answer) -> None:
    assert classify(status, body) == answer


def test_only_201_accepts_and_only_4xx_refuses() -> None:
    for status in range(700):
        answer = classify(status, b'{"id":"SM1","code":1}')
        assert isinstance(answer, Accepted) == (status == 201)
        assert not isinstance(answer, Refused) or 400 <= status < 500
