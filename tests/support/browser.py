"""The receiving half of RFC 8291, written from the RFC and apart from what it checks."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def decrypt(body: bytes, key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """What the browser with this key reads in one `aes128gcm` body."""
    salt, size, length = body[:16], int.from_bytes(body[16:20]), body[20]
    sender, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(sealed) <= size
    other = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), sender)
    numbers = key.public_key().public_numbers()
    point = b"\x04" + numbers.x.to_bytes(32) + numbers.y.to_bytes(32)
    shared = key.exchange(ec.ECDH(), other)
    secret = _extract_expand(auth, shared, b"WebPush: info\0" + point + sender, 32)
    content_key = _extract_expand(salt, secret, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _extract_expand(salt, secret, b"Content-Encoding: nonce\0", 12)
    padded = AESGCM(content_key).decrypt(nonce, sealed, None).rstrip(b"\0")
    assert padded[-1] == 2
    return padded[:-1]


def _extract_expand(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    # one round of expansion is enough: nothing here is longer than one SHA-256
    extracted = hmac.digest(salt, secret, hashlib.sha256)
    return hmac.digest(extracted, info + b"\x01", hashlib.sha256)[:length]
