"""Web Push encryption, RFC 8291 in the encoding of RFC 8188: only the browser can read a message."""

from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SALT_BYTES = 16
AUTH_BYTES = 16
_POINT_BYTES = 65
_RECORD = 4096
# one record: header (salt, size, length of the key, key), text, one delimiter, 16 bytes of tag
TEXT_BYTES_MAX = _RECORD - (SALT_BYTES + 4 + 1 + _POINT_BYTES) - 1 - 16
_LAST = b"\x02"
CURVE = ec.SECP256R1()


@dataclass(frozen=True, slots=True)
class BrowserKeys:
    """What a browser gave us with its subscription: its public key and its secret."""

    point: bytes
    auth: bytes = field(repr=False)
    public: ec.EllipticCurvePublicKey = field(repr=False)


def read_browser_keys(point: bytes, auth: bytes) -> BrowserKeys:
    """Keys of the right lengths, the point on the curve; raises `ValueError`."""
    if len(point) != _POINT_BYTES or len(auth) != AUTH_BYTES:
        raise ValueError("a browser's key has 65 bytes and its secret 16")
    return BrowserKeys(point, auth, ec.EllipticCurvePublicKey.from_encoded_point(CURVE, point))


def encrypt(
    text: bytes, browser: BrowserKeys, salt: bytes, own: ec.EllipticCurvePrivateKey
) -> bytes:
    """One whole `aes128gcm` body. `own` and `salt` are made for this message and never used again."""
    if len(text) > TEXT_BYTES_MAX:
        raise ValueError("longer than one record")
    point = point_of(own)
    shared = own.exchange(ec.ECDH(), browser.public)
    about = b"WebPush: info\x00" + browser.point + point
    secret = _hkdf(shared, browser.auth, about, 32)
    key = _hkdf(secret, salt, b"Content-Encoding: aes128gcm\x00", 16)
    nonce = _hkdf(secret, salt, b"Content-Encoding: nonce\x00", 12)
    header = salt + _RECORD.to_bytes(4) + bytes([len(point)]) + point
    return header + AESGCM(key).encrypt(nonce, text + _LAST, None)


def point_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The public half, uncompressed, as it goes over the wire."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(SHA256(), length, salt=salt, info=info).derive(secret)
