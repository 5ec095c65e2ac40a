"""TIFF and BigTIFF (TIFF 6.0, BigTIFF design, Exif 2.3): every page, sub-image, EXIF and GPS block; nothing moves.

``wire`` reads directories, ``values`` texts of tags, ``picture`` where pixels are, ``slides`` which pages are labels,
``document`` edits, ``again`` reads once more, ``aside`` what stands beside and what tells whose it is, ``names`` tags.
All of it is imported when a file or a profile needs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from fw_gear_deid.formats.row import Codec, Document, Format, Listing, Options

PRIVATE = "remove-private-tags"
_BEGINS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_STAYS = {
    "XMP": ("xmp", "an XMP packet (names, places, dates) stays in TIFF files: add 'name: XMP, remove: true'"),
    "EXIF": (
        "exififd",
        "EXIF blocks (dates, serial numbers, maker notes) stay in TIFF files but for what fields name: "
        f"'{PRIVATE}: true', or 'name: ExifIFD, remove: true'",
    ),
    "GPS": ("gpsinfoifd", f"GPS positions stay in TIFF files: '{PRIVATE}: true', or 'name: GPSInfoIFD, remove: true'"),
}


def _open(data: bytes, options: Options) -> Document:
    from fw_gear_deid.formats.tiff.document import Tiff

    return Tiff(data, options)


def _again(data: bytes, options: Options) -> Listing:
    from fw_gear_deid.formats.tiff.again import Again

    return Again(data)


def _beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    from fw_gear_deid.formats.tiff import aside

    return aside.beside(data)


def _risks(data: bytes, options: Options) -> Sequence[str]:
    from fw_gear_deid.formats.tiff import aside

    return aside.risks(data)


def _wrong(name: str) -> str:
    from fw_gear_deid.formats.tiff import names

    return names.wrong(name)


def _fixed(name: str) -> bool:
    from fw_gear_deid.formats.tiff import names

    return names.is_fixed(name)


def _stays(options: Options, gone: Collection[str]) -> Sequence[str]:
    away = {name.lower() for name in gone}
    safe = {"EXIF", "GPS"} if options.get(PRIVATE) else set()
    return [told for word, (name, told) in _STAYS.items() if name not in away and word not in safe]


FORMAT = Format(
    "tiff",
    "picture",
    ("*.tif", "*.tiff", "*.TIF", "*.TIFF"),
    lambda head: head.startswith(_BEGINS),
    options={PRIVATE: "bool"},
    defaults={"datetime-format": "%Y:%m:%d %H:%M:%S"},
    codec=Codec(_open, _again, beside=_beside, risks=_risks),
    wrong=_wrong,
    fixed=_fixed,
    stays=_stays,
)
