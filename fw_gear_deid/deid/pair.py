"""Half of a pair → both halves, opened: what has its fields in one file and its volume in another goes together.

Each half is worked on by itself and reads the other one, so both are released or both are refused, in any order.
"""

from __future__ import annotations

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
    stem, suffix : str
        Of the name of the half at hand.
    other : str
        Base name of the other one.
    is_header : bool
        It is the one with the fields.
    header, volume : Passing
    """

    stem: str
    suffix: str
    other: str
    is_header: bool
    header: Passing
    volume: Passing


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
        The other half is not there, or none.
    """
    row = FORMATS[match.key]
    codec = row.codec
    if codec is None or codec.pair is None or codec.reach is None:
        return None
    head = archive.look(source.data).head if source.data else b""
    is_header = codec.pair.is_header(head)
    stem, suffix = _split(codec.pair, name)
    if not is_header and (suffix.lower() not in codec.pair.volumes or row.sniff(head)):
        return None
    found = ctx.other(other_names(name)) if ctx.other is not None else None
    if found is None:
        raise Unfit("it is half of a pair, and the other one (.hdr or .img of the same name) is not beside it")
    there, other = found
    if not (match.by_name(there) or (not is_header and match.by_content(other.data[: archive.HEAD]))):
        raise Unfit("it is half of a pair, and the file-filter of the section leaves the other one out")
    header, volume = (source, other) if is_header else (other, source)
    begun = Passing(header, codec.reach, codec.most)
    if not codec.pair.is_header(begun.beginning):
        raise Unfit("it has the name of half of a pair, and the file beside it is no header of one")
    sizes = codec.pair.reach(begun.beginning)
    return Halves(stem, suffix, there, is_header, begun, Passing(volume, lambda _: sizes, codec.most))


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


def lying(name: str, path: Path) -> tuple[str, Incoming]:
    """Open the other half where it lies as a file."""
    return name, Incoming(archive.pieces(path), path.stat().st_size)


def among(opened: archive.Archive | None, folder: PurePosixPath, names: tuple[str, ...]) -> tuple[str, Incoming] | None:
    """Open the other half where it lies in the same archive."""
    wanted = {str(folder / name).lower() for name in names}
    for member in opened.members() if opened is not None else ():
        if str(PurePosixPath(member.name)).lower() in wanted:
            return PurePosixPath(member.name).name, Incoming(member.pieces(), member.size)
    return None
