"""Half of a pair → both halves, opened: what has its fields in one file and its volume in another goes together.

Each half is worked on by itself and reads the other one, so both are released or both are refused, in any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from fw_gear_deid.deid.context import Context
from fw_gear_deid.deid.incoming import Incoming
from fw_gear_deid.deid.passing import Passing
from fw_gear_deid.formats import FORMATS, TABLE, archive
from fw_gear_deid.formats.row import Pair
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.profile.compiled import FileMatch

_PAIRS = tuple(row.codec.pair for row in TABLE if row.codec is not None and row.codec.pair is not None)


@frozen
class Halves:
    """A pair.

    Attributes
    ----------
    other : str
        Base name of the other half; empty where there is none.
    is_header : bool
        The one at hand has the fields.
    header : Passing
    volume : Passing or None
    """

    other: str
    is_header: bool
    header: Passing
    volume: Passing | None

    def there(self) -> Passing:
        """Return the volume.

        Raises
        ------
        Unfit
            It is not there.
        """
        if self.volume is None:
            raise Unfit(_ALONE)
        return self.volume

    def check(self) -> Iterator[bytes]:
        """Yield nothing, when the volume is all there; what goes from the header is known without.

        Raises
        ------
        Unfit
        """
        for _ in self.there().rest():
            pass
        yield from ()


_ALONE = "it is half of a pair, and the other one (.hdr or .img of the same name) is not beside it"


def halves(source: Incoming, name: str, match: FileMatch, ctx: Context) -> Halves | None:
    """Open both halves of a pair; None where a file is none.

    Parameters
    ----------
    source : Incoming
    name : str
        Base name at the source.
    match : FileMatch
        What its section takes.

    Raises
    ------
    Unfit
        The other half of a volume is not there, or none.
    """
    codec = FORMATS[match.key].codec
    if codec is None or codec.pair is None or codec.reach is None:
        return None
    is_header = codec.pair.is_header(archive.look(source.data).head)
    if not is_header and not is_volume(source.data, name, match):
        return None
    there, other = (ctx.other and ctx.other(other_names(name))) or ("", None)
    if other is None and not is_header:
        raise Unfit(_ALONE)
    if other is not None and not (
        match.by_name(there) or (not is_header and match.by_content(other.data[: archive.HEAD]))
    ):
        raise Unfit("it is half of a pair, and the file-filter of the section leaves the other one out")
    header, volume = (source, other) if is_header or other is None else (other, source)
    begun = Passing(header, codec.reach, codec.most)
    if not codec.pair.is_header(begun.beginning):
        raise Unfit("it has the name of half of a pair, and the file beside it is no header of one")
    sizes = codec.pair.reach(begun.beginning)
    behind = Passing(volume, lambda _: sizes, codec.most) if volume is not None else None
    return Halves(there, is_header, begun, behind)


def is_volume(data: bytes, name: str, match: FileMatch) -> bool:
    """Tell whether a file that a section takes is the half of a pair without fields, by its name and first bytes."""
    row = FORMATS[match.key]
    pair = row.codec.pair if row.codec is not None else None
    return pair is not None and name.lower().endswith(pair.volumes) and not row.sniff(archive.look(data).head)


def other_names(name: str) -> tuple[str, ...]:
    """Return the base names that the other half of a pair may have, the likeliest first; none where it is no pair's.

    >>> other_names("T1.img.gz"), other_names("T1.nii")
    (('T1.hdr.gz', 'T1.hdr'), ())
    """
    for pair in _PAIRS:
        stem, suffix = _split(pair, name)
        if suffix:
            others = pair.volumes if suffix.lower() in pair.headers else pair.headers
            packed = suffix.lower().endswith(".gz")
            return tuple(stem + one for one in sorted(others, key=lambda one: one.endswith(".gz") != packed))
    return ()


def _split(pair: Pair, name: str) -> tuple[str, str]:
    suffixes = sorted((*pair.headers, *pair.volumes), key=len, reverse=True)
    size = next((len(one) for one in suffixes if name.lower().endswith(one)), 0)
    return name[: len(name) - size], name[len(name) - size :]


def lying(files: Mapping[str, Path], names: tuple[str, ...]) -> tuple[str, Incoming] | None:
    """Open the other half where it lies as a file."""
    found = {name.lower(): (name, path) for name, path in files.items()}
    name, path = next((found[one.lower()] for one in names if one.lower() in found), ("", None))
    return (name, Incoming(archive.pieces(path), path.stat().st_size)) if path is not None else None


def among(opened: archive.Archive | None, folder: PurePosixPath, names: tuple[str, ...]) -> tuple[str, Incoming] | None:
    """Open the other half where it lies in the same archive."""
    wanted = {str(folder / name).lower() for name in names}
    for member in opened.members() if opened is not None else ():
        if str(PurePosixPath(member.name)).lower() in wanted:
            return PurePosixPath(member.name).name, Incoming(member.pieces(), member.size)
    return None
