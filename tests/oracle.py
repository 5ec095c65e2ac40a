"""A second opinion by pydicom: what a file holds, and what it should hold after some changes."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pydicom
from pydicom import datadict
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_sequence
from pydicom.filewriter import write_data_element
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from fw_gear_deid.actions import ACTIONS, Hash, Keep, Remove, Replace
from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import level, part10, wire
from fw_gear_deid.formats.dicom.part10 import Parts
from fw_gear_deid.model.action import EQUALS, GONE, Action
from fw_gear_deid.model.selectors import PathAt, PrivateAt, RegexAt, Selector, TagAt, VrAt
from fw_gear_deid.profile.compiled import DicomSection, Rule
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.verify.instance import Checker
from fw_gear_deid.verify.promises import General, Promise, Promises
from tests.dicom_files import SYNTAXES, Item, Leaf, Node, Seq, Syntax

Step = tuple[int, int]
"""A sequence's tag and an item's index."""
Snapshot = tuple[tuple[int, str, object], ...]
"""Tag, VR (empty where none is on the wire) and value bytes or items of each element, in the order of tags."""
_ITEM = b"\xfe\xff\x00\xe0"
_META_LENGTH = 0x00020000


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to do: make the items of ``path``, then remove an element (``texts`` None) or give it values."""

    path: tuple[Step, ...]
    tag: int
    vr: str = ""
    texts: tuple[str, ...] | None = None


# -- the engine's way ----------------------------------------------------------------------------------


class Everything(level.Place):
    """A place where every element is wanted."""

    def want(self, tag: int, vr: str, wire: str) -> level.Want:
        return level.Want(tag, vr, wire, wanted=True)

    def below(self, tag: int, index: int, encoding: wire.Encoding) -> level.Place:
        return Everything(encoding)


def opened(data: bytes) -> Parts:
    """Walk a file with an eye on every element."""
    return part10.read(data, Everything(wire.EXPLICIT_LITTLE), Everything)


def unedited(data: bytes) -> bytes:
    """Return the bytes of a file that went through walk and write without a change."""
    pieces, _ = part10.write(opened(data), [], [])
    return b"".join(pieces)


def rules_of(changes: Sequence[Change]) -> tuple[Rule, ...]:
    """Return changes as rules; what is always signed in the file meta stays."""
    rules: list[Rule] = [
        Rule(TagAt(tag), Keep(), f"{tag:08X}", f"test:{tag}", index, insert=False)
        for index, tag in enumerate((0x00020012, 0x00020013, 0x00020016))
    ]
    for change in changes:
        selector = PathAt(change.path, change.tag) if change.path else TagAt(change.tag)
        action = Remove() if change.texts is None else Replace(change.texts)
        rules.append(Rule(selector, action, "test", f"test:{len(rules)}", len(rules), insert=change.texts is not None))
    return tuple(rules)


def section_of(changes: Sequence[Change]) -> DicomSection:
    """Return a section that makes some changes and nothing else."""
    section = parse_profile("dicom:\n  fields:\n    - name: Modality\n", "test.yaml").dicom
    assert section is not None
    return replace(section, rules=rules_of(changes))


def edited(data: bytes, changes: Sequence[Change]) -> tuple[dataset.Edited, bytes]:
    """Carry out changes; return what was done, and the file."""
    return carried_out(data, section_of(changes))


def carried_out(data: bytes, section: DicomSection) -> tuple[dataset.Edited, bytes]:
    """Carry out a section; return what was done, and the file."""
    parts = dataset.open_file(data, section)
    done = dataset.edit(parts, section, lambda purpose: 0, "nobody", date(2026, 1, 1))
    pieces, _ = part10.write(parts, done.meta, done.body)
    return done, b"".join(pieces)


def check(done: dataset.Edited, data: bytes) -> None:
    """Ask the verifier about a result of changes."""
    promises = tuple(
        Promise(rule.selector, kind, rule.action.values if isinstance(rule.action, Replace) else (), rule.label)
        for rule in done.section.rules
        # what an emptied sequence gets by a later rule stays
        if (
            kind := {"remove": GONE, "replace-with": EQUALS if rule.action != Replace(()) else ""}.get(
                rule.action.key, ""
            )
        )
    )
    hold(done, data, promises)


