"""Originals at rest: in clear, encrypted with a key, or closed to who has none.

A sealed cell is ``MAC + base64(NONCE + CIPHERTEXT)``. The ciphertext is AES-256-GCM's (NIST SP 800-38D) with id and
column as associated data, so none can be moved to another row unseen. The nonce is an HMAC over these and the text: no
two texts share one. The MAC, an HMAC-SHA256 over column and text, is what a value is looked up by; only cells that are
looked up have one. Both keys come from the file's secret by HKDF (RFC 5869). Texts are padded to 64 bytes and more.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING, Protocol

from fw_gear_deid.ciphers import Gcm, check_packages
from fw_gear_deid.model.errors import UNREAD, LogDown, UsageError
from fw_gear_deid.model.frozen import frozen

if TYPE_CHECKING:
    from fw_gear_deid.keys import Keyring

MAC = 32
"""Digits of the MAC that a sealed cell begins with."""
_BLOCK, _NONCE = 64, 12


class Seal(Protocol):
    """How originals are kept."""

    @property
    def fingerprint(self) -> str:
        """What tells keys apart; empty for none."""
        ...

    @property
    def closed(self) -> bool:
        """There is a key, and we have not got it."""
        ...

    def cover(self, text: str, column: str, id: str, *, found_by: bool = True) -> str:
        """Return what a cell holds; ``found_by`` where its text is looked up."""
        ...

    def uncover(self, cell: str, column: str, id: str, *, found_by: bool = True) -> str:
        """Return the text of a cell, empty where it is closed."""
        ...

    def equals(self, column: str, text: str) -> tuple[str, str]:
        """Return the condition, with one ``?``, that finds a text in a column, and what stands for it."""
        ...


@frozen
class Clear:
    """Nothing is encrypted."""

    fingerprint: str = ""
    closed: bool = False

    def cover(self, text: str, column: str, id: str, *, found_by: bool = True) -> str:
        """As ``Seal``."""
        return text

    def uncover(self, cell: str, column: str, id: str, *, found_by: bool = True) -> str:
        """As ``Seal``."""
        return cell

    def equals(self, column: str, text: str) -> tuple[str, str]:
        """As ``Seal``."""
        return f"{column} = ?", text


@frozen
class Closed:
    """Somebody else has the key."""

    fingerprint: str
    closed: bool = True

    def cover(self, text: str, column: str, id: str, *, found_by: bool = True) -> str:
        """Refuse: a text in clear among sealed ones would be read by everybody.

        Raises
        ------
        UsageError
        """
        raise UsageError("this de-id log is encrypted: give its --log-key")

    def uncover(self, cell: str, column: str, id: str, *, found_by: bool = True) -> str:
        """As ``Seal``."""
        return ""

    def equals(self, column: str, text: str) -> tuple[str, str]:
        """Refuse: without the key there is nothing to look a value up by.

        Raises
        ------
        UsageError
        """
        raise UsageError("this de-id log is encrypted: to look up a value needs its --log-key")


class Sealed:
    """Encrypted with a key."""

    closed = False

    def __init__(self, keyring: Keyring) -> None:
        check_packages()
        self._find, self._nonces = _derived(keyring.secret, b"find"), _derived(keyring.secret, b"nonce")
        self._cipher = Gcm(_derived(keyring.secret, b"seal"))
        self.fingerprint = self._mac("fingerprint", "")

    def _mac(self, column: str, text: str) -> str:
        return hmac.digest(self._find, _joined(column, text), "sha256").hex()[:MAC]

    def cover(self, text: str, column: str, id: str, *, found_by: bool = True) -> str:
        """As ``Seal``."""
        about = _joined(column, id)
        plain = text.encode() + b"\x80"
        plain += bytes(-len(plain) % _BLOCK)
        nonce = hmac.digest(self._nonces, len(about).to_bytes(4, "big") + about + plain, "sha256")[:_NONCE]
        packed = base64.b64encode(nonce + self._cipher.seal(nonce, plain, about)).decode("ascii")
        return self._mac(column, text) + packed if found_by else packed

    def uncover(self, cell: str, column: str, id: str, *, found_by: bool = True) -> str:
        """As ``Seal``.

        Raises
        ------
        LogDown
            The cell was changed, or belongs to another row.
        """
        try:
            packed = base64.b64decode(cell[MAC if found_by else 0 :], validate=True)
        except ValueError:
            packed = b""
        plain = self._cipher.open(packed[:_NONCE], packed[_NONCE:], _joined(column, id))
        if plain is None:
            raise LogDown(f"{UNREAD}: {column} of an entry was changed by somebody")
        return plain.rstrip(b"\0")[:-1].decode()

    def equals(self, column: str, text: str) -> tuple[str, str]:
        """As ``Seal``."""
        return f"substr({column}, 1, {MAC}) = ?", self._mac(column, text)


def _joined(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _derived(secret: bytes, purpose: bytes) -> bytes:
    """Return 32 bytes of HKDF-SHA256 without salt, of which one block suffices (RFC 5869, 2.2 and 2.3)."""
    key = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(key, b"fw-gear-deid log " + purpose + b"\x01", "sha256")
