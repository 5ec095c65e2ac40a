"""A text header, open: values by their keys, changed where they stand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from fw_gear_deid.formats.keyvalue.kinds import META_IMAGE_END
from fw_gear_deid.formats.keyvalue.scan import Record, Scan
from fw_gear_deid.formats.row import Changes, Field, Options, Splice
from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.patterns import Pattern

_EDITOR = "@vis"  # comments in which ParaVision lists what its editor shows


class Document:
    """A text header, open; as ``formats.row.Document``. What follows the header is not looked at."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._scan = Scan(data, options)
        self._delimiter = Pattern(str(options.get("delimiter") or ""))
        self._records = self._scan.records
        self.fields: Sequence[Field] = [
            Field(one.name, f"{one.name} in line {one.line}" if one.comment else one.name, (one.text,))
            for one in self._records
        ]
        self._named: dict[str, list[int]] = {}
        for number, one in enumerate(self._records):
            self._named.setdefault(one.name, []).append(number)
        self.gone: dict[int, str] = {}

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a key points at."""
        return self._named.get(name.strip(), [])

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes.

        Raises
        ------
        Unfit
            A line cannot hold it, or a line behind it may be part of the value.
        """
        edits = []
        for number, texts in changes.texts.items():
            record = self._records[number]
            if record.name == META_IMAGE_END and self._scan.data:
                raise Unfit(f"{record.name} tells that the data behind it belong to it")
            if record.followed:
                raise Unfit(f"{record.name}: lines without a key stand behind it, and may be its value")
            if isinstance(texts, Gone):
                edits.append((record.start, record.end, ""))
            else:
                edits.append((record.inner, record.inner_end, _written(record, texts, self._scan.file.encode)))
        if changes.made:
            edits.append((self._scan.where, self._scan.where, self._made(changes)))
        return self._scan.file.splices(sorted(edits))

    def _made(self, changes: Changes) -> str:
        """Return new lines, written as those that are there.

        Raises
        ------
        Unfit
        """
        text = self._scan.file.text
        before = text[: self._scan.where]
        end = next((end for end in ("\r\n", "\n", "\r") if end in text), "\n")
        like = next((one for one in reversed(self._records) if not one.comment and one.end <= self._scan.where), None)
        if like is None:
            raise Unfit("no line shows how a key is written here, so none can be made")
        made = []
        for name, texts in changes.made.items():
            between = self._scan.between or like.between
            line = f"{name}{between}{_checked(texts, name)}"
            found = self._delimiter.search(line)
            if found is None or found.start() != len(name) or found.group() != between:
                raise Unfit(f"{name} is no key that can be made here")
            made.append(line + end)
        return ("" if before.endswith(("\r", "\n")) or not before else end) + "".join(made)


def _written(record: Record, texts: Texts, encode: Callable[[str], bytes]) -> str:
    """Return a new value as its line has it.

    Raises
    ------
    Unfit
    """
    text = _checked(texts, record.name)
    if record.room and record.string and len(encode(text)) >= record.room:
        raise Unfit(f"{record.name} has room for {record.room - 1} bytes")
    if record.string and set("<>") & set(text):
        raise Unfit(f"{record.name}: its value cannot hold '<' or '>'")
    return f"<{text}>" if record.string else text


def _checked(texts: Texts, name: str) -> str:
    """Return one text that fits into a line.

    Raises
    ------
    Unfit
    """
    if len(texts) != 1:
        raise Unfit(f"{name} holds one value")
    (text,) = texts
    if text != text.strip(" \t") or set("\r\n\0") & set(text):
        raise Unfit(f"{name}: a value has no blanks around it and no line end in it")
    return text


def beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    """Yield what stands in a header beside keys and values, in UTF-8: comments, and lines without a key."""
    scan = Scan(data, options)
    for record in scan.records:
        if record.comment:
            yield f"line {record.line}", record.text.encode()
    for line in scan.others:
        yield "a line without a key", line.encode()


def risks(data: bytes, options: Options) -> Sequence[str]:
    """Return what may tell whose a header is: comments, in which programs write users and paths."""
    comments = (one for one in Scan(data, options).records if one.comment)
    return ("comments",) if any(not one.text.startswith(_EDITOR) for one in comments) else ()
