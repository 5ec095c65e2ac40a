"""JPEG (ITU-T T.81, T.871) with EXIF, by segments: pixels are never decoded, and come out as they went in.

``segments`` and ``kinds`` what a file is made of, ``document`` its fields and changes, ``again`` the second reader.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from fw_gear_deid.formats.row import Codec, Document, Format, Listing, Options

_PLACES = {"gpstag", "gpsinfo", "gpsifd"}
_MOST = 1 << 30


def _open(data: bytes, options: Options) -> Document:
    from fw_gear_deid.formats.jpg.document import Document as Opened

    return Opened(data, options)


def _again(data: bytes, options: Options) -> Listing:
    from fw_gear_deid.formats.jpg.again import Again

    return Again(data, options)


def _beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    from fw_gear_deid.formats.jpg.again import beside

    return beside(data, options)


def _risks(data: bytes, options: Options) -> Sequence[str]:
    from fw_gear_deid.formats.jpg.again import risks

    return risks(data, options)


def _loose(document: Document) -> Mapping[int, Sequence[bytes]]:
    from fw_gear_deid.formats.jpg.document import Document as Opened

    return document.loose() if isinstance(document, Opened) else {}


def _wrong(name: str) -> str:
    from fw_gear_deid.formats.exif.tags import wrong

    return wrong(name)


def _stays(options: Options, gone: Collection[str]) -> Sequence[str]:
    names = {name.lower() for name in gone}
    if options.get("remove-exif"):
        return ()
    told = ["comments, XMP, IPTC and other segments stay, with the names in them: remove-exif takes them"]
    if not options.get("remove-gps") and not names & _PLACES and not {"gpslatitude", "gpslongitude"} <= names:
        told.append("the position of GPS stays: remove-gps takes it")
    left = [one for one in ("MakerNote", "BodySerialNumber") if one.lower() not in names]
    if not names & {"jpeginterchangeformat", "jpegifoffset"}:
        left.append("the thumbnail (JPEGInterchangeFormat)")
    if left:
        told.append(f"left as they are, and may tell whose it is: {', '.join(left)}; name them, or see remove-exif")
    return told


FORMAT = Format(
    "jpg",
    "picture",
    ("*.jpg", "*.jpeg", "*.JPG", "*.JPEG"),
    lambda head: head.startswith(b"\xff\xd8\xff"),
    options={"remove-exif": "bool", "remove-gps": "bool"},
    defaults={"datetime-format": "%Y:%m:%d %H:%M:%S"},
    codec=Codec(_open, _again, most=_MOST, beside=_beside, risks=_risks, loose=_loose),
    wrong=_wrong,
    stays=_stays,
)
