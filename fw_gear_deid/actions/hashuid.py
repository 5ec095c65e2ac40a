"""UIDs → other UIDs that keep the first and last components."""

from __future__ import annotations

from hashlib import sha256

from fw_gear_deid.model.action import At, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen

UID_MAX = 64  # characters, PS3.5 §9.1
_BLOCKS, _BLOCK = 6, 6  # of six digits each, as the reference engine cuts them
_TAIL = 6  # characters kept of each suffix component


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

    Examples
    --------
    >>> HashUid()(("1.2.840.113619.2.62.994044785528.114289542805",), None)
    ('1.2.840.113619.372221.241301.462222.229617.113318.311712.542805',)
    """

    prefix: int = 4
    suffix: int = 1
    numeric_name: str = ""
    salt: str = ""
    key: str = "hashuid"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return one UID per value; an empty one stays empty.

        Raises
        ------
        Unfit
            What is kept of a UID fills it, so that it would come out as it went in.
        """
        return tuple(self.uid(text) if text else "" for text in texts)

    def uid(self, text: str) -> str:
        """Return the replacement of one UID."""
        parts = text.split(".")
        if self.numeric_name:
            head = self.numeric_name.split(".")
        else:
            head = parts[: min(self.prefix, max(0, len(parts) - self.suffix))]
        digest = sha256((self.salt + text).encode("utf-8", "surrogatepass")).digest()
        digits = "".join(str(byte) for byte in digest)
        blocks = [_no_leading_zero(digits[i : i + _BLOCK], "1") for i in range(0, _BLOCK * _BLOCKS, _BLOCK)]
        tail = [_component(part[-_TAIL:]) for part in parts[-self.suffix :]] if self.suffix else []
        out = [*head, *blocks, *tail]
        while len(".".join(out)) > UID_MAX and len(out) > 1:
            out[-2] = out[-2][:-1]
            if not out[-2]:
                del out[-2]
        if len(out) <= len(head) + len(tail) or len(out[len(head)]) < _BLOCK:
            raise Unfit("the components that hashuid keeps leave no room for a hash; lower uid-prefix-fields")
        return ".".join(out)


def _no_leading_zero(block: str, instead: str) -> str:
    return instead + block[1:] if block.startswith("0") else block


def _component(text: str) -> str:
    """A kept component without leading zeros, which PS3.5 §9.1 forbids."""
    return text.lstrip("0") or "0" if text.isdigit() else text
