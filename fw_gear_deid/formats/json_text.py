"""JSON (RFC 8259): values by their spans, so that numbers, order, blanks and escapes stay as they were written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fw_gear_deid.formats.row import Changes, Codec, Field, Format, Options, Splice
from fw_gear_deid.formats.spans import Text
from fw_gear_deid.model import limits
from fw_gear_deid.model.action import Gone
from fw_gear_deid.model.errors import Malformed, Unfit

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*+"')
_DIGITS = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?"
_NUMBER = re.compile(_DIGITS, re.ASCII)
_SCALAR = re.compile(rf"{_STRING.pattern}|true|false|null|NaN|-?Infinity|{_DIGITS}", re.ASCII)
_DEPTH, _TICK = 500, 4096
Step = str | int


@dataclass(slots=True)
class _Value:
    """A value, and where it and what belongs to it stand in the text."""

    group: _Value | None
    """The one that it is in."""
    step: Step
    """Its key or place there."""
    start: int
    end: int = 0
    member: int = 0
    """Where its key begins; of what stands in a list, where it begins itself."""
    kind: str = ""
    number: int = 0
    """Among all, itself first."""
    holds: int = 0
    """How many of those behind it are in it."""
    inside: list[_Value] = field(default_factory=list)


class _Scanner:
    """One pass over a text, without recursion: brackets may be many."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.values: list[_Value] = []

    def document(self) -> _Value:
        """Return the one value that a document is.

        Raises
        ------
        Malformed
        """
        limits.now().check("values", self._text.count(","))  # before anything is made of them
        root, at = self._value(None, "", self._skip(0))
        open_: list[_Value] = [root] if root.kind != "scalar" else []
        while open_:
            at = self._next(open_, at)
        if self._skip(at) != len(self._text):
            raise self._wrong(self._skip(at), "more than one value")
        return root

    def _next(self, open_: list[_Value], at: int) -> int:
        """Read on in the innermost group: its end, or one more value."""
        group, text = open_[-1], self._text
        at = self._skip(at)
        closing = "}" if group.kind == "object" else "]"
        if text[at : at + 1] == closing:
            group.end, group.holds = at + 1, len(self.values) - group.number - 1
            open_.pop()
            return at + 1
        if group.inside:
            if text[at : at + 1] != ",":
                raise self._wrong(at, f"no ',' and no '{closing}'")
            at = self._skip(at + 1)
        member, step = at, len(group.inside)
        key: Step = step
        if group.kind == "object":
            found = _STRING.match(text, at)
            if found is None:
                raise self._wrong(at, "no key")
            key, at = text_of(found.group()), self._skip(found.end())
            if text[at : at + 1] != ":":
                raise self._wrong(at, "no ':'")
            at = self._skip(at + 1)
        value, at = self._value(group, key, at)
        value.member = member
        group.inside.append(value)
        if value.kind != "scalar":
            if len(open_) >= _DEPTH:
                raise self._wrong(at, f"more than {_DEPTH} brackets in each other")
            open_.append(value)
        return at

    def _value(self, group: _Value | None, step: Step, at: int) -> tuple[_Value, int]:
        number = len(self.values)
        if not number % _TICK:
            limits.now().tick()
            limits.now().check("values", number)
        value = _Value(group, step, at, at, at, number=number)
        self.values.append(value)
        letter = self._text[at : at + 1]
        if letter in ("{", "["):
            value.kind = "object" if letter == "{" else "list"
            return value, at + 1
        found = _SCALAR.match(self._text, at)
        if found is None:
            raise self._wrong(at, "no value")
        value.kind, value.end = "scalar", found.end()
        return value, found.end()

    def _skip(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        assert found is not None  # noqa: S101 -- blanks may be none
        return found.end()

    def _wrong(self, at: int, what: str) -> Malformed:
        line = self._text.count("\n", 0, at) + 1
        return Malformed(f"it is no JSON: {what} in line {line}, column {at - self._text.rfind(chr(10), 0, at)}")


class Document:
    """A JSON file, open; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._file = read(data)
        scanner = _Scanner(self._file.text)
        self._root = scanner.document()
        self._values = scanner.values
        self._separator = str(options.get("separator") or ".")
        self._begins = {0: ("", "$")}
        """Number of a group → what the names of what is in it begin with, and its path."""
        self.fields: Sequence[Field] = [self._field(value) for value in self._values[1:]]
        self._named: dict[str, list[int]] = {}
        for number, one in enumerate(self.fields):
            self._named.setdefault(one.name, []).append(number)
        self.gone: dict[int, str] = {}

    def _field(self, value: _Value) -> Field:
        assert value.group is not None  # noqa: S101 -- the root alone is in none, and no field
        begins, above = self._begins[value.group.number]
        name = f"{begins}{value.step}"
        path = f"{above}[{value.step}]" if isinstance(value.step, int) else f"{above}.{value.step}"
        if value.kind == "scalar":
            written = self._file.text[value.start : value.end]
            return Field(name, path, (text_of(written),), bare=written[:1] != '"' and written != "null")
        self._begins[value.number] = (name + self._separator, path)
        return Field(name, path, (), holds=value.holds)

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a name points at; of a list at the top, in each of what is listed, too."""
        found = self._named.get(name, [])
        if found or self._root.kind != "list":
            return found
        below = (f"{number}{self._separator}{name}" for number in range(len(self._root.inside)))
        return [number for one in below for number in self._named.get(one, ())]

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes.

        Raises
        ------
        Unfit
        """
        gone = {number + 1 for number, texts in changes.texts.items() if isinstance(texts, Gone)}
        edits = list(self._edits(self._root, changes, gone))
        edits += self._made(changes, gone)
        return self._file.splices(sorted(edits))

    def _edits(self, group: _Value, changes: Changes, gone: set[int]) -> Iterator[tuple[int, int, str]]:
        """Yield the changes in a group: spans of what goes, with a comma each, and new values."""
        waiting = [group]
        while waiting:
            one = waiting.pop()
            yield from self._removals(one, gone)
            for value in one.inside:
                new = changes.texts.get(value.number - 1)
                if value.number in gone:
                    continue
                if new is not None and not isinstance(new, Gone):
                    yield value.start, value.end, self._written(value, new)
                elif value.kind != "scalar":
                    waiting.append(value)

    def _removals(self, group: _Value, gone: set[int]) -> Iterator[tuple[int, int, str]]:
        """Yield one span for each run of neighbours that go: up to the next that stays, or from the last that did."""
        inside = group.inside
        at = 0
        while at < len(inside):
            if inside[at].number not in gone:
                at += 1
                continue
            first = at
            while at < len(inside) and inside[at].number in gone:
                at += 1
            if at < len(inside):
                yield inside[first].member, inside[at].member, ""
            elif first:
                yield inside[first - 1].end, inside[-1].end, ""
            else:
                yield inside[0].member, inside[-1].end, ""

    def _written(self, value: _Value, texts: Sequence[str]) -> str:
        """Return new texts as JSON: as a number what was one and still is, and all else in quotes."""
        before = self._file.text[value.start : value.end]
        if len(texts) != 1:
            return json.dumps(list(texts), ensure_ascii=False)
        (text,) = texts
        if value.kind == "scalar" and text == text_of(before):
            return before
        if value.kind == "scalar" and _NUMBER.fullmatch(before) and _NUMBER.fullmatch(text):
            return text
        return json.dumps(text, ensure_ascii=before.isascii() and self._file.text.isascii())

    def _made(self, changes: Changes, gone: set[int]) -> Iterator[tuple[int, int, str]]:
        """Yield what is put behind the last member of a group for fields that were absent.

        Raises
        ------
        Unfit
            Something else than an object stands on the way.
        """
        trees: dict[int, tuple[_Value, dict[str, object]]] = {}
        for name, texts in changes.made.items():
            group, steps = self._root, name.split(self._separator)
            while len(steps) > 1:
                below = [one for one in group.inside if one.step == steps[0] and one.number not in gone]
                if not below:
                    break
                if len(below) > 1 or below[0].kind != "object":
                    raise Unfit(f"{name} cannot be made: what stands on the way to it is no one object")
                group, steps = below[0], steps[1:]
            if group.kind != "object" or group.number - 1 in changes.texts:
                raise Unfit(f"{name} cannot be made: what stands on the way to it is no object")
            tree = trees.setdefault(group.number, (group, {}))[1]
            for step in steps[:-1]:
                into = tree.setdefault(step, {})
                if not isinstance(into, dict):
                    raise Unfit(f"{name} cannot be made: another rule makes a value on the way to it")
                tree = into
            tree[steps[-1]] = texts[0] if len(texts) == 1 else list(texts)
        for group, tree in trees.values():
            yield self._appended(group, tree, gone)

    def _appended(self, group: _Value, tree: dict[str, object], gone: set[int]) -> tuple[int, int, str]:
        """Return new members, each in a line of its own where those are that stand there."""
        text = self._file.text
        stay = [one for one in group.inside if one.number not in gone]
        ascii_ = text.isascii()
        members = [
            f"{json.dumps(key, ensure_ascii=ascii_)}: {json.dumps(value, ensure_ascii=ascii_)}"
            for key, value in tree.items()
        ]
        if not group.inside:
            return group.end - 1, group.end - 1, ", ".join(members)
        before = text[group.start + 1 : group.inside[0].member]
        between = f",{before}" if "\n" in before else ", "
        if not stay:
            return group.inside[-1].end, group.inside[-1].end, between.join(members)
        return group.inside[-1].end, group.inside[-1].end, "".join(between + one for one in members)


def read(data: bytes) -> Text:
    """Return a JSON file as text: Unicode, in one of its encodings.

    Raises
    ------
    Malformed
    """
    return Text(data, json.detect_encoding(data).replace("utf-8-sig", "utf-8"))


def text_of(written: str) -> str:
    r"""Return a scalar as rules see it: strings without quotes and escapes, numbers as they are written.

    >>> text_of('"a\\u0062"'), text_of("1.00"), text_of("null"), text_of("true")
    ('ab', '1.00', '', 'True')
    """
    if written.startswith('"'):
        return str(json.loads(written)) if "\\" in written else written[1:-1]
    return {"null": "", "true": "True", "false": "False"}.get(written, written)


# -- read again ----------------------------------------------------------------------------------------


_GROUP = Field("", "", ())
"""Stands for a group until what is in it was read."""


class Again:
    """The fields of a JSON file as Python's own reader finds them; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._separator = str(options.get("separator") or ".")
        self.fields: list[Field] = []
        try:
            root = json.loads(
                read(data).text,
                object_pairs_hook=_Pairs,
                parse_float=_Written,
                parse_int=_Written,
                parse_constant=_Written,
            )
        except (ValueError, RecursionError):
            raise Malformed("it is no JSON to a second reader") from None
        self._is_list = isinstance(root, list)
        if isinstance(root, _Pairs | list):
            self._add(root, "")

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a name points at."""
        found = [number for number, one in enumerate(self.fields) if one.name == name]
        if found or not self._is_list:
            return found
        listed = re.compile(rf"\d+{re.escape(self._separator + name)}", re.ASCII)
        return [number for number, one in enumerate(self.fields) if listed.fullmatch(one.name)]

    def _add(self, group: _Pairs | list[object], begins: str) -> None:
        """Add what is in a group, whose names begin with a text."""
        for step, one in group.pairs if isinstance(group, _Pairs) else enumerate(group):
            if isinstance(one, _Pairs | list):
                number = len(self.fields)
                self.fields.append(_GROUP)
                self._add(one, f"{begins}{step}{self._separator}")
                self.fields[number] = Field(f"{begins}{step}", "", (), holds=len(self.fields) - number - 1)
            else:
                self.fields.append(Field(f"{begins}{step}", "", ("" if one is None else str(one),)))


class _Pairs:
    """An object: a key may stand twice."""

    __match_args__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, object]]) -> None:
        self.pairs = pairs


class _Written(str):
    """A number as it is written."""

    __slots__ = ()


FORMAT = Format(
    "json",
    "",
    ("*.json", "*.JSON"),
    options={"separator": "str"},
    defaults={"date-format": "%Y-%m-%d", "datetime-format": "%Y-%m-%d %H:%M:%S"},
    codec=Codec(Document, Again, most=256 << 20),
    regex=True,
)
