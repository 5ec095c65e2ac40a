"""What gives the files of one result back → an entry's ``deidentified_tags``, and out of it again (docs/log.md).

The object is DICOM JSON: what was changed in the first file, as the logging service's contract has it. In a private
block of it stand, packed, all files one after the other: what differs from the first one, and the bytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fw_gear_deid.deid.undo import Back, Lost, Undo, Was
from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model.action import Texts
from fw_gear_deid.model.errors import Malformed
from fw_gear_deid.model.frozen import frozen

CREATOR = "FW_GEAR_DEID_LOG"
_GROUP = 0x0099
_PACKED, _TEXTS, _PLACE, _TEXT = 1, 2, 3, 4
"""Elements of the block: all files; of other formats than DICOM what was changed in the first one, place and text."""

Json = Mapping[str, Any]


@dataclass(slots=True)
class Originals:
    """Takes what gives files back, one after the other; of each little stays in memory but its packed line.

    Attributes
    ----------
    archive : bool
        The files are members of the result; else it is one file.
    indexed : mapping of str to str
        Of the first file that has any.
    uids, patients : dict
        Pairs of old and new.
    """

    nested: bool = False
    indexed: Mapping[str, str] = field(default_factory=dict)
    uids: dict[tuple[str, str], None] = field(default_factory=dict)
    patients: dict[tuple[str, str], None] = field(default_factory=dict)
    _first: Undo | None = None
    _places: dict[Back, int] = field(default_factory=dict)
    """Changes of the first file → their number."""
    _packer: Any = field(default_factory=flate.packer)
    _packed: list[bytes] = field(default_factory=list)
    _ended: bytes | None = None

    def add(self, name: str, source: str, undo: Undo) -> None:
        """Take a file.

        Parameters
        ----------
        name : str
            Of it in the result; empty where it is the result.
        source : str
            What it was called.
        """
        line: dict[str, Any] = {"name": name, "source": source, "form": undo.form}
        first = self._first
        if first is None:
            self._first = undo
            self._places = {one: number for number, one in reversed(list(enumerate(undo.back)))}
            line["back"] = [_as_json(one) for one in undo.back]
            if self.nested:
                line |= {"tags": undo.tags, "texts": undo.texts}
        else:
            line["back"] = self._shortened(undo.back)
            line["tags"] = {key: one for key, one in undo.tags.items() if first.tags.get(key) != one}
            line["without"] = [key for key in first.tags if key not in undo.tags]
            line["texts"] = undo.texts
        if first is None or undo.inserted != first.inserted:
            line["inserted"] = undo.inserted
        line["missing"] = undo.missing
        if undo.inside is not None:
            line["inside"] = base64.b64encode(undo.inside.packed).decode()
            self.uids |= undo.inside.uids
            self.patients |= undo.inside.patients
        self.indexed = self.indexed or undo.indexed or (undo.inside.indexed if undo.inside is not None else {})
        self.uids |= dict.fromkeys(undo.uids)
        self.patients |= dict.fromkeys(undo.patients)
        self._write(line)

    def drop(self, source: str, size: int, word: str) -> None:
        """Take a member that was left out: nothing of it is kept but that it was there."""
        self._write({"dropped": source, "size": size, "word": word})

    def _shortened(self, back: Sequence[Back]) -> list[Any]:
        """Return changes, those of the first file by its numbers: ``[number, how many]``."""
        short: list[Any] = []
        runs = -1  # number that would go on what was written last
        for one in back:
            number = self._places.get(one, -1)
            if number < 0:
                short.append(_as_json(one))
                runs = -1
            elif number == runs:
                short[-1][1] += 1
                runs += 1
            else:
                short.append([number, 1])
                runs = number + 1
        return short

    def _write(self, line: Json) -> None:
        text = json.dumps(line, separators=(",", ":"), ensure_ascii=True) + "\n"
        if piece := self._packer.compress(text.encode("ascii")):
            self._packed.append(piece)

    def ended(self) -> Inside:
        """Return what stands for an archive in an archive; nothing can be taken afterwards."""
        return Inside(self._end(), dict(self.indexed), dict(self.uids), dict(self.patients))

    def _end(self) -> bytes:
        if self._ended is None:
            self._ended = b"".join((*self._packed, self._packer.flush()))
            self._packed = []
        return self._ended

    def tags(self) -> str:
        """Return the JSON text of ``deidentified_tags``; nothing can be taken afterwards."""
        first = self._first or Undo()
        found = dict(first.tags)
        taken = {key[6:] if key[4:6] == "00" else key[4:6] for key in found if key.startswith(f"{_GROUP:04X}")}
        block = next(number for number in range(0x10, 0x100) if f"{number:02X}" not in taken)
        own = f"{_GROUP:04X}{block:02X}"
        found[f"{_GROUP:04X}{block:04X}"] = {"vr": "LO", "Value": [CREATOR]}
        packed = base64.b64encode(self._end()).decode()
        found[f"{own}{_PACKED:02X}"] = {"vr": "OB", "InlineBinary": packed}
        if first.texts:
            items = [
                {
                    f"{own}{_PLACE:02X}": {"vr": "UT", "Value": [clean(place)]},
                    f"{own}{_TEXT:02X}": {"vr": "UC", "Value": [clean(text) for text in texts]},
                }
                for place, texts in first.texts
            ]
            found[f"{own}{_TEXTS:02X}"] = {"vr": "SQ", "Value": items}
        text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
        return text.encode("utf-8", "backslashreplace").decode()

    def told(self) -> dict[str, Any]:
        """Return what an entry of the log is made of; ``read`` makes it a ``Told``."""
        return {
            "indexed": {key: clean(text) for key, text in self.indexed.items()},
            "tags": self.tags(),
            "uids": list(self.uids),
            "patients": list(self.patients),
        }


@frozen
class Inside:
    """What gives the members of an archive in an archive back; it can be handed on."""

    packed: bytes
    indexed: Mapping[str, str]
    uids: Mapping[tuple[str, str], None]
    patients: Mapping[tuple[str, str], None]


def clean(text: str) -> str:
    """Return text as data bases take it in JSON: no zeros, no halves of letters."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _as_json(one: Back) -> list[Any]:
    gap, length, was = one
    pieces = [
        {"size": piece.size, "sha256": piece.sha256} if isinstance(piece, Lost) else base64.b64encode(piece).decode()
        for piece in was
    ]
    return [gap, length, pieces[0] if len(pieces) == 1 else pieces]


