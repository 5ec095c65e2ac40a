"""A large file passes through in pieces: the same bytes, audit and refusals as of one that is read at once."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fw_gear_deid.deid import Context, dataset, deidentify, incoming
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.survey import first_ids, see, survey
from fw_gear_deid.formats import archive
from fw_gear_deid.formats.archive import members
from fw_gear_deid.formats.archive.gz import Unpacked
from fw_gear_deid.formats.dicom import part10 as codec
from fw_gear_deid.formats.dicom.wire import Cut
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Released, Skipped, Trail
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.values.book import ProfileBook
from tests.desk import PROFILE
from tests.dicom_files import SYNTAXES, UID, Fragments, Item, Leaf, Node, Seq, Syntax, header, part10, sample, text

FILL = bytes(range(251)) * 160
PIXELS = 0x7FE00010
MORE = {
    "plain": "",
    "removed": "    - name: PixelData\n      remove: true\n",
    "kept": "    - name: PixelData\n      keep: true\n",
    "replaced": "    - name: PixelPaddingValue\n      remove: true\n    - name: StudyDescription\n      replace-with: X\n",
    "behind": "    - name: DataSetTrailingPadding\n      remove: true\n",
    "character set": "    - name: SpecificCharacterSet\n      replace-with: ISO_IR 192\n",
    "asked": "    - regex: '.*'\n      remove: true\n",
    "defined": "  remove-undefined: true\n",
    "named": "  filenames: [{input-regex: '^(?P<n>.)[.]dcm$', output: '{n}-{SOPInstanceUID}.dcm'}]\n",
    "unnamed": "  filenames: [{input-regex: '^nothing$', output: 'x.dcm'}]\n",
    "late": "    - name: InstanceNumber\n      increment-date: true\n  date-increment: 3\n",  # which is no date
    "made behind": '    - name: (7FE1,"GEMS_Ultrasound_MovieGroup_001",02)\n      replace-with: X\n',
}


def elements(syntax: Syntax, number: str = "1", *behind: Node) -> tuple[Node, ...]:
    """Return a data set whose pixels are larger than its beginning."""
    *head, pixels = sample(syntax)
    head = [text(0x00080018, "UI", f"{UID}.{number}") if node.tag == 0x00080018 else node for node in head]
    large = Fragments((b"", FILL[:30000], FILL[30000:])) if isinstance(pixels, Fragments) else Leaf(PIXELS, "OW", FILL)
    return (*head, large, *behind)


def image(kind: str = "explicit", number: str = "1", *behind: Node, after: bytes = b"") -> bytes:
    return part10(elements(SYNTAXES[kind], number, *behind), SYNTAXES[kind], after=after)


PADDING = Leaf(0xFFFCFFFC, "OB", bytes(5000))
EXPLICIT = SYNTAXES["explicit"]
UNKNOWN = [node for node in elements(EXPLICIT) if node.tag != PIXELS]
INSIDE = (text(0x00080005, "CS", "ISO_IR 100"), Leaf(0x00420011, "OB", FILL))
FILES: dict[str, bytes] = {
    **{kind: image(kind) for kind in SYNTAXES},
    "padding": image("explicit", "1", PADDING),
    "text behind": image("explicit", "1", Leaf(0xFFFCFFFC, "OB", b"\1" * 5000)),
    "trailing": image(after=b"seen by ZZ" * 50),
    "trailing bits": image(after=b"xyz"),
    "trailing zeros": image("implicit", after=bytes(700)),
    "no prefix": image("implicit")[132:][image("implicit").find(b"\x08\0\0\0") - 132 :],
    "preamble": b"x" * 128 + image()[128:],
    "cut": image()[:-100],
    "cut in the head": image()[:600],
    "cut in a header": part10((*UNKNOWN, *elements(EXPLICIT)[-1:]), EXPLICIT)[: -len(FILL) - 6],
    "pixels as UN": part10((*UNKNOWN, Leaf(PIXELS, "UN", FILL)), EXPLICIT),
    "items in UN": part10((*UNKNOWN, Seq(0x7FE11001, (Item(INSIDE),), vr="UN")), EXPLICIT),
    "no pixels": part10((*UNKNOWN, Leaf(0x00420011, "OB", FILL)), EXPLICIT),
    "no pixels, trailing": part10((*UNKNOWN, Leaf(0x00420011, "OB", FILL)), EXPLICIT, after=b"abc"),
    "no pixels, zeros and trailing": part10((*UNKNOWN, Leaf(0x00420011, "OB", FILL)), EXPLICIT, after=bytes(90) + b"x"),
    "much in the middle": part10((*UNKNOWN, Leaf(0x00420011, "OB", FILL), elements(EXPLICIT)[-1]), EXPLICIT),
    "odd": part10((*UNKNOWN, Leaf(0x60003000, "OW", FILL)), EXPLICIT)[: -len(FILL)].replace(b"CS", b"C1") + FILL,
    "twice": part10((*elements(EXPLICIT), elements(EXPLICIT)[-1]), EXPLICIT),
}


def tarred(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as made:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as made:
        for name, data in files.items():
            made.writestr(name, data)
    return stream.getvalue()


PACKED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "loose": ("1.dcm", bytes),
    "stored": ("x.zip", lambda data: zipped({"a/1.dcm": data})),
    "deflated": ("x.zip", lambda data: zipped({"a/1.dcm": data}, zipfile.ZIP_DEFLATED)),
    "tar": ("x.tar", lambda data: tarred({"a/1.dcm": data})),
    "gzip": ("1.dcm.gz", gzip.compress),
}
Told = tuple[Released | str, Trail, bytes]
BOOK = ProfileBook(parse_profile(PROFILE, "p.yaml"))
RING = Keyring(b"k" * 32)


def context(profile: str = PROFILE) -> Context:
    return Context(parse_profile(profile, "p.yaml"), RING, "S", date(2026, 1, 1), "strict")


LOOKS: dict[str, Callable[[Path, str], object]] = {
    "whose": lambda source, name: see(source, name, BOOK, RING, whole=False),
    "whose, all of it": lambda source, name: see(source, name, BOOK, RING, whole=True),
    "where": lambda source, name: survey(source, name, context()),
    "ids": lambda source, name: first_ids(source, name, BOOK.base),
}
"""What is asked of a source before it is worked on."""


@dataclass
class Way:
    """Large and small are what a test wants; ``most`` is how much was at hand of the last file."""

    folder: Path
    patch: pytest.MonkeyPatch
    most: int = 0

    def told(self, name: str, data: bytes, profile: str) -> Told:
        """Return what comes of a file: report, audit and bytes, or the refusal."""
        (self.folder / "source").write_bytes(data)
        out = self.folder / "result"
        try:
            done = deidentify(self.folder / "source", name, context(profile), out)
        except Unfit as error:
            return f"{type(error).__name__}: {error}", Trail(), b""
        if isinstance(done, Skipped):
            return done.reason, Trail(), b""
        return done.released, done.trail, out.read_bytes()

    def both(self, name: str, data: bytes, profile: str = PROFILE) -> tuple[Told, Told]:
        at_once = self.told(name, data, profile)
        with self.in_pieces():
            return at_once, self.told(name, data, profile)

    def seen(self, look: str, name: str, data: bytes) -> tuple[object, object]:
        """Return what a look finds at once and in pieces, or why nothing."""
        (self.folder / "source").write_bytes(data)

        def found() -> object:
            try:
                return LOOKS[look](self.folder / "source", name)
            except Unfit as error:
                return f"{type(error).__name__}: {error}"

        at_once = found()
        with self.in_pieces():
            return at_once, found()

    @contextlib.contextmanager
    def in_pieces(self) -> Iterator[None]:
        with self.patch.context() as patch:
            patch.setattr(incoming, "_LARGE", 2000)
            patch.setattr(incoming, "_FIRST", 300)
            patch.setattr(incoming, "_MOST", 12000)
            patch.setattr(members, "_WHOLE", 0)
            patch.setattr(members, "HEAD", 256)
            patch.setattr(members, "PIECE", 700)
            patch.setattr(archive, "PIECE", 700)
            patch.setattr(archive, "_HELD", 2000)
            patch.setattr(codec, "_FIRST", 300)
            read = Incoming._read

            def watched(one: Incoming, size: int) -> None:
                read(one, size)
                self.most = len(one.data)

            patch.setattr(Incoming, "_read", watched)
            yield


@pytest.fixture
def way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Way:
    return Way(tmp_path, monkeypatch)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("rules", MORE)
def test_the_same_comes_of_it(way: Way, kind: str, rules: str, packed: str) -> None:
    name, pack = PACKED[packed]
    at_once, in_pieces = way.both(name, pack(FILES[kind]), PROFILE + MORE[rules])
    assert in_pieces == at_once


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("rules", ["plain", "removed", "kept", "replaced", "character set", "defined", "named"])
@pytest.mark.parametrize("kind", ["explicit", "implicit", "big", "no prefix", "preamble", "no pixels"])
def test_pixels_are_not_at_hand(way: Way, kind: str, rules: str, packed: str) -> None:
    """Else the comparison above would compare nothing."""
    name, pack = PACKED[packed]
    (released, _, _), _ = way.both(name, pack(FILES[kind]), PROFILE + MORE[rules])
    assert isinstance(released, Released), released
    assert 0 < way.most < 6000


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize(
    ("rules", "number"), [("plain", "1"), ("plain", "2"), ("removed", "2"), ("unnamed", "1"), ("late", "1")]
)
def test_damage_behind_the_beginning_refuses(way: Way, method: int, rules: str, number: str) -> None:
    """Also where nobody wants what is damaged."""
    data = bytearray(zipped({"1.dcm": image(number="1"), "2.dcm": image(number="2")}, method))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        info = made.getinfo(f"{number}.dcm")
    data[info.header_offset + 35 + info.compress_size - 100] ^= 0xFF
    at_once, in_pieces = way.both("x.zip", bytes(data), PROFILE + MORE[rules])
    assert at_once == in_pieces == (f"Malformed: member {number}: a member of the archive is damaged", Trail(), b"")


def test_one_that_stands_twice_is_a_copy(way: Way) -> None:
    at_once, in_pieces = way.both("x.zip", zipped({"1.dcm": image(), "2.dcm": image(), "3.dcm": image(number="3")}))
    assert at_once == in_pieces
    assert isinstance(at_once[0], Released)
    assert (at_once[0].members, at_once[0].reason) == (2, "1 member left out: 1 copy")


@pytest.mark.parametrize("place", [-1, 200])
def test_one_that_differs_behind_the_beginning_is_no_copy(way: Way, place: int) -> None:
    other = bytearray(image())
    other[place] ^= 1
    at_once, in_pieces = way.both("x.zip", zipped({"1.dcm": image(), "2.dcm": bytes(other)}))
    assert at_once == in_pieces
    assert isinstance(at_once[0], str) and "is that of another member" in at_once[0]


def test_what_is_copied_as_it_is(way: Way) -> None:
    profile = PROFILE + "filename:\n  filenames: [{input-regex: '^big[.]raw$', output: 'new.raw'}]\n"
    files = {"1.dcm": image(), "big.raw": FILL}
    at_once, in_pieces = way.both("x.zip", zipped(files), profile)
    assert at_once == in_pieces
    assert isinstance(at_once[0], Released), at_once
    assert at_once[0].members == 2


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("look", LOOKS)
def test_a_look_in_pieces_finds_the_same(way: Way, kind: str, look: str, packed: str) -> None:
    name, pack = PACKED[packed]
    at_once, in_pieces = way.seen(look, name, pack(FILES[kind]))
    assert in_pieces == at_once


NOBODYS = part10([node for node in elements(EXPLICIT) if node.tag != 0x00100020], EXPLICIT)


@pytest.mark.parametrize("packed", PACKED)
@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("kind", ["explicit", "implicit", "big", "no prefix", "preamble", "no pixels", "nobody's"])
def test_a_look_has_no_pixels_at_hand(way: Way, kind: str, look: str, packed: str) -> None:
    """Neither in what comes in pieces, nor in the bytes that the walk is given."""
    name, pack = PACKED[packed]
    given: list[int] = []
    read = codec.read

    def watched(src: bytes, *more: Any) -> codec.Parts:
        given.append(len(src))
        return read(src, *more)

    way.patch.setattr(codec, "read", watched)
    data = NOBODYS if kind == "nobody's" else FILES[kind]
    (way.folder / "source").write_bytes(pack(data))
    with way.in_pieces():
        LOOKS[look](way.folder / "source", name)
    assert way.most < 6000
    assert all(size < 6000 for size in given)
    assert way.most or given or look == "whose"


@pytest.mark.parametrize("look", ["where", "ids"])
@pytest.mark.parametrize("place", [-100, 9000])
@pytest.mark.parametrize("kind", ["explicit", "jpeg", "cut in the head"])
def test_damage_is_what_a_look_tells_of(way: Way, kind: str, place: int, look: str) -> None:
    """Wherever it lies, and whatever else is wrong."""
    data = bytearray(zipped({"1.dcm": FILES[kind]}))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        info = made.getinfo("1.dcm")
    data[info.header_offset + 35 + (place % info.file_size)] ^= 0xFF
    at_once, in_pieces = way.seen(look, "x.zip", bytes(data))
    assert at_once == in_pieces == "Malformed: a member of the archive is damaged"


def test_damage_in_what_is_needed_is_told(way: Way) -> None:
    data = bytearray(zipped({"1.dcm": image("jpeg")}))
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        info = made.getinfo("1.dcm")
    data[info.header_offset + 35 + 9000] ^= 0xFF
    at_once, in_pieces = way.both("x.zip", bytes(data))
    assert at_once == in_pieces == ("Malformed: member 1: a member of the archive is damaged", Trail(), b"")


@pytest.mark.parametrize("piece", [1, 7, 131, 132, 133, 700, 1 << 20])
@pytest.mark.parametrize("first", [0, 1, 100, 132, 700, 3000])
def test_several_files_are_found_wherever_one_ends(piece: int, first: int) -> None:
    other = bytes(128) + b"DICM" + FILL[:600]
    two = gzip.compress(FILL[:first]) + gzip.compress(b"") + gzip.compress(other)
    with pytest.raises(Unfit, match="several files are packed one after the other"):
        list(Unpacked(io.BytesIO(two), "gzip").pieces(piece))
    one = b"".join(gzip.compress(other[at : at + 50]) for at in range(0, len(other), 50))
    assert b"".join(Unpacked(io.BytesIO(one), "gzip").pieces(piece)) == other


def test_a_file_that_became_shorter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "_LARGE", 10)
    monkeypatch.setattr(incoming, "_FIRST", 10)
    source = Incoming(iter([b"0123456789", b"0123456789"]), 30)
    with pytest.raises(Unfit, match="it changed while it was read"):
        source.drain()


def walked(data: bytes, section: DicomSection, total: int) -> tuple[object, ...] | str:
    """Return what is found in a beginning of a file, or why nothing is."""
    try:
        parts = dataset.open_file(data, section, total=total)
    except Unfit as error:
        return str(error)
    levels = [*parts.meta.levels(), *parts.body.levels()]
    spans = [one[1:4] for level in levels for one in level.found]
    return spans, [level.gaps for level in levels], parts.body.place.encoding, parts.body.end, parts.total


IMPLICIT = SYNTAXES["implicit"]
WALKED = FILES | {
    "explicit called implicit": part10((), IMPLICIT) + image()[image().find(b"\x08\0\0\0") :],
    "a length that spells a VR": part10((Leaf(0x00080000, "UL", FILL[:0x4F4C]), *elements(IMPLICIT)[1:]), IMPLICIT),
}


NEEDED = {"deflated", "jpeg", "items in UN", "no pixels, trailing", "trailing bits", "cut in a header", "twice", "odd"}
"""Those that are read to their end."""


@pytest.mark.parametrize("kind", WALKED)
def test_wherever_a_beginning_ends_it_is_read_right_or_not(kind: str) -> None:
    data = WALKED[kind]
    section = parse_profile(PROFILE, "p.yaml").dicom
    assert section is not None
    whole, read = walked(data, section, len(data)), 0
    for size in (*range(132, 1500), *range(20000, 22000, 3), *range(41000, 42000, 7)):
        if size >= len(data):
            break
        try:
            found = walked(data[:size], section, len(data))
        except Cut:
            continue
        read += 1
        assert found == whole, size
    assert bool(read) == (kind not in NEEDED)


@pytest.mark.parametrize(
    ("damage", "behind", "why"),
    [
        (lambda head: head, 0, ""),
        (lambda head: head, 2, "bytes follow the last element"),
        (lambda head: head, -2, "bytes follow the last element"),
        (lambda head: head + b"12", -2, "bytes follow the last element"),
        (lambda head: head[:-2], 2, "something changed without a rule"),
        (lambda head: head[:-1] + b"x", 0, "something changed without a rule"),
        (lambda head: head[: -2000 - len(FILL[:100])], 2100, "something changed without a rule"),
    ],
)
def test_verification_knows_what_is_not_at_hand(damage: Callable[[bytes], bytes], behind: int, why: str) -> None:
    section = parse_profile(PROFILE, "p.yaml").dicom
    assert section is not None
    data = image()
    parts = dataset.open_file(data[:4000], section, total=len(data))
    edited = dataset.edit(parts, section, lambda purpose: 0, "p", date(2026, 1, 1))
    pieces, meta = codec.write(parts, edited.meta, edited.body)
    missing = codec.behind(parts, edited.body)
    assert missing == len(data) - 4000
    head = damage(b"".join(pieces))
    with pytest.raises(Unfit, match=why) if why else contextlib.nullcontext():
        dataset.check(edited, head, meta, missing + behind)


# -- memory --------------------------------------------------------------------------------------------

SIZE = 150 << 20
BLOCK = bytes(range(256)) * 16 + bytes(60 << 10)


def large() -> Iterator[bytes]:
    """Yield an image of many frames in pieces."""
    *head, _ = elements(EXPLICIT)
    yield part10(head, EXPLICIT) + header(PIXELS, "OW", SIZE, EXPLICIT)
    for _ in range(SIZE // len(BLOCK)):
        yield BLOCK


class Joined(io.RawIOBase):
    """Pieces as a file to read from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = b""

    def read(self, size: int = -1, /) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, b"")):
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def pack_large(source: Path, packed: str) -> str:
    """Write an image of many frames; return the name of the file."""
    if packed in ("loose", "gzip"):
        with gzip.open(source, "wb", 1) if packed == "gzip" else source.open("wb") as stream:
            stream.writelines(large())
        return "1.dcm.gz" if packed == "gzip" else "1.dcm"
    if packed in ("tar", "tar.gz"):
        info = tarfile.TarInfo("1.dcm")
        info.size = sum(map(len, large()))
        with tarfile.open(source, "w:gz" if packed == "tar.gz" else "w") as made:
            made.addfile(info, Joined(large()))
    else:
        method = zipfile.ZIP_STORED if packed == "stored" else zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(source, "w", method, compresslevel=1) as made:
            for name in ("1.dcm", "2.dcm")[: 1 + (packed == "twice")]:
                with made.open(name, "w", force_zip64=True) as member:
                    for piece in large():
                        member.write(piece)
    return f"x.{packed}" if packed.startswith("tar") else "x.zip"


