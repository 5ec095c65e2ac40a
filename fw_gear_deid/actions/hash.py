"""Values → hexadecimal digests."""

from __future__ import annotations

from hashlib import sha256
from string import ascii_letters, digits

from fw_gear_deid.actions.spec import Given, Option, Spec
from fw_gear_deid.model.action import DIFFERS, Action, At, Texts
from fw_gear_deid.model.dictionary import BINARY_VRS
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.legal import problem


@frozen
class Hash:
    """``hash: true``: SHA-256 of salt and value in UTF-8, lower-case hexadecimal, cut to ``hash-digits``.

    ``hash: keyed``: HMAC-SHA-256 (RFC 2104) by the key of the run, which nobody undoes by trying likely values.
    Each value of a multi-valued field is hashed on its own; an empty one stays empty, and of blanks nothing is made
    by the key.

    Attributes
    ----------
    digits : int
        0 or less: all 64.
    salt : str
    keyed : bool

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
    keyed: bool = False

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return one digest per value."""
        if self.keyed:
            return tuple(self._cut(at.draw.seal("hash", text)) if text.strip(_BLANKS) else text for text in texts)
        return tuple(self.digest(text) if text else "" for text in texts)

    def digest(self, text: str) -> str:
        """Return the digest of one value without a key."""
        return self._cut(sha256((self.salt + text).encode("utf-8", "surrogatepass")).digest())

    def _cut(self, digest: bytes) -> str:
        return digest.hex()[: self.digits] if self.digits > 0 else digest.hex()


# VRs that hexadecimal text is no legal value of; what UN holds nobody knows
_NOT_HASHABLE = (
    frozenset(
        {"AS", "AT", "CS", "DA", "DS", "DT", "FD", "FL", "IS", "SL", "SQ", "SS", "SV", "TM", "UI", "UL", "US", "UV"}
    )
    | BINARY_VRS
) - {"UN"}
_DIGEST = 64  # digits of SHA-256
_HOW_LONG = "must be true or keyed; its length is 'hash-digits' of the section, and it is always SHA-256"
_BLANKS = " \t\r\n\0"
_RATE = 10_700_000
"""SHA-256 of 16 bytes, a second and core: ``openssl speed -evp sha256 -bytes 16`` on an AMD EPYC of a cloud, one core.

A graphics card does a thousand times as many.
"""
_SALT = 8  # characters; of as many letters and digits, chosen by chance, a core tries all in eight months
_SIGNS = ascii_letters + digits


def spent(tries: int) -> str:
    """Return how long one core tries.

    >>> spent(10**8), spent(62**6), spent(10**5)
    ('9 s on one core', '1.5 h on one core', '0.009 s on one core')
    """
    seconds = tries / _RATE
    hours = seconds / 3600
    return (
        f"{f'{hours:.2g} h' if hours >= 1 else f'{seconds:.0f} s' if seconds >= 1 else f'{seconds:.1g} s'} on one core"
    )


EVERY_MRN = f"every number of eight digits, {spent(10**8)}"
SALT = Option("str", "", entry=False, section=True)


def _build(given: Given) -> Hash:
    digits = int(given.number("hash-digits") or 0)
    return Hash(digits, keyed=True) if given.keyed else Hash(digits, given.text("salt"))


def _misfit(action: Action, vr: str) -> str:
    length = action.digits if isinstance(action, Hash) and 0 < action.digits < _DIGEST else _DIGEST
    if vr in _NOT_HASHABLE:
        return f"VR {vr} cannot hold a hash; replace, shift or remove the value instead"
    if problem("a" * length, vr):
        return f"a hash of {length} digits is too long for VR {vr}; lower hash-digits"
    return ""


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    if not isinstance(action, Hash) or action.keyed:
        return ""
    if not action.salt:
        return f"a hash without a salt can be undone by trying all likely values: {EVERY_MRN}; 'hash: keyed' cannot"
    tries = len(_SIGNS) ** len(action.salt)
    if settled and len(action.salt) < _SALT:
        return f"a salt of {len(action.salt)} characters is found by trying, {spent(tries)}; 'hash: keyed' needs none"
    return ""


SPEC = Spec(
    key="hash",
    does="the first `hash-digits` (16) hexadecimal digits of SHA-256 over `salt` and value; `keyed`: of HMAC-SHA-256",
    build=_build,
    options={"salt": SALT, "hash-digits": Option("int", 16, entry=False, section=True)},
    not_true={"int": _HOW_LONG, "str": _HOW_LONG},
    keyed=True,
    promise=DIFFERS,
    misfit=_misfit,
    warns=_warns,
    digest=True,
    words={"pseudonymize": "hash"},
)
