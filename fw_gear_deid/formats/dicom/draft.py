"""A DICOM file with its changes: what rules edit, and the list of edits they leave (PS3.10 §7)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.scan import Dataset, Element, Encoding
from fw_gear_deid.model.dictionary import (
    BINARY_VRS,
    format_tag,
    is_private,
    is_private_creator,
    keyword_of,
    knows_creator,
    private_vr,
)
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit

CHARACTER_SET = 0x00080005


@dataclass(slots=True)
class _Change:
    ds: Dataset
    tag: int
    vr: str
    before: bytes | None
    """Value bytes as they came in; None when the element is new."""
    before_items: int
    action: str
    rule: str


class Draft:
    """One DICOM file: its parts as scanned, and what has been changed in them.

    Attributes
    ----------
    src : bytes
        What ``meta`` was scanned from: the whole file.
    body_src : bytes
        What ``body`` was scanned from: ``src``, or the inflated data set.
    meta : Dataset
        Group 0002; empty when the file has none.
    body : Dataset
    named : frozenset of str
        Private creators that the profile names: their text may be shown, as that of the dictionary's may.
    """

    def __init__(self, src: bytes, meta: Dataset, body_src: bytes, body: Dataset) -> None:
        self.src = src
        self.meta = meta
        self.body_src = body_src
        self.body = body
        self.named: frozenset[str] = frozenset()
        self._changes: dict[tuple[int, int], _Change] = {}
        self._creators: dict[int, dict[int, str]] = {}
        self._encodings: dict[int, tuple[str, ...]] = {}
        self._gone: list[Element | list[Dataset]] = []
        """What was taken out: kept, for the tables above go by the identity of data sets."""
        self._datasets: list[Dataset] | None = None
        """All data sets of the body, until a sequence comes or goes; every recursing rule asks for them."""

    # -- reading ---------------------------------------------------------------------------------------

    def datasets(self, ds: Dataset) -> list[Dataset]:
        """Return a data set and every item below it."""
        if ds is not self.body:
            return list(_below(ds))
        if self._datasets is None:
            self._datasets = list(_below(ds))
        return self._datasets

    def dataset_for(self, tag: int) -> Dataset:
        """Return the part of the file where a tag of the top level lives."""
        return self.meta if tag >> 16 == 2 else self.body

    def raw(self, el: Element) -> bytes:
        """Return the value bytes of an element as they stand now."""
        if el.raw is not None:
            return el.raw
        source = self.src if _root(el.owner) is self.meta else self.body_src
        return source[el.value : el.end]

    def creators(self, ds: Dataset) -> dict[int, str]:
        """Return what the blocks of a data set are reserved for: ``gggg00bb`` → creator, as the file came in."""
        known = self._creators.get(id(ds))
        if known is None:
            known = {
                tag: self.raw(el).decode("iso8859").strip("\0 ")
                for tag, el in ds.elements.items()
                if is_private_creator(tag) and el.items is None
            }
            self._creators[id(ds)] = known
        return known

    def creator_of(self, ds: Dataset, tag: int) -> str:
        """Return the creator of a private element, empty when its block is not reserved."""
        return self.creators(ds).get(tag & 0xFFFF0000 | tag >> 8 & 0xFF, "")

    def vr(self, el: Element) -> str:
        """Return the VR that rules go by: what the private dictionary knows counts where the wire says UN."""
        if el.vr == "UN" and is_private(el.tag):
            return private_vr(el.tag, self.creator_of(el.owner, el.tag)) or "UN"
        return el.vr

    def encodings(self, ds: Dataset) -> tuple[str, ...]:
        """Return the text codecs of a data set as it came in: its own, or those of what holds it."""
        known = self._encodings.get(id(ds))
        if known is None:
            el = ds.elements.get(CHARACTER_SET)
            if el is not None:
                known = values.encodings_of(self.raw(el))
            else:
                known = () if ds.parent is None else self.encodings(ds.parent.owner)
            self._encodings[id(ds)] = known
        return known

    def current_encodings(self, ds: Dataset) -> tuple[str, ...]:
        """Return the text codecs of a data set as it will be read at the destination."""
        el = ds.elements.get(CHARACTER_SET)
        if el is not None:
            return values.encodings_of(self.raw(el))
        return () if ds.parent is None else self.current_encodings(ds.parent.owner)

    def texts(self, el: Element) -> tuple[str, ...]:
        """Return the values of an element as text.

        Raises
        ------
        Unfit
            There is no text in it, or not one that can be read.
        """
        vr = self.vr(el)
        little = el.owner.encoding.little or el.wire == "UN"
        try:
            return values.decode(self.raw(el), vr, self.encodings(el.owner), little=little)
        except Unfit as error:
            raise Unfit(f"{self.path(el.owner, el.tag)} {vr}: {error}") from None

    def text(self, tag: int) -> str:
        """Return the values of a top-level element joined by ``,``; empty when absent."""
        el = self.dataset_for(tag).elements.get(tag)
        return ",".join(self.texts(el)) if el is not None and el.items is None else ""

    def path(self, ds: Dataset, tag: int) -> str:
        """Return where an element is: ``(0008,1140)[0](0008,1155)``, ``(0019,"SIEMENS MR HEADER",0C)``.

        Of a creator that neither dictionary nor profile know, the text may be anything, a name too: ``(0019,100C)``.
        """
        here = format_tag(tag)
        if is_private(tag) and not is_private_creator(tag):
            creator = self.creator_of(ds, tag)
            if creator in self.named or knows_creator(creator):
                here = f'({tag >> 16:04X},"{creator}",{tag & 0xFF:02X})'
        if ds.parent is None:
            return here
        return f"{self.path(ds.parent.owner, ds.parent.tag)}[{ds.index}]{here}"

    # -- changing --------------------------------------------------------------------------------------

    def remove(self, ds: Dataset, tag: int, action: str, rule: str) -> None:
        """Take an element out; nothing happens when it is absent."""
        el = ds.elements.get(tag)
        if el is None:
            return
        self._note(ds, el, tag, el.vr, action, rule)
        self._gone.append(el)
        del ds.elements[tag]
        if el in ds.inserted:
            ds.inserted.remove(el)
        _touch(ds)

    def put(self, ds: Dataset, tag: int, vr: str, texts: tuple[str, ...], action: str, rule: str) -> None:
        """Give an element values, creating it with ``vr`` when absent.

        Raises
        ------
        Unfit
            A value is not legal for the VR or cannot be written.
        """
        el = ds.elements.get(tag)
        if el is not None and vr == "UN":
            vr = self.vr(el)
        wire_is_un = el is not None and el.wire == "UN"
        if vr == "SQ":
            if any(texts):
                raise Unfit(f"{self.path(ds, tag)}: a sequence cannot take a value")
            raw = b""
        else:
            try:
                little = ds.encoding.little or wire_is_un
                raw = values.encode(texts, vr, self.encodings(ds), little=little)
            except Unfit as error:
                raise Unfit(f"{self.path(ds, tag)} {vr}: {error}") from None
        self.put_raw(ds, tag, vr, raw, action, rule)

    def put_raw(self, ds: Dataset, tag: int, vr: str, raw: bytes, action: str, rule: str) -> None:
        """Give an element value bytes; equal bytes are no change."""
        el = ds.elements.get(tag)
        if el is not None and (el.items == [] if vr == "SQ" else el.items is None and self.raw(el) == raw):
            return
        self._note(ds, el, tag, vr, action, rule)
        if el is None:
            el = Element(tag, vr, vr, -1, -1, -1, undefined=False, owner=ds)
            ds.elements[tag] = el
            ds.inserted.append(el)
        if el.items:
            self._gone.append(el.items)
        if vr == "SQ":
            el.items = []
            el.undefined = False
        else:
            el.items = None
            el.undefined = False
            el.raw = raw
        el.dirty = True
        _touch(ds)

    def item(self, ds: Dataset, tag: int, index: int, action: str, rule: str) -> Dataset:
        """Return an item of a sequence, creating the sequence and padding it with empty items where needed."""
        el = ds.elements.get(tag)
        if el is None:
            self._note(ds, None, tag, "SQ", action, rule)
            el = Element(tag, "SQ", "SQ", -1, -1, -1, undefined=False, owner=ds)
            el.items = []
            ds.elements[tag] = el
            ds.inserted.append(el)
        if el.items is None:
            raise Unfit(f"{self.path(ds, tag)} is no sequence")
        while len(el.items) <= index:
            self._note(ds, el, tag, "SQ", action, rule)
            encoding = Encoding(explicit=False, little=True) if el.wire == "UN" else ds.encoding
            item = Dataset(encoding, el, 0, 0)
            item.index = len(el.items)
            item.dirty = el.dirty = True
            el.items.append(item)
            _touch(ds)
        return el.items[index]

    def _note(self, ds: Dataset, el: Element | None, tag: int, vr: str, action: str, rule: str) -> None:
        if vr == "SQ" or (el is not None and el.items is not None):
            self._datasets = None
        change = self._changes.get((id(ds), tag))
        if change is None:
            before = None if el is None else self.raw(el)
            items = len(el.items) if el is not None and el.items is not None else -1
            # the creator's name is asked for once it may be gone: learn it now
            self.creators(ds)
            self.encodings(ds)
            self._changes[id(ds), tag] = _Change(ds, tag, vr, before, items, action, rule)
        else:
            change.action, change.rule = action, rule

    # -- what came of it -------------------------------------------------------------------------------

    def changes(self) -> Iterator[tuple[Dataset, int, bytes | None, Element | None]]:
        """Yield place, value before (None: new) and element after (None: gone) of every element that differs."""
        for change in self._effective():
            yield change.ds, change.tag, change.before, change.ds.elements.get(change.tag)

    def _effective(self) -> Iterator[_Change]:
        """Yield changes that made a difference; what was changed inside a sequence that went away did not."""
        for change in self._changes.values():
            el = change.ds.elements.get(change.tag)
            came_and_went = el is None and change.before is None
            came_back = el is not None and el.items is None and el.raw == change.before
            if not came_and_went and not came_back and not _is_lost(change.ds):
                yield change

    def touched(self, tag: int) -> bool:
        """Tell whether an element of this tag has been changed anywhere."""
        return any(changed == tag for _, changed in self._changes)

    def edits(self) -> Iterator[Edit]:
        """Yield the audit of this file, in the order of the rules that acted."""
        for change in self._effective():
            el = change.ds.elements.get(change.tag)
            yield Edit(
                path=self.path(change.ds, change.tag),
                keyword=keyword_of(change.tag),
                vr=change.vr,
                action=change.action,
                rule=change.rule,
                before=self._shown(change),
                after="" if el is None else self.shown(el),
            )

    def shown(self, el: Element) -> str:
        """Return an element's values as a person reads them: values joined by a backslash, bytes by their number."""
        if el.items is not None:
            return f"<{len(el.items)} items>"
        return self._show(self.raw(el), self.vr(el), el.owner, el.wire)

    def _shown(self, change: _Change) -> str:
        if change.before is None:
            return ""
        if change.before_items >= 0:
            return f"<{change.before_items} items>"
        return self._show(change.before, change.vr, change.ds, change.vr)

    def _show(self, raw: bytes, vr: str, ds: Dataset, wire: str) -> str:
        if vr in BINARY_VRS and vr != "UN":
            return f"<{len(raw)} bytes>"
        try:
            little = ds.encoding.little or wire == "UN"
            return "\\".join(values.decode(raw, vr, self.encodings(ds), little=little))
        except Unfit:
            return f"<{len(raw)} bytes>"


def _below(ds: Dataset) -> Iterator[Dataset]:
    yield ds
    for el in ds.elements.values():
        for item in el.items or ():
            yield from _below(item)


def _touch(ds: Dataset | None) -> None:
    """Mark everything from here up to the top as in need of writing."""
    while ds is not None:
        ds.dirty = True
        el = ds.parent
        if el is None:
            return
        el.dirty = True
        ds = el.owner


def _is_lost(ds: Dataset) -> bool:
    """Tell whether a data set went away with a sequence that was removed, replaced or emptied."""
    while ds.parent is not None:
        parent = ds.parent
        items = parent.items or []
        if parent.owner.elements.get(parent.tag) is not parent or ds.index >= len(items) or items[ds.index] is not ds:
            return True
        ds = parent.owner
    return False


def _root(ds: Dataset) -> Dataset:
    while ds.parent is not None:
        ds = ds.parent.owner
    return ds
