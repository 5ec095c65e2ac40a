"""Text headers of keys and values: MetaImage, JCAMP-DX (Bruker), NRRD, PAR, SPAR, RDA, and whatever a delimiter splits.

Its readers are imported when a file comes: every start reads the table of formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fw_gear_deid.formats.row import Codec, Document, Format, Listing, Options
from fw_gear_deid.model.patterns import BadPattern, compile_pattern


def _open(data: bytes, options: Options) -> Document:
    from fw_gear_deid.formats.keyvalue import document

    return document.Document(data, options)


def _again(data: bytes, options: Options) -> Listing:
    from fw_gear_deid.formats.keyvalue import again

    return again.Again(data, options)


def _beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    from fw_gear_deid.formats.keyvalue import document

    return document.beside(data, options)


def _risks(data: bytes, options: Options) -> Sequence[str]:
    from fw_gear_deid.formats.keyvalue import document

    return document.risks(data, options)


def _wrong(name: str) -> str:
    """Say why a name is no key."""
    return "" if name.strip() and not set("\r\n") & set(name) else "a key is text in one line"


def _amiss(options: Options) -> Mapping[str, str]:
    """Say what is wrong with the options of a section."""
    found = {}
    delimiter, encoding = str(options.get("delimiter") or ""), str(options.get("encoding") or "utf-8")
    if not delimiter:
        found["delimiter"] = "a regular expression for what stands between key and value, such as ' = '"
    else:
        try:
            if compile_pattern(delimiter).match(""):
                found["delimiter"] = "matches where nothing stands"
        except BadPattern as error:
            found["delimiter"] = str(error)
    try:
        "a".encode(encoding)
    except (LookupError, UnicodeError):
        found["encoding"] = "not an encoding that is known"
    return found


FORMAT = Format(
    "key-value-text-file",
    "",
    ("*.MHD", "*.mhd"),
    options={"delimiter": "str", "encoding": "str", "ignore-bad-lines": "bool"},
    codec=Codec(_open, _again, beside=_beside, risks=_risks),
    wrong=_wrong,
    amiss=_amiss,
)
