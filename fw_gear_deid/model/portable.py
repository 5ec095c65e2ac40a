"""Text from data → one name that every file system takes, and what tells two names apart on all of them."""

from __future__ import annotations

import re
import unicodedata

from fw_gear_deid.model.errors import Unfit

NAME_MAX = 200  # bytes; file systems take 255, and partial files add a suffix
_T2STAR = re.compile(r"(t2)_?\*_?", re.IGNORECASE)
# reserved letters, controls (C0, C1), line ends, what turns or hides text, and bytes that were no text
_ILLEGAL = re.compile(
    r'[/\\:*?"<>|\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb'
    r"\ud800-\udfff\U000e0000-\U000e007f]"
)
_LEADING, _TRAILING = re.compile(r"^\.+"), re.compile(r"[.\s]+$")
# devices of Windows, with any suffix
_DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]|conin\$|conout\$|clock\$)\s*(\.|$)", re.IGNORECASE)


def sanitize(name: str) -> str:
    """Return a name that every file system takes and shows as it is.

    Reserved and invisible letters, leading dots and a trailing dot become ``_``, blanks around it go, ``t2*`` is spelt
    out, the name of a device gets ``_`` in front; in Unicode's composed form (NFC).

    Raises
    ------
    Unfit
        Nothing is left of it, or it is too long.

    >>> sanitize('T2*w flair? a/b.dcm')
    'T2starw flair_ a_b.dcm'
    >>> sanitize('../aux'), sanitize('Muster, A.'), sanitize('con.dcm')
    ('__aux', 'Muster, A_', '_con.dcm')
    """
    name = unicodedata.normalize("NFC", name)
    name = _ILLEGAL.sub("_", _T2STAR.sub(r"\1star", name)).strip()
    if not name.strip(". "):
        raise Unfit("the output name is empty")
    name = _TRAILING.sub("_", _LEADING.sub("_", name))
    if _DEVICE.match(name):
        name = f"_{name}"
    if len(name.encode()) > NAME_MAX:
        raise Unfit(f"the output name is longer than {NAME_MAX} bytes")
    return name


def same_name_key(text: str) -> str:
    """Return what two labels, names or paths have in common that one file system or another takes for the same.

    Case is folded in full and Unicode's forms are one (Unicode Standard 3.13, D145); invisible letters do not count.

    >>> same_name_key("Straße") == same_name_key("STRASSE"), same_name_key("é") == same_name_key("E\u0301")
    (True, True)
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())
    return unicodedata.normalize("NFC", "".join(one for one in folded if unicodedata.category(one) != "Cf"))
