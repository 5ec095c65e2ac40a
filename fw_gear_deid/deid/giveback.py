"""Released file and its entry of the log → the file as it was; what only the digest is known of is named."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from fw_gear_deid.deid.originals import File, files
from fw_gear_deid.deid.undo import Back, Lost
from fw_gear_deid.formats.archive import open_archive, packing_of
from fw_gear_deid.formats.archive.zips import Target, write_member
from fw_gear_deid.formats.dicom import deflated, part10
from fw_gear_deid.formats.dicom.fields import watch
from fw_gear_deid.model.errors import Malformed

_LEVEL = 6


def name_of(tags: Mapping[str, Any]) -> str:
    """Return what a released file was called; empty for an archive, whose name is no member's.

    Raises
    ------
    Malformed
    """
    listed = list(files(tags))
    return listed[0].source if len(listed) == 1 and not listed[0].name and not listed[0].dropped else ""


def give_back(released: Path, tags: Mapping[str, Any], out: Path | io.BytesIO) -> tuple[str, ...]:
    """Write a file as it was.

    Parameters
    ----------
    released : Path
        The very bytes that were released.
    tags : mapping
        ``deidentified_tags`` of its entry.
    out : Path or stream
        Holds nothing useful when an error comes.

    Returns
    -------
    tuple of str
        What is not given back: member and place, and why.

    Raises
    ------
    Malformed
        The entry is not of this file, or this program did not write it.
    """
    listed = tuple(files(tags))
    if len(listed) == 1 and not listed[0].name and not listed[0].dropped:
        data = _whole(listed[0], released.read_bytes())
        if isinstance(out, Path):
            out.write_bytes(data)
        else:
            out.write(data)
        return listed[0].missing
    return tuple(_archive(released, listed, out))


def _archive(released: Path | bytes, listed: Sequence[File], out: Path | io.BytesIO) -> Iterator[str]:
    """Write the members of an archive under the names that they had."""
    known = {one.name: one for one in listed if not one.dropped}
    with open_archive(released) as archive, Target(out) as target:
        for member in archive.members():
            one = known.pop(member.name, None)
            if one is None:
                raise Malformed("it holds a member that the entry does not know")
            data = _whole(one, member.read())
            name = one.source.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            write_member(target, name, iter((data,)), member.compression)
            if name != one.source:
                yield f"{name}: the letters of its name, of an unknown system"
            yield from (f"{name}: {text}" for text in one.missing)
    if known:
        raise Malformed("members that the entry knows are not in it")
    yield from (f"{one.source}: a member that was left out ({one.dropped})" for one in listed if one.dropped)
    yield "what an archive has besides its members: comments, extra fields, times, packing"


def _whole(one: File, data: bytes) -> bytes:
    if one.form == "archive":
        out = io.BytesIO()
        for _ in _archive(data, one.inside, out):
            pass
        return out.getvalue()
    if one.form == "gzip":
        plain = gzip.decompress(data) if packing_of(data) == "gzip" else data
        return gzip.compress(joined(plain, one.back), _LEVEL, mtime=0)
    if one.form.startswith("deflated"):
        size = int(one.form.partition(" ")[2])
        parts = part10.read(data, part10.watch_meta(), lambda encoding: watch(encoding, frozenset()))
        plain = joined(data[: parts.meta.end] + parts.body_src, one.back)
        return plain[:size] + b"".join(deflated.deflate([plain[size:]]))
    return joined(data, one.back)


def joined(data: bytes, back: Sequence[Back]) -> bytes:
    """Return bytes with what stood there before; zeros where only the digest is known.

    Raises
    ------
    Malformed
        They are too short for it.
    """
    out, at = io.BytesIO(), 0
    for gap, length, was in back:
        if at + gap + length > len(data):
            raise Malformed("it is shorter than the file that was released")
        out.write(memoryview(data)[at : at + gap])
        for piece in was:
            out.write(bytes(piece.size) if isinstance(piece, Lost) else piece)
        at += gap + length
    out.write(memoryview(data)[at:])
    return out.getvalue()