def hold(done: dataset.Edited, data: bytes, promises: tuple[Promise, ...]) -> None:
    """Ask the verifier about a result."""
    _, meta = part10.write(done.parts, done.meta, done.body)
    general = General(done.section.creators)
    checker = Checker(Promises(promises, recurse=done.section.recurse, general=general), done.section.creators)
    checker.check(dataset.span_of(done.parts), data, (meta, done.body, {row.path for row in done.edits}))


def places(level: level.Level, path: tuple[Step, ...] = ()) -> Iterator[tuple[tuple[Step, ...], level.Found]]:
    """Yield path and element of everything in a data set."""
    for one in level.found:
        yield path, one
        for index, item in enumerate(one.items or ()):
            yield from places(item, (*path, (one.want.tag, index)))


# -- pydicom's way -------------------------------------------------------------------------------------


def read(data: bytes) -> pydicom.FileDataset:
    """Read a file by pydicom, which may warn."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")


def changed(data: bytes, changes: Sequence[Change]) -> pydicom.FileDataset:
    """Return a file's data set after changes that pydicom made."""
    file = read(data)
    for change in changes:
        ds: Dataset = file.file_meta if change.tag >> 16 == 2 else file
        for tag, index in change.path:
            ds = _item(ds, tag, index)
        if change.texts is None:
            ds._dict.pop(Tag(change.tag), None)
        elif change.vr == "SQ":
            _set(ds, DataElement(Tag(change.tag), "SQ", Items()))
        else:
            _put(ds, change.tag, change.vr, change.texts)
    return file


def _get(ds: Dataset, tag: int) -> DataElement | RawDataElement | None:
    """Return an element as it was read: without ``keep_deferred`` pydicom converts an empty one."""
    return ds.get_item(Tag(tag), keep_deferred=True)


def _set(ds: Dataset, elem: DataElement | RawDataElement) -> None:
    """Set an element and no more: ``ds[tag]`` converts private ones."""
    ds._dict[elem.tag] = elem


def _item(ds: Dataset, tag: int, index: int) -> Dataset:
    """Return an item, creating it as the codec does."""
    elem = _get(ds, tag)
    items = list(_items(elem, ds) or ()) if elem is not None else []
    while len(items) <= index:
        item = Dataset()
        as_un = elem is not None and elem.VR == "UN"
        item.set_original_encoding(as_un or ds.original_encoding[0], as_un or ds.original_encoding[1], _charset(ds))
        items.append(item)
    _set(ds, DataElement(Tag(tag), "SQ", Items(items)))
    return items[index]


def _charset(ds: Dataset) -> list[str]:
    names = ds.original_character_set
    return [names] if isinstance(names, str) else list(names)


def _put(ds: Dataset, tag: int, vr: str, texts: tuple[str, ...]) -> None:
    implicit, little = ds.original_encoding
    old = _get(ds, tag)
    wire = vr if old is None or not old.VR else str(old.VR)
    little = bool(little) or wire == "UN"
    raw = encoded(vr, texts, _charset(ds), little=little)
    _set(ds, RawDataElement(Tag(tag), None if implicit else wire, len(raw), raw, 0, bool(implicit), little))


def encoded(vr: str, texts: tuple[str, ...], encodings: list[str], *, little: bool = True) -> bytes:
    """Return value bytes as pydicom writes them."""
    values: list[object] = list(texts)
    if vr in ("US", "SS", "UL", "SL", "UV", "SV"):
        values = [int(text) for text in texts if text]
    elif vr in ("FL", "FD"):
        values = [float(text) for text in texts if text]
    elif vr == "AT":
        values = [int(text, 16) for text in texts if text]
    elif vr == "UN":
        values = ["\\".join(texts).encode("ascii")]
    if not any(texts):
        return b""
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = little, True
    write_data_element(out, DataElement(Tag(0x00090000), vr, values[0] if len(values) == 1 else values), encodings)
    raw = out.getvalue()[8:]
    return raw + b" " * (len(raw) % 2)  # which pydicom forgets where a text has several values


def snapshot(ds: Dataset) -> Snapshot:
    """Return what a data set holds, to be compared."""
    return tuple(
        (tag, *_content(elem, ds))
        for tag in sorted(map(int, ds.keys()))
        if tag != _META_LENGTH and (elem := _get(ds, tag)) is not None
    )


def _content(elem: DataElement | RawDataElement, ds: Dataset) -> tuple[str, object]:
    items = _items(elem, ds)
    if items is not None:
        return "SQ", tuple(snapshot(item) for item in items)
    if isinstance(elem, RawDataElement):
        return elem.VR or "", elem.value or b""
    implicit, little = ds.original_encoding
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = bool(little), True
    write_data_element(out, elem, _charset(ds))
    return "" if implicit else str(elem.VR), out.getvalue()[8:]


