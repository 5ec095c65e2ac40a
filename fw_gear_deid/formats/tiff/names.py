"""Names of tags ⇄ their numbers: Pillow's dictionary of TIFF and ours of EXIF, in any case, and numbers themselves."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from fw_gear_deid.formats.exif import tags
from fw_gear_deid.model.frozen import frozen

Tag = tuple[str, int]
"""Whose numbers they are (``""`` of pages, sub-images and EXIF, ``GPS``, ``Interop``), and the number."""
MAIN, GPS, INTEROP = "", "GPS", "Interop"
SUB_IFDS, EXIF_IFD, GPS_IFD, INTEROP_IFD = tags.SUB, tags.EXIF, tags.GPS, tags.INTEROP
FIXED = frozenset(
    {
        254, 255, 256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332,
        336, 338, 339, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 532, 32995, 32996, 32997, 32998,
        50674,
    }
)  # fmt: skip
"""Tags that say where pixels are and how to decode them."""
_ASCII = 2
_GDAL_TEXT = 42112


@frozen
class _Table:
    tags: Mapping[str, frozenset[Tag]]
    """Name in small letters → all it may mean."""
    names: Mapping[Tag, str]
    kinds: Mapping[int, int]


@lru_cache(maxsize=1)
def _table() -> _Table:
    from PIL import ExifTags, TiffTags

    pairs: list[tuple[Tag, str]] = [((MAIN, tag), info.name) for tag, info in TiffTags.TAGS_V2.items()]
    pairs += [((MAIN, tag), str(name)) for tag, name in TiffTags.TAGS.items() if isinstance(tag, int)]
    pairs += [((tags.space(tag.home), tag.number), name) for tag, called in tags.table() for name in called]
    pairs += [((MAIN, one.value), one.name) for one in ExifTags.Base]
    names: dict[Tag, str] = {}
    meant: dict[str, set[Tag]] = {}
    for tag, name in pairs:
        names.setdefault(tag, name)
        meant.setdefault(name.lower(), set()).add(tag)
    kinds = {tag.number: tag.type for tag, _ in tags.table() if not tags.space(tag.home)} | {_GDAL_TEXT: _ASCII}
    kinds |= {tag: info.type for tag, info in TiffTags.TAGS_V2.items() if info.type}
    return _Table({name: frozenset(found) for name, found in meant.items()}, names, kinds)


@lru_cache(maxsize=4096)
def tags_of(name: str) -> frozenset[Tag]:
    """Return what a ``name`` of the profile means; nothing where it is no tag.

    >>> sorted(tags_of("artist")), sorted(tags_of("GPSLatitude")), sorted(tags_of("65427")), tags_of("Artits")
    ([('', 315)], [('GPS', 2)], [('', 65427)], frozenset())
    """
    number = _number(name)
    return _table().tags.get(name.lower(), frozenset()) if number is None else frozenset({(MAIN, number)})


@lru_cache(maxsize=65536)
def name_of(group: str, tag: int) -> str:
    """Return the name of a tag; of one without, its number."""
    return _table().names.get((group, tag), str(tag))


def kind_of(tag: int) -> int:
    """Return the type of a tag's values, 0 where the dictionaries have none."""
    return _table().kinds.get(tag, 0)


def is_fixed(name: str) -> bool:
    """Tell whether a name points at what is needed to decode a picture."""
    return any(group == MAIN and tag in FIXED for group, tag in tags_of(name))


def wrong(name: str) -> str:
    """Say what is wrong with a ``name`` of the profile; empty when it is a tag."""
    if tags_of(name):
        return ""
    import difflib  # nobody makes a mistake in most runs

    near = difflib.get_close_matches(name.lower(), _table().tags, n=1)
    hint = f"; did you mean {_spelt(near[0])!r}?" if near else ""
    return f"no tag of TIFF, EXIF or GPS{hint or '; a tag without a name goes by its number'}"


def _spelt(lower: str) -> str:
    return next((name for name in _table().names.values() if name.lower() == lower), lower)


def _number(name: str) -> int | None:
    hexadecimal = name[:2].lower() == "0x"
    digits = name[2:] if hexadecimal else name
    if not digits.isascii() or not digits.isalnum() or len(digits) > 5:
        return None
    try:
        number = int(digits, 16 if hexadecimal else 10)
    except ValueError:
        return None
    return number if number < 1 << 16 else None
