"""Values ⇄ ciphertext, by a key that the profile only names."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Given, Option, Spec
from fw_gear_deid.model.action import DIFFERS, GONE, Action, At, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import Cipher, is_key

_NONCE = 12  # base64 of eight bytes
_NO_KEY = "no key is at hand"


@frozen
class Encrypt:
    """``encrypt: true``: AES-EAX for texts; elements of DICOM go into EncryptedAttributesSequence instead.

    Each value of a field is encrypted on its own; an empty one stays empty. Two results for one value differ, unless
    there is a fixed nonce.

    Attributes
    ----------
    secret : str
        Name of the key for texts; empty in DICOM, whose section has its keys.
    nonce : str
        A fixed one, in base64; empty for another one each time.
    element : bool
        The field is an element of DICOM, which goes as it is.
    """

    secret: str = ""
    nonce: str = ""
    element: bool = False
    key: str = "encrypt"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return nonce, ciphertext and tag of each value, in base64."""
        cipher = _cipher(at)
        return tuple(cipher.encrypt(self.secret, text, self.nonce) if text else "" for text in texts)


@frozen
class Decrypt:
    """``decrypt: true``: the values that ``encrypt`` has made something of, to the character.

    Attributes
    ----------
    secret, element
        As of ``Encrypt``.
    """

    secret: str = ""
    element: bool = False
    key: str = "decrypt"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return what the values were."""
        cipher = _cipher(at)
        found = [cipher.decrypt(self.secret, text) if text else ("", True) for text in texts]
        plain = tuple(text for text, _ in found)
        return plain if all(sure for _, sure in found) else Unsure(plain)


UNSURE = "no tag: nobody can tell whether it was changed"


class Unsure(tuple[str, ...]):
    """Decrypted values, of which some had no tag: whether somebody changed them is not known."""

    __slots__ = ()


def _cipher(at: At) -> Cipher:
    if at.cipher is None:
        raise Unfit(_NO_KEY)
    return at.cipher


def _secret(given: Given) -> str | None:
    """Return the name of the key for texts, or complain and return None."""
    name = given.text("secret-key").strip("{} ")
    if not is_key(name):
        given.complain("no key: write secret-key: '{{ SECRET_KEY }}' into the section, and name its file in the run")
        return None
    return name


def _encrypt(given: Given) -> Encrypt | None:
    if given.elements:
        return Encrypt(element=True)
    secret, nonce = _secret(given), given.text("force-nonce")
    if given.written("force-nonce") and (wrong := _nonce(nonce)) and not given.is_unknown("force-nonce"):
        given.complain(wrong, "force-nonce")
        return None
    return None if secret is None else Encrypt(secret, nonce)


def _decrypt(given: Given) -> Decrypt | None:
    if given.elements:
        return Decrypt(element=True)
    secret = _secret(given)
    return None if secret is None else Decrypt(secret)


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    fixed = isinstance(action, Encrypt) and action.nonce
    return "with force-nonce equal values become equal, and nobody can tell whether one was changed" if fixed else ""


def _goes(action: Action) -> str:
    return GONE if isinstance(action, Encrypt) and action.element else ""


def _nonce(text: str) -> str:
    known = len(text) == _NONCE and text.endswith("=") and text[:-1].replace("+", "a").replace("/", "a").isalnum()
    return "" if known and text.isascii() else "must be base64 of eight bytes: 12 characters, the last one '='"


_SECRET = Option("str", entry=False, section=True)
ENCRYPT = Spec(
    key="encrypt",
    does="encrypts the value by the section's key",
    build=_encrypt,
    options={"secret-key": _SECRET, "force-nonce": Option("str", section=True, problem=_nonce)},
    promise=DIFFERS,
    sure=_goes,
    warns=_warns,
    placed=True,
    sealed=True,
)
DECRYPT = Spec(
    key="decrypt",
    does="decrypts what `encrypt` wrote",
    build=_decrypt,
    options={"secret-key": _SECRET},
    promise=DIFFERS,
    placed=True,
    sealed=True,
)
