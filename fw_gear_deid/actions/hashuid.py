"""UIDs → other UIDs that keep the first and last components."""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import sha256
from itertools import takewhile

from fw_gear_deid.actions.hash import SALT, spent
from fw_gear_deid.actions.spec import RECORD, Given, Option, Spec
from fw_gear_deid.model.action import DIFFERS, RENAMED, Action, At, Texts
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.legal import problem

UID_MAX = 64  # characters, PS3.5 §9.1
_BLOCKS, _BLOCK = 6, 6  # of six digits each, as the reference engine cuts them
_TAIL = 6  # characters kept of each suffix component
_PREFIX, _SUFFIX = 4, 1  # components kept, of themselves
_PADDING = " \t\r\n\0"
_REGISTERED = re.compile(r"1\.2\.840\.10008(\.(0|[1-9]\d{0,3})){1,10}", re.ASCII)  # not instances below DICOM's root
_ARCS = ("0", "1", "2")  # that a UID can begin with
_ANY_TEXT = frozenset({"AE", "LO", "LT", "PN", "SH", "ST", "UC", "UN", "UR"})


@frozen
class HashUid:
    """``hashuid: true``: prefix components, six blocks of digest digits, suffix components.

    The same UID gives the same result in every file. The suffix survives in clear (its last six characters).

    Attributes
    ----------
    prefix, suffix : int
        Components kept at the start and at the end.
    numeric_name : str
        Fixed prefix instead of the original's.
    salt : str
    keyed : bool
        ``hashuid: keyed``: ``2.25.`` and 128 bits of HMAC-SHA-256 by the key of the run; nothing of the UID is kept,
        but one that is registered in PS3.6 stays, and so does one in a field of other text.

    Text that is no legal UID (PS3.5 §9.1) gives a legal one all the same: of its components those that are numbers
    are kept, without leading zeros; where they begin no UID, or leave no room, the result is ``2.25.`` and digits.

    Examples
    --------
    >>> HashUid().uid("1.2.840.113619.2.62.994044785528.114289542805")
    '1.2.840.113619.372221.241301.462222.229617.113318.311712.542805'
    >>> HashUid().uid("anonymized")
    '2.25.118734513323026835574929846989570344376'
    """

    prefix: int = _PREFIX
    suffix: int = _SUFFIX
    numeric_name: str = ""
    salt: str = ""
    key: str = "hashuid"
    keyed: bool = False
    spares: bool = False
    """What PS3.6 registers stays: the action is for all UIDs, and most of these are classes and syntaxes."""

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return one UID per value; an empty one stays empty.

        In a VR that holds any text, what is no UID is treated as the reference engine does.
        """
        if self.keyed:
            return tuple(_sealed(text, at) if text.strip(_PADDING) else text for text in texts)
        make = self._mangled if at.vr in _ANY_TEXT else self.uid
        return tuple(text if self._stays(text) else make(text) for text in texts)

    def _stays(self, text: str) -> bool:
        return not text.strip("\0 ") or (self.spares and is_registered(text))

    def uid(self, text: str) -> str:
        """Return the UID that takes the place of a text."""
        text = text.strip(_PADDING) or text
        if not problem(text, "UI"):
            return self._mangled(text)
        head, tail = self._kept(text)
        head = [_component(part) for part in takewhile(_is_number, head)]
        if not head or head[0] not in _ARCS:
            return self._derived(text)
        return self._fitting(text, head, list(filter(_is_number, tail)))

    def _mangled(self, text: str) -> str:
        return self._fitting(text, *self._kept(text))

    def _fitting(self, text: str, head: list[str], tail: list[str]) -> str:
        return self._built(text, head, tail) or self._built(text, head, []) or self._derived(text)

    def _kept(self, text: str) -> tuple[list[str], list[str]]:
        """Return the components that stay at the beginning and at the end."""
        parts = text.split(".")
        head = parts[: min(self.prefix, max(0, len(parts) - self.suffix))]
        tail = parts[-self.suffix :] if self.suffix else []
        return (self.numeric_name.split(".") if self.numeric_name else head), tail

    def _digest(self, text: str) -> bytes:
        return sha256((self.salt + text).encode("utf-8", "surrogatepass")).digest()

    def _derived(self, text: str) -> str:
        """Return a UID of which nothing is kept (PS3.5 §B.2)."""
        return f"2.25.{int.from_bytes(self._digest(text)[:16], 'big')}"

    def _built(self, text: str, head: list[str], tail: list[str]) -> str:
        """Return the kept components with the digest between them; empty where they leave no room for one."""
        digits = "".join(str(byte) for byte in self._digest(text))
        blocks = [_no_leading_zero(digits[i : i + _BLOCK], "1") for i in range(0, _BLOCK * _BLOCKS, _BLOCK)]
        out = [*head, *blocks, *(_component(part[-_TAIL:]) for part in tail)]
        while len(".".join(out)) > UID_MAX and len(out) > 1:
            out[-2] = out[-2][:-1]
            if not out[-2]:
                del out[-2]
        return "" if len(out) <= len(head) + len(tail) or len(out[len(head)]) < _BLOCK else ".".join(out)


def is_registered(uid: str) -> bool:
    """Tell whether a UID is one of DICOM's own (PS3.6 Annex A): it names a class, a syntax or a scheme, no instance.

    >>> is_registered("1.2.840.10008.1.2.1"), is_registered("1.2.840.10008.5.1.4.1.1.4.20200229"), is_registered("1.2")
    (True, False, False)
    """
    return _REGISTERED.fullmatch(uid.strip(_PADDING)) is not None


def _sealed(text: str, at: At) -> str:
    uid = text.strip(_PADDING)
    return text if is_registered(uid) else f"2.25.{int.from_bytes(at.draw.seal('uid', uid)[:16], 'big')}"


def _no_leading_zero(block: str, instead: str) -> str:
    return instead + block[1:] if block.startswith("0") else block


def _component(text: str) -> str:
    """A kept component without leading zeros, which PS3.5 §9.1 forbids."""
    return text.lstrip("0") or "0" if text.isdigit() else text


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdigit()


_OUR_ROOT, _OUR_BRANCH = "2.16.840.1.114570", "2.16.840.1.114570.2.2"


def _build(given: Given) -> HashUid:
    if given.keyed:
        return HashUid(keyed=True)
    prefix, suffix = _count(given, "uid-prefix-fields", _PREFIX), _count(given, "uid-suffix-fields", _SUFFIX)
    numeric = given.text("uid-numeric-name")
    wrong = ""
    if numeric and problem(numeric, "UI"):
        wrong = "not a UID prefix: numbers and dots, in quotes"
    elif numeric and len(numeric.split(".")) != prefix and not given.is_unknown("uid-prefix-fields"):
        wrong = f"has {len(numeric.split('.'))} components and uid-prefix-fields is {prefix}: they must agree"
    elif len(numeric) + 1 + _BLOCK > UID_MAX:
        wrong = "leaves no room for a hash"
    elif numeric.startswith(_OUR_ROOT) and numeric != _OUR_BRANCH:
        wrong = f"under Flywheel's root only {_OUR_BRANCH} may be used"
    if wrong:
        given.complain(wrong, "uid-numeric-name")
    return HashUid(prefix, suffix, numeric, given.text("salt"))


def _count(given: Given, option: str, default: int) -> int:
    value = given.number(option)
    if value is None or value < 0 or value != int(value):
        given.complain("must be 0 or more", option)
        return default
    return int(value)


def _warns(action: Action, kind: str | None, settled: bool) -> str:
    if kind == RECORD or (isinstance(action, HashUid) and action.keyed):
        return ""
    kept = "the first and last components" if kind in (None, "UI") else "the last six characters of the value"
    unsalted = isinstance(action, HashUid) and not action.salt
    known = f", and who has the source's UIDs finds each by trying: a million, {spent(10**6)}" if unsalted else ""
    return f"hashuid keeps {kept} as they are{known}"


def _sure(action: Action) -> str:
    return RENAMED if isinstance(action, HashUid) and (action.keyed or action.spares) else ""


def _wide(given: Given, action: Action, vr: str) -> Action | str:
    """Return what hashes all UIDs: most of what they name are classes, syntaxes and schemes, which stay."""
    return replace(action, spares=True) if isinstance(action, HashUid) else action


SPEC = Spec(
    key="hashuid",
    does="another UID, always the same for one; `uid-prefix-fields` (4) and `uid-suffix-fields` (1) components stay; "
    "`keyed`: `2.25.` and 128 bits of HMAC-SHA-256, and UIDs of PS3.6 stay",
    keyed=True,
    sure=_sure,
    wide=_wide,
    build=_build,
    options={
        "salt": SALT,
        "uid-prefix-fields": Option("int", _PREFIX, entry=False, section=True),
        "uid-suffix-fields": Option("int", _SUFFIX, entry=False, section=True),
        "uid-numeric-name": Option("str", "", entry=False, section=True, stand_in=""),
    },
    promise=DIFFERS,
    only=frozenset({"UI"}),
    warns=_warns,
    digest=True,
    words=dict.fromkeys(("uid", "hash-uid"), "hashuid"),
)
