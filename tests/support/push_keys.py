"""Keys and addresses for push tests, made anew in each run: nothing here opens anything."""

from functools import cache

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from channels.jwt import base64url

AUTH = bytes(range(16))


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    """A service account's key."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@cache
def _p256_key(which: str) -> ec.EllipticCurvePrivateKey:
    assert which
    return ec.generate_private_key(ec.SECP256R1())


def p256_key(which: str = "ours") -> ec.EllipticCurvePrivateKey:
    """A key on P-256: for APNs, for VAPID, or of a browser; the same for the same name."""
    return _p256_key(which)


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """As providers hand private keys out."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def service_account(token_url: str) -> str:
    """Google's key file."""
    return orjson.dumps(
        {
            "type": "service_account",
            "project_id": "demo-loans",
            "client_email": "duly@demo-loans.example",
            "private_key_id": "k1",
            "private_key": pem(rsa_key()),
            "token_uri": token_url,
        }
    ).decode()


def subscription(endpoint: str) -> str:
    """What a browser's `PushSubscription.toJSON()` gives."""
    point = (
        p256_key("browser").public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    )
    keys = {"p256dh": base64url(point), "auth": base64url(AUTH)}
    return orjson.dumps({"endpoint": endpoint, "expirationTime": None, "keys": keys}).decode()
