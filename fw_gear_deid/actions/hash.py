"""Values → hexadecimal digests."""

from __future__ import annotations

from hashlib import sha256

from fw_gear_deid.model.action import At, Texts
from fw_gear_deid.model.frozen import frozen


@frozen
class Hash:
    """``hash: true``: SHA-256 of salt and value in UTF-8, lower-case hexadecimal, cut to ``hash-digits``.

    Each value of a multi-valued field is hashed on its own; an empty one stays empty.

    Attributes
    ----------
    digits : int
        0 or less: all 64.
    salt : str

    Examples
    --------
    >>> Hash()(("PID-12345",), None)
    ('28c5285e2ec21615',)
    >>> Hash(salt="abc")(("PID-12345",), None)
    ('7a828fbb7887b6b3',)
    """

    digits: int = 16
    salt: str = ""
    key: str = "hash"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return one digest per value."""
        return tuple(self.digest(text) if text else "" for text in texts)

    def digest(self, text: str) -> str:
        """Return the digest of one value."""
        full = sha256((self.salt + text).encode("utf-8", "surrogatepass")).hexdigest()
        return full[: self.digits] if self.digits > 0 else full
