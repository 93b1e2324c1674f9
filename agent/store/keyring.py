"""Personal data at rest: a key per person, wrapped by the master key, and a keyed blind index.

AES-256-GCM per field; the associated data names table, column and row, so that a ciphertext cannot
be moved to another place. The blind index uses a key of its own: a phone number's space is so small
that an unkeyed hash would protect nothing. Losing a person's wrapped key erases that person.
"""

import hashlib
import hmac
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from agent.clock import random_bytes

KEY_BYTES = 32
NONCE_BYTES = 12
BLIND_BYTES = 16


class Unreadable(Exception):
    """A ciphertext does not decrypt: wrong master key, moved row, or damage."""


class PersonKey(NamedTuple):
    """The data key of one person, as stored (wrapped) and as used."""

    wrapped: bytes
    cipher: AESGCM


def _derive(master: bytes, label: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"duly/" + label).derive(master)


class Keyring:
    """All that turns personal values into stored bytes and back."""

    def __init__(self, master: bytes) -> None:
        if len(master) != KEY_BYTES:
            raise ValueError(f"the master key has {len(master)} bytes, it needs {KEY_BYTES}")
        self._wrap = AESGCM(_derive(master, b"wrap"))
        self._loose = AESGCM(_derive(master, b"loose"))
        self._blind = _derive(master, b"blind-index")
        self.callback_key = _derive(master, b"callback")
        self._unwrapped = lru_cache(maxsize=8_192)(self._unwrap)

    def new_person_key(self) -> PersonKey:
        """A fresh key for one person."""
        key = random_bytes(KEY_BYTES)
        nonce = random_bytes(NONCE_BYTES)
        return PersonKey(nonce + self._wrap.encrypt(nonce, key, b"person"), AESGCM(key))

    def person_key(self, wrapped: bytes) -> PersonKey:
        """The usable form of a stored key; raises `Unreadable`."""
        return self._unwrapped(bytes(wrapped))

    def _unwrap(self, wrapped: bytes) -> PersonKey:
        return PersonKey(wrapped, AESGCM(_decrypt(self._wrap, wrapped, b"person")))

    def blind(self, channel: str, address: str) -> bytes:
        """Keyed index of an address: equal for equal addresses, useless without the key."""
        text = f"{channel}\x00{address}".encode()
        return hmac.digest(self._blind, text, hashlib.sha256)[:BLIND_BYTES]

    def seal_loose(self, text: bytes, place: bytes) -> bytes:
        """Encrypt what belongs to no known person, such as a line that could not be read."""
        nonce = random_bytes(NONCE_BYTES)
        return nonce + self._loose.encrypt(nonce, text, place)

    def open_loose(self, sealed: bytes, place: bytes) -> bytes:
        """The reverse of `seal_loose`; raises `Unreadable`."""
        return _decrypt(self._loose, sealed, place)


def seal(key: PersonKey, text: bytes, place: bytes) -> bytes:
    """Encrypt one field; `place` is table/column/row."""
    nonce = random_bytes(NONCE_BYTES)
    return nonce + key.cipher.encrypt(nonce, text, place)


def unseal(key: PersonKey, sealed: bytes, place: bytes) -> bytes:
    """The reverse of `seal`; raises `Unreadable`."""
    return _decrypt(key.cipher, bytes(sealed), place)


def _decrypt(cipher: AESGCM, sealed: bytes, place: bytes) -> bytes:
    try:
        return cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)
    except InvalidTag:
        raise Unreadable(place.decode(errors="replace")) from None


def contact_place(portfolio_id: int, contact_point_id: int) -> bytes:
    """Where an address stands."""
    return b"contact_point/address/%d/%d" % (portfolio_id, contact_point_id)


def borrower_place(portfolio_id: int, borrower_id: int) -> bytes:
    """Where a person's other personal values stand."""
    return b"borrower/personal/%d/%d" % (portfolio_id, borrower_id)


def body_place(token: str) -> bytes:
    """Where the text of an attempt stands."""
    return b"attempt/body/" + token.encode()


def event_place(event_id: str) -> bytes:
    """Where the personal part of a ledger event stands."""
    return b"ledger_event/personal/" + event_id.encode()


def line_place(sha256: bytes) -> bytes:
    """Where an unreadable input line stands."""
    return b"rejected_line/body/" + sha256.hex().encode()


def inbound_place(name: str, channel: str, provider_id: str) -> bytes:
    """Where the sender or the text of an inbound message stands."""
    return f"inbound/{name}/{channel}/{provider_id}".encode()