@contextlib.contextmanager
def in_little_memory() -> Iterator[None]:
    """Make sure that never more than a tenth of a large file is at hand."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20


LARGE = ["loose", "stored", "deflated", "twice", "tar", "tar.gz", "gzip"]


@pytest.mark.parametrize("packed", LARGE)
def test_a_large_file_is_never_in_memory(tmp_path: Path, packed: str) -> None:
    source = tmp_path / "source"
    name = pack_large(source, packed)
    for look in LOOKS.values():
        with in_little_memory():
            look(source, name)
    with in_little_memory():
        done = deidentify(source, name, context(), tmp_path / "result")
    assert not isinstance(done, Skipped)
    assert done.released.bytes_in == source.stat().st_size
    assert done.released.members == 1


def test_members_leave_little_behind(tmp_path: Path) -> None:
    """What each needs is its name, what was changed of it, and what its own values were."""
    peaks = []
    for count in (50, 300, 1300):  # the first fills what is remembered of the profile
        members = {f"series/{n:05d}.dcm": small(f"{n}") for n in range(count)}
        (tmp_path / "source").write_bytes(zipped(members, zipfile.ZIP_DEFLATED))
        del members
        tracemalloc.start()
        done = deidentify(tmp_path / "source", "x.zip", context(), tmp_path / "result")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert not isinstance(done, Skipped)
        assert done.released.members == count
    assert peaks[2] - peaks[1] < 1000 * 2000


def small(number: str) -> bytes:
    """Return an image with next to no pixels."""
    return part10([*elements(EXPLICIT, number)[:-1], Leaf(PIXELS, "OW", FILL[:64])], EXPLICIT)
