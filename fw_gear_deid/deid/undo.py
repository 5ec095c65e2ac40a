"""What was changed in one file → what gives its original back: spans of the result, and what stood there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any

from fw_gear_deid.formats.dicom.json_model import MOST
from fw_gear_deid.formats.row import Field, Splice
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.logged import KEYWORDS
from fw_gear_deid.model.outcome import Always

if TYPE_CHECKING:
    from fw_gear_deid.deid.document import Edited

_JPEG, _JPEG_END = b"\xff\xd8\xff", b"\xff\xd9"


@frozen
class Lost:
    """Bytes of which the digest alone is kept.

    Attributes
    ----------
    size : int
    sha256 : str
    """

    size: int
    sha256: str

    @staticmethod
    def of(data: bytes | memoryview) -> Lost:
        """Return what is kept of bytes."""
        return Lost(len(data), sha256(data).hexdigest())


Was = tuple[bytes | Lost, ...]
"""What stood in a place, in pieces."""
Back = tuple[int, int, Was]
"""Bytes of the result that stay as they are, bytes behind them that go, and what comes instead."""


@frozen
class Undo:
    """What gives one file back.

    Attributes
    ----------
    form : str
        ``bytes``: the file is as it lies there · ``deflated N``: a DICOM file whose data set, which began at that
        offset, is to be inflated first · ``gzip``: to be unpacked first · ``archive``: each member by itself.
    back : tuple of Back
        In the order of the result.
    tags : mapping
        What was changed or removed, in the DICOM JSON model; in a sequence items stand at their place, with nothing in
        them but that.
    texts : tuple of (str, texts)
        Of other formats: place as the audit tells it, and what stood there; of a column the cells of some rows.
    inserted : tuple of str
        Places of what was made, and is taken out again.
    indexed : mapping of str to str
        Keyword → text, of those that the log is searched by.
    uids, patients : tuple of (str, str)
        UIDs and patient ids that were replaced, old and new.
    missing : tuple of str
        Places of what is not given back, with the reason.
    inside : Any
        Of an archive in an archive: its own ``Originals``.
    """

    form: str = "bytes"
    back: tuple[Back, ...] = ()
    tags: Mapping[str, Any] = field(default_factory=dict)
    texts: tuple[tuple[str, Texts], ...] = ()
    inserted: tuple[str, ...] = ()
    indexed: Mapping[str, str] = field(default_factory=dict)
    uids: tuple[tuple[str, str], ...] = ()
    patients: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    inside: Any = None


def reversed_splices(splices: Iterable[Splice], was: Callable[[int, int], Was | None]) -> Iterator[Back]:
    """Yield what turns a result into its source again.

    Parameters
    ----------
    splices : iterable of Splice
        What turned the source into it, in order.
    was : callable
        Span of the source → what stood there; None: what stands there now is left.
    """
    grown = at = 0
    for start, stop, new in splices:
        here = start + grown
        grown += len(new) - (stop - start)
        stood = was(start, stop)
        if stood is not None:
            yield here - at, len(new), stood
            at = here + len(new)


def undo_fields(data: bytes, edited: Edited, splices: Sequence[Splice]) -> Undo:
    """Return what gives a file of a format with fields back.

    Parameters
    ----------
    data : bytes
        The file as it came, or its beginning.
    splices : sequence of Splice
        What was done to it.
    """
    missing: list[str] = []
    pixels = any(edit.rule == Always.SLIDE_LABEL.value for edit in edited.edits)

    def was(start: int, stop: int) -> Was:
        pieces = _without_pictures(data[start:stop], edited.section.match.key, pixels=pixels)
        missing.extend(told(one, "bytes of a picture") for one in pieces if isinstance(one, Lost))
        return pieces

    back = tuple(reversed_splices(splices, was))
    texts = tuple(_texts(edited))
    return Undo(
        back=back,
        texts=texts,
        inserted=tuple(edited.made),
        indexed=_indexed(edited),
        patients=tuple(_patients(edited)),
        missing=tuple(missing),
    )


def undo_front(was: bytes, blank: bytes) -> Undo:
    """Return what gives the half of a pair back that has no fields: what stood in front of its volume."""
    if was == blank:
        return Undo()
    front: Was = (was,) if len(was) <= MOST else (Lost.of(was),)
    missing = tuple(told(one, "bytes in front of the volume") for one in front if isinstance(one, Lost))
    return Undo(back=((0, len(blank), front),), missing=missing)


def passed(undo: Undo, *, packed: bool, dropped: int) -> Undo:
    """Return the same of a file that was packed, or had bytes behind what passed through."""
    missing = (f"bytes behind the volume: {dropped} bytes",) if dropped else ()
    return replace(undo, form="gzip" if packed else undo.form, missing=(*undo.missing, *missing))


def unpacked(undo: Undo, packing: str) -> Undo:
    """Return the same of a file that was packed, and is released as what was in it."""
    return replace(undo, missing=(*undo.missing, f"{packing}: it was packed so, and is given back unpacked"))


def told(lost: Lost, place: str) -> str:
    """Return what is said of bytes that are not given back."""
    return f"{place}: {lost.size} bytes, of which the log has the SHA-256 alone ({lost.sha256})"


def _without_pictures(data: bytes, key: str, *, pixels: bool) -> Was:
    """Return bytes without the pixels in them."""
    if key in ("jpg", "png", "tiff"):
        if len(data) > MOST or (pixels and len(data) > len(_JPEG)):
            return (Lost.of(data),)
        start = data.find(_JPEG)
        stop = data.rfind(_JPEG_END)
        if 0 <= start < stop:
            end = stop + len(_JPEG_END)
            return tuple(one for one in (data[:start], Lost.of(data[start:end]), data[end:]) if one)
    return (data,) if data else ()


def _texts(edited: Edited) -> Iterator[tuple[str, Texts]]:
    """Yield place and texts of what rules and habits changed or took away."""
    fields = edited.document.fields
    seen: set[int] = set()
    for number, now in edited.texts.items():
        one = fields[number]
        if one.cells:
            all_rows = range(len(one.texts))
            rows = all_rows if isinstance(now, Gone) else [at for at in all_rows if one.texts[at] != now[at]]
            yield from _cells(one, rows)
            continue
        for at in (number, *one.inside(number, gone=isinstance(now, Gone))):
            if at not in seen and fields[at].texts and fields[at].texts != now:
                seen.add(at)
                yield fields[at].path, fields[at].texts
    for one in fields if edited.rows is not None and edited.rows.lost else ():
        yield from _cells(one, sorted(edited.rows.lost))  # type: ignore[union-attr]


def _cells(column: Field, rows: Iterable[int]) -> Iterator[tuple[str, Texts]]:
    """Yield the cells of rows that follow each other, together."""
    first, count = -1, 0
    for row in chain(rows, (-1,)):
        if count and row == first + count:
            count += 1
            continue
        if count:
            place = f"row {first + 1}" if count == 1 else f"rows {first + 1}-{first + count}"
            yield f"{column.path}, {place}", column.texts[first : first + count]
        first, count = row, 1


def _indexed(edited: Edited) -> dict[str, str]:
    """Return fields that are called as the keywords of the log are; of a table only what all rows agree in."""
    found = {}
    for keyword in KEYWORDS:
        for number in edited.document.find(keyword)[:1]:
            one = edited.document.fields[number]
            texts = set(one.texts) if one.cells else {"\\".join(one.texts)}
            if len(texts) == 1 and (text := texts.pop()):
                found[keyword] = text
    return found


def _patients(edited: Edited) -> Iterator[tuple[str, str]]:
    for number in edited.document.find("PatientID"):
        now, one = edited.texts.get(number), edited.document.fields[number]
        if now is not None and not isinstance(now, Gone):
            yield from ((old, new) for old, new in zip(one.texts, now, strict=False) if old and new and old != new)