def _items(elem: DataElement | RawDataElement, ds: Dataset) -> list[Dataset] | None:
    """Return the items of a sequence, known as one by its VR, the dictionary or its bytes."""
    if not isinstance(elem, RawDataElement):
        return list(elem.value) if elem.VR == "SQ" else None
    value = elem.value or b""
    as_un = elem.VR == "UN"
    vr = str(elem.VR or "")
    if vr in ("", "UN"):
        vr = datadict.dictionary_VR(elem.tag) if datadict.dictionary_has_tag(elem.tag) else "UN"
    if vr != "SQ" and not (vr == "UN" and value[:4] == _ITEM):
        return None
    if not _holds_items(value, big=not (as_un or elem.is_little_endian)):
        return None
    source = io.BytesIO(value)
    little = as_un or elem.is_little_endian
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            items = list(read_sequence(source, as_un or elem.is_implicit_VR, little, len(value), _charset(ds)))
        except Exception:
            if vr == "SQ":
                raise
            return None
    return items if source.tell() == len(value) and not any(map(_is_cut, items)) else None


def _holds_items(value: bytes, *, big: bool) -> bool:
    """Tell whether items of defined length end where the value does: pydicom reads one that is longer, too."""
    at = 0
    while at < len(value):
        length = int.from_bytes(value[at + 4 : at + 8], "big" if big else "little")
        if length == 0xFFFFFFFF:
            return True
        at += 8 + length
    return at == len(value)


def _is_cut(ds: Dataset) -> bool:
    """Tell whether a value is shorter than its header says: pydicom does not mind."""
    return any(
        isinstance(elem := _get(ds, tag), RawDataElement) and elem.length not in (0xFFFFFFFF, len(elem.value or b""))
        for tag in map(int, ds.keys())
    )


def meta_snapshot(ds: pydicom.FileDataset) -> Snapshot:
    """Return what the file meta holds but its length."""
    return snapshot(ds.file_meta)


def differences(wanted: pydicom.FileDataset, data: bytes) -> list[str]:
    """Return the places where a file is not what pydicom made of it; empty when they are equal."""
    got = read(data)
    return [
        *_differences(meta_snapshot(wanted), meta_snapshot(got), ""),
        *_differences(snapshot(wanted), snapshot(got), ""),
    ]


def numbers_of(path: str) -> str:
    """Return a path of the audit in numbers: a creator's block is found in no path, and there is one in the tests."""
    return re.sub(r'\((....),".*?",(..)\)', r"(\1,10\2)", path)


def _differences(wanted: Snapshot, got: Snapshot, path: str) -> Iterator[str]:
    left = {tag: (vr, value) for tag, vr, value in wanted}
    right = {tag: (vr, value) for tag, vr, value in got}
    for tag in sorted(left.keys() | right.keys()):
        here = f"{path}({tag >> 16:04X},{tag & 0xFFFF:04X})"
        if tag not in left or tag not in right:
            yield f"{here} {'is too much' if tag in right else 'is missing'}"
            continue
        (vr, value), (other_vr, other) = left[tag], right[tag]
        if not value and not other:
            continue  # no items and no bytes are the same
        if isinstance(value, tuple) and isinstance(other, tuple):
            if len(value) != len(other):
                yield f"{here} has {len(other)} items, not {len(value)}"
            for index, (item, its) in enumerate(zip(value, other, strict=False)):
                yield from _differences(item, its, f"{here}[{index}]")
        elif value != other or (vr != other_vr and vr and other_vr):
            yield f"{here} is {other_vr} {str(other)[:60]}, not {vr} {str(value)[:60]}"


# -- rules by pydicom, one after the other over the whole file ---------------------------------------------


def section_with(rules: Sequence[tuple[Selector, Action]], *, recurse: bool) -> DicomSection:
    """Return a section of rules that make nothing but elements of the top level."""
    made = list(rules_of(()))
    for selector, action in sorted(rules, key=lambda rule: isinstance(rule[0], VrAt)):
        insert = isinstance(selector, TagAt) and isinstance(action, Replace)
        made.append(Rule(selector, action, "test", f"test:{len(made)}", len(made), insert=insert))
    return replace(section_of(()), rules=tuple(made), recurse=recurse)


