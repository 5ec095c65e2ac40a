"""Which keys a section encrypts and decrypts with: by name, since a profile and what is made of it hold no key."""

from __future__ import annotations

import re
from typing import Protocol

from fw_gear_deid.model.frozen import frozen

SECRET, PUBLIC, PRIVATE = "SECRET_KEY", "PUBLIC_KEY", "PRIVATE_KEY"
"""Variables of a profile that stand for keys; they get no value, and what they stand for goes nowhere."""
OPTIONS = {"secret-key": SECRET, "public-key": PUBLIC, "private-key": PRIVATE}
"""Option that takes a key → its variable."""
HIDDEN = {"encrypt": "<encrypted>", "decrypt": "<decrypted>"}
"""Action → what stands for the new value wherever values are shown."""
_NAME = re.compile(r"(SECRET_KEY|PUBLIC_KEY|PRIVATE_KEY)(\.\d+)?")


def is_key(name: str) -> bool:
    """Tell whether a variable stands for a key; with a number it is of one that stood in the profile itself."""
    return _NAME.fullmatch(name) is not None


def written(name: str) -> bool:
    """Tell whether a key stood in the profile itself."""
    return is_key(name) and "." in name


@frozen
class Lock:
    """The keys of a section.

    Attributes
    ----------
    secret : str
        Name of the key that encrypts and decrypts; empty where others do.
    public : tuple of str
        Names of certificates or public keys: each of their owners can open what is encrypted.
    private : str
        Name of the key that decrypts what was encrypted for a certificate.
    opens : bool
        Something is decrypted; else that key only makes sure of what was encrypted, where it is at hand.
    """

    secret: str = ""
    public: tuple[str, ...] = ()
    private: str = ""
    opens: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(filter(None, (self.secret, *self.public, self.private)))


class Cipher(Protocol):
    """What encrypts and decrypts texts by the keys at hand."""

    def encrypt(self, name: str, text: str, nonce: str) -> str:
        """Return a text encrypted by a named key; ``nonce`` is a fixed one, or empty."""
        ...

    def decrypt(self, name: str, text: str) -> tuple[str, bool]:
        """Return what it was, and whether it is known that nobody changed it."""
        ...