# -- and out of it again -------------------------------------------------------------------------------


@frozen
class File:
    """One file of an entry.

    Attributes
    ----------
    name : str
        In the result; empty where it is the result.
    source : str
        What it was called.
    form : str
    back : tuple of Back
    tags : mapping
    texts : tuple of (str, texts)
    inserted, missing : tuple of str
        As in ``Undo``.
    inside : tuple of File
        Of an archive.
    dropped : str
        What it was, where it is a member that was left out; then nothing else is known of it.
    """

    name: str
    source: str
    form: str = "bytes"
    back: tuple[Back, ...] = ()
    tags: Json = field(default_factory=dict)
    texts: tuple[tuple[str, Texts], ...] = ()
    inserted: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    inside: tuple[File, ...] = ()
    dropped: str = ""


def files(tags: Json) -> Iterator[File]:
    """Yield the files of an entry.

    Parameters
    ----------
    tags : mapping
        ``deidentified_tags``.

    Raises
    ------
    Malformed
        This program did not write it.
    """
    mark = next((key for key, one in tags.items() if key.startswith("009900") and _value(one) == CREATOR), "")
    own = mark[:4] + mark[6:]
    try:
        packed = base64.b64decode(tags[f"{own}{_PACKED:02X}"]["InlineBinary"])
        texts = tuple(
            (str(_value(item[f"{own}{_PLACE:02X}"])), tuple(item[f"{own}{_TEXT:02X}"]["Value"]))
            for item in tags.get(f"{own}{_TEXTS:02X}", {}).get("Value", ())
        )
        first = {key: one for key, one in tags.items() if key != mark and not key.startswith(own)}
        yield from _files(packed, first, texts)
    except (KeyError, ValueError, TypeError, IndexError, zlib.error):
        raise Malformed("the entry of the log has nothing that this program could give a file back by") from None


def _value(one: Json) -> object:
    return next(iter(one.get("Value", ())), "")


def _files(packed: bytes, tags: Json, texts: tuple[tuple[str, Texts], ...]) -> Iterator[File]:
    first: File | None = None
    for text in zlib.decompress(packed).decode("ascii").splitlines():
        line = json.loads(text)
        if "dropped" in line:
            yield File("", line["dropped"], dropped=f"{line['word']}, {line['size']} bytes")
            continue
        inside = tuple(_files(base64.b64decode(line["inside"]), {}, ())) if "inside" in line else ()
        known = first or File("", "", tags=tags, texts=texts)
        gone = set(line.get("without", ()))
        found = File(
            line["name"],
            line["source"],
            line["form"],
            tuple(_back(line["back"], known.back)),
            {key: one for key, one in known.tags.items() if key not in gone} | line.get("tags", {}),
            tuple((place, tuple(was)) for place, was in line["texts"]) if "texts" in line else texts,
            tuple(line.get("inserted", known.inserted)),
            tuple(line["missing"]),
            inside,
        )
        first = first or found
        yield found


def _back(lines: Sequence[Any], first: Sequence[Back]) -> Iterator[Back]:
    for one in lines:
        if len(one) == 2:
            yield from first[one[0] : one[0] + one[1]]
        else:
            gap, length, was = one
            yield gap, length, _was(was)


def _was(was: Any) -> Was:
    pieces = was if isinstance(was, list) else [was]
    return tuple(
        Lost(piece["size"], piece["sha256"]) if isinstance(piece, dict) else base64.b64decode(piece) for piece in pieces
    )