def promises_of(section: DicomSection) -> tuple[Promise, ...]:
    """Return what the rules of a section promise."""
    return tuple(
        Promise(
            rule.selector,
            ACTIONS[rule.action.key].promise,
            ACTIONS[rule.action.key].texts(rule.action),
            rule.label,
        )
        for rule in section.rules
    )


def by_rules(data: bytes, section: DicomSection) -> pydicom.FileDataset:
    """Return a file's data set after rules that pydicom carried out: those for VRs on what no other one points at."""
    file = read(data)
    placed = [rule for rule in section.rules if not isinstance(rule.selector, VrAt)]
    general = [rule for rule in section.rules if isinstance(rule.selector, VrAt)]
    everything = list(_everywhere(file, section.creators))
    meant = (place for rule in placed for place in list(_pointed(file, rule.selector, recurse=section.recurse)))
    reached = {(id(ds), tag) for ds, tag in meant}
    rest = [place for place in everything if (id(place[0]), place[1]) not in reached]
    for rule in placed:
        for ds, tag in list(_pointed(file, rule.selector, recurse=section.recurse)):
            _act(ds, tag, rule.action)
        if rule.insert and isinstance(rule.selector, TagAt) and Tag(rule.selector.tag) not in file:
            _insert(file, rule.selector.tag, rule.action)
    for ds, tag, vr in rest:
        first = next((rule for rule in general if isinstance(rule.selector, VrAt) and vr in rule.selector.vrs), None)
        if first is not None and Tag(tag) in ds:
            _act(ds, tag, first.action)
    return file


def _everywhere(ds: Dataset, named: frozenset[str]) -> Iterator[tuple[Dataset, int, str]]:
    """Yield data set, tag and VR of every element, but for private creators that somebody knows."""
    known = named | datadict.private_dictionaries.keys()
    for tag in sorted(map(int, ds.keys())):
        elem = _get(ds, tag)
        assert elem is not None
        private = bool(tag >> 16 & 1)
        creator = _creator(ds, tag if tag & 0xFFFF <= 0xFF else tag & 0xFFFF0000 | tag >> 8 & 0xFF) if private else ""
        if not private or tag & 0xFFFF > 0xFF or creator not in known:
            yield ds, tag, _class_of(elem, creator if tag & 0xFFFF > 0xFF else "")
        items = _items(elem, ds)
        if items is not None and isinstance(elem, RawDataElement):
            _set(ds, DataElement(Tag(tag), "SQ", Items(items)))
        for item in items or ():
            yield from _everywhere(item, named)


def _creator(ds: Dataset, tag: int) -> str:
    block = _get(ds, tag)
    return bytes(block.value or b"").decode("iso8859").strip("\0 ") if isinstance(block, RawDataElement) else ""


def _class_of(elem: DataElement | RawDataElement, creator: str) -> str:
    """Return the dictionary's VR of an element where it has one, else that on the wire."""
    if datadict.dictionary_has_tag(elem.tag):
        known = datadict.dictionary_VR(elem.tag)
        return known if len(known) == 2 else str(elem.VR or known.split(" or ")[-1])
    try:
        return str(datadict.private_dictionary_VR(elem.tag, creator))
    except KeyError:
        pass
    return "LO" if elem.tag.is_private_creator else str(elem.VR or "UN")


def _insert(ds: Dataset, tag: int, action: Action) -> None:
    assert isinstance(action, Replace)
    if datadict.dictionary_VR(tag) == "SQ":
        _set(ds, DataElement(Tag(tag), "SQ", Items()))
    else:
        _put(ds, tag, datadict.dictionary_VR(tag), action.values)


def _pointed(
    ds: Dataset, selector: Selector, *, recurse: bool, way: tuple[Step, ...] = ()
) -> Iterator[tuple[Dataset, int]]:
    """Yield data set and tag of what a selector points at; what is in a sequence before the sequence."""
    for tag in sorted(map(int, ds.keys())):
        elem = _get(ds, tag)
        items = None if elem is None else _items(elem, ds)
        if items is not None:
            # parsed once: what is changed in the items is changed in the file
            if isinstance(elem, RawDataElement):
                _set(ds, DataElement(Tag(tag), "SQ", Items(items)))
            for index, item in enumerate(items):
                yield from _pointed(item, selector, recurse=recurse, way=(*way, (tag, index)))
        if _is_meant(ds, tag, selector, way, recurse=recurse):
            yield ds, tag


