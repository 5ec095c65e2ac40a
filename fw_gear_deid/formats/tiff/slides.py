"""Pages of a slide → those that show its label: they go, or the slide is refused.

A label shows name and number as a picture, and the overview (macro) shows the label. Vendors mark them: Aperio by a
line of the description or by the subfile type, Hamamatsu by tag 65421, Ventana and Philips by the description.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen

_NAMED = re.compile(r"^[ \t]*(?:label|macro)(?:[ _]?image)?[ \t]*(?:\d+[ \t]*x[ \t]*\d+.*)?\r?$", re.I | re.M)
_APERIO = re.compile(r"\s*Aperio\b")
_VENTANA = re.compile(r"\s*Label[ _]Image\s*$")
_DESCRIPTION_MAX = 1 << 26  # letters
_WORDS = ("label", "macro", "leica-microsystems")
_REDUCED, _MACRO = 1, 9
_SHAPE = 0.1  # by how much the shapes of a picture and its reduced copy may differ
_BY_PLACE = (
    (re.compile(r"leica-microsystems\.com/scn", re.I), "Leica SCN"),
    (re.compile(r"\b(?:LABEL|MACRO)IMAGE\b"), "Philips"),
    (
        re.compile(r"Image\b[^<>]{0,500}\bName=[\"']\s{0,9}(?:label|macro)(?:[ _-]?image)?\s{0,9}[\"']", re.I),
        "OME-TIFF",
    ),
)
"""Descriptions that hold such a picture, or count pages: none of them can go alone."""


@frozen
class Look:
    """What a page says of itself.

    Attributes
    ----------
    text : str
        Its description.
    subfile : int
        NewSubfileType.
    width, length : int
    tiled : bool
    macro : bool
        Hamamatsu's SourceLens says so.
    camera : bool
        DNG, whose subfile types have meanings of their own.
    """

    text: str
    subfile: int
    width: int
    length: int
    tiled: bool
    macro: bool
    camera: bool


def labels(pages: Sequence[Look], subs: Sequence[Look] = ()) -> list[int]:
    """Return which pages show a label.

    Parameters
    ----------
    pages, subs : sequence of Look
        Pages, and the sub-images of all of them.

    Raises
    ------
    Unfit
        A page may be one, or one cannot go alone.
    """
    named = _named({page.text for page in (*pages, *subs)})
    if any(_is_macro(page) or page.text in named for page in subs):
        raise Unfit("a sub-image is called label or macro; take it out, or describe it otherwise")
    found = {number for number, page in enumerate(pages) if _is_macro(page) or page.text in named}
    slide = any(_is_marked(page) for page in pages)
    if found and not slide:
        raise Unfit(f"page {min(found) + 1} is called label or macro; take it out, or describe it otherwise")
    for number, page in enumerate(pages):
        if number in found or not number or page.tiled or page.camera or page.subfile != _REDUCED:
            continue
        if slide and not page.text.strip():
            found.add(number)  # Aperio GT 450: no description, and the type of a reduced picture
        elif not _is_like(page, pages[0]):
            raise Unfit(f"page {number + 1} is a reduced picture of another shape than the first page: perhaps a label")
    return sorted(found)


def _named(texts: Collection[str]) -> set[str]:
    """Return the descriptions that call a page label or macro.

    Raises
    ------
    Unfit
        One is of a slide whose label cannot go alone.
    """
    found = set()
    for text in texts:
        if len(text) > _DESCRIPTION_MAX:
            raise Unfit("a description that is larger than any")
        low = text.lower()
        if not any(word in low for word in _WORDS):
            continue
        for pattern, vendor in _BY_PLACE:
            if pattern.search(text):
                raise Unfit(f"a slide ({vendor}) with an overview or label that cannot be taken out alone")
        if _NAMED.search(text):
            found.add(text)
    return found


def _is_macro(page: Look) -> bool:
    return page.macro or (page.subfile == _MACRO and not page.camera)


def _is_marked(page: Look) -> bool:
    """Tell whether a page is one of a slide, by the mark of a vendor whose pages nothing counts."""
    return _is_macro(page) or bool(_APERIO.match(page.text) or _VENTANA.match(page.text))


def _is_like(page: Look, first: Look) -> bool:
    """Tell whether a reduced page has the shape of the first one, or the first is a reduced one itself."""
    if first.subfile & _REDUCED or not (page.length and first.length and page.width and first.width):
        return True
    ratio = page.width * first.length / (page.length * first.width)
    slack = _SHAPE + 1 / min(page.width, page.length)
    return 1 / (1 + slack) <= ratio <= 1 + slack
