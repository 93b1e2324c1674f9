"""The token by which Apple knows us: one for all processes, changed neither too seldom nor too often."""

from datetime import timedelta
from itertools import pairwise

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from yarl import URL

from channels.base import Accepted, Refused
from channels.http2_client import Http2Client
from channels.jwt import unbase64url
from channels.push import Life
from channels.push_apns import ApnsChannel, ProviderTokens
from tests.channels.test_push_apns import AT, KEY, LATER, OURS, message
from tests.support.apple import Pushed, Talk, apple
from tests.support.raw_http import JumpingClock


def test_processes_share_one_token_and_change_it_every_forty_minutes() -> None:
    now = [AT]
    here, there = (ProviderTokens(KEY, lambda: now[0]) for _ in range(2))
    seen = []
    for minute in range(0, 121, 5):
        now[0] = AT + timedelta(minutes=minute)
        assert here.token() == there.token()
        head, claims, signature = here.token().split(".")
        assert orjson.loads(unbase64url(head)) == {"alg": "ES256", "kid": "ABC123DEFG"}
        said = orjson.loads(unbase64url(claims))
        assert said["iss"] == "TEAM123456"
        assert 0 <= now[0].timestamp() - said["iat"] < 40 * 60
        raw = unbase64url(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32]), int.from_bytes(raw[32:]))
        KEY.key.public_key().verify(der, f"{head}.{claims}".encode(), ec.ECDSA(SHA256()))
        seen.append(said["iat"])
    assert sorted({b - a for a, b in pairwise(seen)}) == [0, 40 * 60]


def issued(tokens: ProviderTokens) -> int:
    at: int = orjson.loads(unbase64url(tokens.token().split(".")[1]))["iat"]
    return at


def test_a_token_that_apple_calls_too_old_is_renewed_and_not_too_often() -> None:
    now = [AT + timedelta(minutes=35)]
    here, there = (ProviderTokens(KEY, lambda: now[0]) for _ in range(2))
    old = here.token()
    assert here.renewed(old)
    now[0] += timedelta(seconds=10)
    assert there.renewed(there.token())
    assert here.token() == there.token() != old
    # whoever was refused at the same time hears of it; the new one is not exchanged at once
    assert here.renewed(old)
    assert not here.renewed(here.token())
    seen = [issued(here)]
    for minute in range(1, 200):
        now[0] += timedelta(minutes=1)
        seen.append(issued(here))
        assert 0 <= now[0].timestamp() - seen[-1] < 41 * 60
        if minute == 70:
            assert here.renewed(here.token())
    gaps = [b - a for a, b in pairwise(dict.fromkeys(seen))]
    assert min(gaps) >= 20 * 60


async def test_when_our_clock_is_behind_the_next_try_has_a_newer_token() -> None:
    async with apple() as server:
        clock = JumpingClock()
        late = AT + timedelta(minutes=39)
        tokens = ProviderTokens(KEY, lambda: late)
        client = Http2Client(URL(server.url), clock)
        channel = ApnsChannel(client, "com.kobo.app", tokens, Life(lambda: late, 14400))
        old = tokens.token()

        def too_old(talk: Talk, pushed: Pushed) -> None:
            expired = pushed.headers["authorization"] == f"bearer {old}"
            reason = {"reason": "ExpiredProviderToken"} if expired else None
            talk.answer(pushed.stream, 403 if expired else 200, reason)

        server.act = too_old
        assert await channel.send(message(clock)) == Refused("ExpiredProviderToken", LATER)
        assert isinstance(await channel.send(message(clock, 1)), Accepted)
        old = tokens.token()
        assert await channel.send(message(clock, 2)) == Refused("ExpiredProviderToken", OURS)
        await channel.close()
