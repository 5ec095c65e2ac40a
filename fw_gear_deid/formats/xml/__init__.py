"""XML (W3C XML 1.0): a scanner of its own gives the spans, lxml the XPath and the check; nothing is expanded.

Its readers are imported when a file comes: every start reads the table of formats.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Collection, Iterable, Sequence

from fw_gear_deid.formats.row import Codec, Document, Format, Listing, Options

_CODECS = (
    ("utf-8", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16-le", b""), ("utf-16-le", codecs.BOM_UTF16_LE),
    ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE),
)  # fmt: skip
_SIGNS = tuple(mark + f"<?xml{blank}".encode(codec) for codec, mark in _CODECS for blank in " \t\r\n")
_ENDS_IN_TEXT = re.compile(r"/text\(\s*\)\s*$")


def _open(data: bytes, options: Options) -> Document:
    from fw_gear_deid.formats.xml import document

    return document.Document(data, options)


def _again(data: bytes, options: Options) -> Listing:
    from fw_gear_deid.formats.xml import tree

    return tree.tree_of(data)


def _beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    from fw_gear_deid.formats.xml import document

    return document.beside(data, options)


def _risks(data: bytes, options: Options) -> Sequence[str]:
    from fw_gear_deid.formats.xml import document

    return document.risks(data, options)


def _wrong(name: str) -> str:
    """Say why a name points at nothing in XML."""
    if not name.startswith(("/", "./")):
        return "fields of xml go by XPath, which begins with '/' or './': '//name', or '//name/@id' for an attribute"
    if _ENDS_IN_TEXT.search(name):
        return "text is not named by itself: name the element that it is in"
    from fw_gear_deid.formats.xml import tree

    return tree.amiss(name)


def _stays(options: Options, gone: Collection[str]) -> Sequence[str]:
    if any("comment()" in name for name in gone):
        return ()
    return ("comments may say anything, and stay: '//comment()' names them",)


FORMAT = Format(
    "xml",
    "",
    ("*.XML", "*.xml"),
    lambda head: head.startswith(_SIGNS),
    codec=Codec(_open, _again, most=256 << 20, beside=_beside, risks=_risks),
    wrong=_wrong,
    stays=_stays,
    makes=False,
    free_dates=True,
)
