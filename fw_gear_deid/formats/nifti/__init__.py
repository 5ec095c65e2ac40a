"""NIfTI-1 and NIfTI-2 (nifti.nimh.nih.gov), plain or packed by gzip: text and numbers of the header, extensions."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator, Sequence

from fw_gear_deid.formats.nifti.document import KEEP, Document
from fw_gear_deid.formats.nifti.layout import LOCKED, NAMES, NEEDED, is_analyze, is_pair, magic_of, reach, volume_of
from fw_gear_deid.formats.row import Codec, Format, Listing, Options, Pair
from fw_gear_deid.model.action import Texts

_GZIP = b"\x1f\x8b\x08"
_TELLING = ("descrip", "aux_file", "db_name", "intent_name")


def is_nifti(head: bytes) -> bool:
    """Tell whether a file is NIfTI by its first bytes, one of a pair and Analyze included; packed by gzip or not."""
    if head.startswith(_GZIP):
        head = _unpacked(head)
    return bool(magic_of(head)) or is_analyze(head)


def _unpacked(head: bytes) -> bytes:
    """Return the first bytes of what a gzip file holds, which may be of several streams; none of a damaged one."""
    found = b""
    while head.startswith(_GZIP) and len(found) < NEEDED:
        stream = zlib.decompressobj(31)
        try:
            found += stream.decompress(head, NEEDED - len(found))
        except zlib.error:
            break
        head = stream.unused_data
    return found


def _again(data: bytes, options: Options) -> Listing:
    from fw_gear_deid.formats.nifti.second import Again

    return Again(data, options)


def _is_empty(texts: Texts) -> bool:
    """Tell whether a field holds nothing: none of a header can go, those that go hold zeros."""
    return bool(texts) and all(text in ("", "0") for text in texts)


def _wrong(name: str) -> str:
    return "" if name.lower() in NAMES else "no field of a NIfTI header has this name"


def _stays(options: Options, gone: Collection[str]) -> tuple[str, ...]:
    return tuple(_warnings(options, gone))


def _warnings(options: Options, gone: Collection[str]) -> Iterator[str]:
    ruled = {name.lower() for name in gone}
    left = [name for name in ("descrip", "aux_file", "db_name") if name not in ruled]
    if left:
        yield f"text in {', '.join(left)} stays: names, dates and paths are found there"
    if options.get(KEEP) is True:
        yield f"{KEEP}: extensions come out as they are; DICOM headers, names of users and histories are found there"
    for name in sorted(ruled & LOCKED):
        yield f"{name} is what a volume is read by: files in which a rule would change it are refused"


def _beside(data: bytes, options: Options) -> Iterator[tuple[str, bytes]]:
    for code, content in Document(data, options).closed:
        yield f"extension {code}", content


def _risks(data: bytes, options: Options) -> Sequence[str]:
    document = Document(data, options)
    texts = {one.name for one in document.fields if any(one.texts)}
    words = [f"text in {name}" for name in _TELLING if name in texts]
    if options.get(KEEP) is True:
        words += dict.fromkeys(f"extension {code}" for code in document.codes)
    return words


_PAIR = Pair((".hdr", ".hdr.gz"), (".img", ".img.gz"), is_pair, volume_of)
FORMAT = Format(
    "nifti",
    "NIfTI volume",
    (
        "*.nii",
        "*.nii.gz",
        *(f"*{one}" for suffix in (*_PAIR.headers, *_PAIR.volumes) for one in (suffix, suffix.upper())),
    ),
    is_nifti,
    options={KEEP: "bool"},
    codec=Codec(Document, _again, 64 << 20, _beside, _risks, reach=reach, empty=_is_empty, pair=_PAIR),
    wrong=_wrong,
    makes=False,
    stays=_stays,
)

__all__ = ["FORMAT"]
