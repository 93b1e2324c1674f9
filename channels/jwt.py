"""JSON Web Tokens that we sign ourselves: RS256 for Google, ES256 for Apple and for Web Push."""

import base64
from collections.abc import Mapping

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

# The same claims give the same token in every process, which is how Apple wants it.
_ES256 = ec.ECDSA(SHA256(), deterministic_signing=True)


class BadKey(ValueError):
    """A key that cannot be used; the message never holds any of it."""


def signed_rs256(
    key: rsa.RSAPrivateKey, header: Mapping[str, str], claims: Mapping[str, object]
) -> str:
    """A token with an RSA signature."""
    head = _head({"alg": "RS256", "typ": "JWT", **header}, claims)
    return f"{head}.{base64url(key.sign(head.encode(), padding.PKCS1v15(), SHA256()))}"


def signed_es256(
    key: ec.EllipticCurvePrivateKey, header: Mapping[str, str], claims: Mapping[str, object]
) -> str:
    """A token with a P-256 signature: r and s, 32 bytes each, not DER."""
    head = _head({"alg": "ES256", **header}, claims)
    r, s = decode_dss_signature(key.sign(head.encode(), _ES256))
    return f"{head}.{base64url(r.to_bytes(32) + s.to_bytes(32))}"


def read_rsa_key(pem: str) -> rsa.RSAPrivateKey:
    """An RSA key of at least 2048 bits; raises `BadKey`."""
    key = _read(pem)
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size < 2048:
        raise BadKey("not an RSA private key of 2048 bits or more")
    return key


def read_p256_key(pem: str) -> ec.EllipticCurvePrivateKey:
    """A private key on the curve P-256; raises `BadKey`."""
    key = _read(pem)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise BadKey("not a private key on the curve P-256")
    return key


def base64url(data: bytes) -> str:
    """Without padding, as JSON Web Tokens and Web Push write it."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64url(text: str) -> bytes:
    """The reverse, padded or not; raises `ValueError`."""
    plain = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)


def _head(header: Mapping[str, str], claims: Mapping[str, object]) -> str:
    return f"{base64url(orjson.dumps(header))}.{base64url(orjson.dumps(claims))}"


def _read(pem: str) -> object:
    try:
        return load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as problem:
        raise BadKey("not a private key in PEM without a password") from problem