def _is_meant(ds: Dataset, tag: int, selector: Selector, way: tuple[Step, ...], *, recurse: bool) -> bool:
    match selector:
        case TagAt(other):
            return tag == other and (recurse or not way)
        case PrivateAt(group, creator, element):
            block = _get(ds, group << 16 | tag >> 8 & 0xFF)
            reserved = b"" if block is None else bytes(block.value or b"")
            same = tag >> 16 == group and tag & 0xFFFF > 0xFF and tag & 0xFF == element
            return same and reserved.decode("iso8859").strip("\0 ") == creator and (recurse or not way)
        case PathAt(steps, other):
            return (
                tag == other
                and [step for step, _ in steps] == [step for step, _ in way]
                and all(wanted in (None, index) for (_, wanted), (_, index) in zip(steps, way, strict=True))
            )
        case RegexAt(pattern, hex_pattern):
            names = [datadict.keyword_for_tag(step) or f"{step:08x}" for step, _ in way]
            names.append(datadict.keyword_for_tag(tag))
            numbers = [str(index) for _, index in way]
            by_name = ".".join(sum(zip(names, [*numbers, ""], strict=True), ())).rstrip(".") if names[-1] else ""
            tags = [f"{step:08x}" for step, _ in (*way, (tag, 0))]
            by_tag = ".".join(sum(zip(tags, [*numbers, ""], strict=True), ())).rstrip(".")
            return bool(by_name and pattern.match(by_name)) or bool(hex_pattern.match(by_tag))
    raise AssertionError(selector)


def _act(ds: Dataset, tag: int, action: Action) -> None:
    elem = _get(ds, tag)
    assert elem is not None
    if isinstance(action, Remove):
        del ds._dict[Tag(tag)]
    elif isinstance(action, Replace):
        if not isinstance(elem, RawDataElement) or _items(elem, ds) is not None:
            _set(ds, DataElement(Tag(tag), "SQ", Items()))
        else:
            _put(ds, tag, _vr_of(elem), action.values)
    elif isinstance(action, Hash):
        assert isinstance(elem, RawDataElement)
        vr = _vr_of(elem)
        text = (elem.value or b"").decode("ascii").rstrip(" \0")
        parts = [one.strip(" ") if vr in ("AE", "DS", "IS") else one.rstrip(" ") for one in text.split("\\")]
        texts = [text] if vr in ("LT", "ST", "UR", "UT") else parts
        digests = tuple(hashlib.sha256(one.encode()).hexdigest()[: action.digits] if one else "" for one in texts)
        if list(digests) != texts:
            _put(ds, tag, vr, digests)


def _vr_of(elem: RawDataElement) -> str:
    vr = str(elem.VR or "UN")
    return datadict.dictionary_VR(elem.tag) if vr == "UN" and datadict.dictionary_has_tag(elem.tag) else vr


# -- by description ------------------------------------------------------------------------------------


def after(nodes: tuple[Node, ...], change: Change, syntax: Syntax) -> tuple[Node, ...]:
    """Return the description of a data set after a change: what its bytes should be, to the last one."""
    if change.path:
        (tag, index), *rest = change.path
        node = next((node for node in nodes if node.tag == tag), Seq(tag))
        assert isinstance(node, Seq)
        items = [*node.items, *[Item()] * (index + 1 - len(node.items))]
        inside = SYNTAXES["implicit"] if node.vr == "UN" or items[index].implicit else syntax
        deeper = replace(change, path=tuple(rest))
        items[index] = replace(items[index], elements=after(items[index].elements, deeper, inside))
        return _with(nodes, replace(node, items=tuple(items)))
    node = next((node for node in nodes if node.tag == change.tag), Leaf(change.tag, change.vr))
    if change.texts is None:
        return tuple(other for other in nodes if other is not node)
    if isinstance(node, Seq):
        return _with(nodes, Seq(node.tag, vr=node.vr)) if node.items else nodes
    little = syntax.little or node.vr == "UN"
    return _with(nodes, Leaf(node.tag, node.vr, encoded(change.vr, change.texts, ["iso8859"], little=little)))


def _with(nodes: tuple[Node, ...], new: Node) -> tuple[Node, ...]:
    """Put a node where one of its tag stands, or before the first of a higher tag."""
    if any(node.tag == new.tag for node in nodes):
        return tuple(new if node.tag == new.tag else node for node in nodes)
    at = next((index for index, node in enumerate(nodes) if node.tag > new.tag), len(nodes))
    return (*nodes[:at], new, *nodes[at:])
