"""Secret and subject → numbers and names that nobody can guess, the same in every file, worker and rerun."""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import field
from hashlib import sha256
from pathlib import Path

from fw_gear_deid.model.errors import Unfit, UsageError
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.person import NO_ID
from fw_gear_deid.system import private
from fw_gear_deid.system.sync import sync_handle

SECRET_BYTES = 32
_NAME_DIGITS = 12  # 48 bits: a collision among a million names has odds of 1 in 500


@frozen
class Keyring:
    """HMAC-SHA256 streams of one secret (RFC 2104), and the keys that values are encrypted with.

    Attributes
    ----------
    secret : bytes
    locks : mapping of str to bytes
        Name in the profile → content of the key's file. Nothing is drawn from them.
    """

    secret: bytes = field(repr=False)
    locks: Mapping[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    def _mac(self, *parts: str) -> bytes:
        encoded = [part.encode("utf-8", "surrogatepass") for part in parts]  # file names may hold any bytes
        message = b"".join(len(part).to_bytes(4, "big") + part for part in encoded)
        return hmac.digest(self.secret, message, "sha256")

    def draw(self, person: str) -> Draws:
        """Return what the key gives for a person.

        Raises
        ------
        ValueError
            There is no person: everybody without one would get the same numbers.
        """
        _check(person)
        return Draws(self, person)

    def number(self, person: str, purpose: str) -> int:
        """Return a whole number below 2**256 that belongs to a person and a purpose."""
        _check(person)
        return int.from_bytes(self._mac("draw", person, purpose), "big")

    def seal(self, kind: str, text: str) -> bytes:
        """Return 32 bytes that belong to a kind and a text: hashes and UIDs, the same for everybody.

        Raises
        ------
        ValueError
            As ``draw``.
        """
        _check(text)
        return self._mac("seal", kind, text)

    def name(self, kind: str, *parts: str) -> str:
        """Return a stable pseudonym such as ``sub-1f0c9a7e33b2``.

        Raises
        ------
        ValueError
            As ``draw``.
        """
        _check(*parts)
        return f"{kind}-{self._mac('name', kind, *parts).hex()[:_NAME_DIGITS]}"

    def subject(self, person: str) -> str:
        """Return the label of a person where no rule sets one; also ``{{ subject.pseudonym }}``."""
        return self.name("sub", person)

    def session(self, person: str, session: str) -> str:
        """Return the label of a person's visit where no rule sets one; also ``{{ session.pseudonym }}``."""
        return self.name("ses", person, session)

    def stamp(self, *parts: str) -> str:
        """Return what tells two sets of texts apart without telling any of them."""
        return self._mac("stamp", *parts).hex()[:32]

    def fingerprint(self) -> str:
        """Return what tells two secrets apart without telling either."""
        return self._mac("fingerprint").hex()[:16]


@frozen
class Draws:
    """What the key gives at one place (a ``Draw``).

    Attributes
    ----------
    keyring : Keyring
    person : str or None
        Whose numbers are drawn, as the text of a ``Person``; without one whoever draws is refused.
    """

    keyring: Keyring
    person: str | None = None

    def __call__(self, purpose: str) -> int:
        """Return a number of the person at hand."""
        if self.person is None:
            raise Unfit(NO_ID)
        return self.keyring.number(self.person, purpose)

    def seal(self, kind: str, text: str) -> bytes:
        """Return a digest of a text."""
        return self.keyring.seal(kind, text)

    def pseudonym(self) -> str:
        """Return the label of the person at hand."""
        if self.person is None:
            raise Unfit(NO_ID)
        return self.keyring.subject(self.person)


def _check(*parts: str) -> None:
    if not parts or not all(parts):
        raise ValueError("nothing is drawn from an empty text")


def random_bytes(count: int) -> bytes:
    """Return what nobody can guess: keys of one envelope, nonces."""
    return os.urandom(count)


def fresh_name() -> str:
    """Return a text that nothing else is called."""
    return os.urandom(8).hex()


def passing() -> Keyring:
    """Return a keyring that nobody keeps."""
    return Keyring(os.urandom(SECRET_BYTES))


def generate(path: Path) -> None:
    """Write a fresh secret, mode 0600.

    Raises
    ------
    UsageError
        The file exists, or cannot be written.
    """
    text = os.urandom(SECRET_BYTES).hex() + "\n"
    try:
        handle = private.create(path)
    except FileExistsError:
        raise UsageError(f"{path}: exists already; a key is never overwritten") from None
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            stream.flush()
            sync_handle(stream.fileno())
    except OSError as error:
        path.unlink()  # half a key would stand in the way of the next
        raise UsageError(f"{path}: cannot be written ({error.strerror})") from None


ONCE = Path("once")
"""``--key-file once``: a key for one run alone."""


def of_run(path: Path) -> Keyring:
    """Return the keyring that ``--key-file`` asks for; as ``load``."""
    return passing() if path == ONCE else load(path)


def load(path: Path) -> Keyring:
    """Read a secret: at least 16 bytes, whatever their form.

    Raises
    ------
    UsageError
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot read the key ({error.strerror})") from None
    return of(data, str(path))


def of(data: bytes, name: str) -> Keyring:
    """Return the keyring of a secret that came another way than as a file.

    Raises
    ------
    UsageError
        It is too short, or one byte again and again; ``name`` says which one.
    """
    secret = data.strip()
    if len(secret) < 16:
        raise UsageError(f"{name}: a key needs at least 16 bytes; make one with 'keygen'")
    if len(set(secret)) == 1:
        raise UsageError(f"{name}: a key of one repeated byte is none; make one with 'keygen'")
    return Keyring(sha256(secret).digest())
