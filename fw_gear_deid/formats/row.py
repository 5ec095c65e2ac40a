"""A row of the table of formats: what its section is called, how its files are known, and who reads and writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from fw_gear_deid.model.action import Gone, Texts
from fw_gear_deid.model.frozen import frozen

Options = Mapping[str, str | bool | float]
"""Options of a section that only this format has, as far as the profile sets them."""
Splice = tuple[int, int, bytes]
"""From where to where bytes go, and what comes there."""
NO_VALUE = frozenset({"n/a", "N/A"})
"""What a cell of a table says where there is no value (BIDS): it tells nobody, so it is not digested."""
NO_NUMBER = NO_VALUE | {"NA", "<NA>", "#N/A", "NaN", "nan", "NaT", "NULL", "null", "None"}
"""What programs write for a date or number that is not known; among names these may be names."""


@frozen
class Field:
    """One value of a file, or several under one name.

    Attributes
    ----------
    name : str
        What ``regex`` of the profile is matched with.
    path : str
        Where it stands, as the audit tells it: ``$.a.b[0]``, ``column dob``, ``EXIF Artist``.
    texts : tuple of str
        None of a group.
    holds : int
        How many of the fields behind it are in it, at any depth, and go with it. -1: none, and it is no group.
    cells : bool
        It is a column of a table, its texts those of the rows: what a rule does, it does to each. All fields of a
        table are columns, of as many rows.
    stay : int
        How many of those, the first ones, stay when it gets another value: attributes of an element.
    is_value : bool
        What it holds does not make it a group: actions work on its text.
    bare : bool
        It is a number or a word of the format, and would come back as text in quotes.
    """

    name: str
    path: str
    texts: Texts
    holds: int = -1
    cells: bool = False
    stay: int = 0
    is_value: bool = False
    bare: bool = False

    @property
    def is_group(self) -> bool:
        """Whether it has fields in it, or room for them, and can only go or become a value."""
        return self.holds >= 0 and not self.is_value

    def inside(self, number: int, *, gone: bool) -> range:
        """Return which fields go with it, the field of a number: all in it, or those that make room for a value."""
        return range(number + 1 + (0 if gone else self.stay), number + 1 + max(self.holds, 0))


class Listing(Protocol):
    """The fields of a file, in the order in which they stand there."""

    @property
    def fields(self) -> Sequence[Field]:
        """Return all of them."""
        ...

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields a ``name`` of the profile points at."""
        ...


@frozen
class Changes:
    """What is to be done to a file.

    Attributes
    ----------
    texts : mapping of int to texts or REMOVE
        Field → its new texts, or that it goes.
    made : mapping of str to texts
        ``name`` of a field that was absent → its texts; of a column one for each row.
    lost : collection of int
        Of a table: rows that go.
    """

    texts: Mapping[int, Texts | Gone]
    made: Mapping[str, Texts]
    lost: Collection[int] = ()

    def left(self, texts: Texts) -> Texts:
        """Return the texts of a column without the rows that go."""
        return tuple(text for row, text in enumerate(texts) if row not in self.lost) if self.lost else texts


class Document(Listing, Protocol):
    """A file of a format, open."""

    @property
    def gone(self) -> Mapping[int, str]:
        """Return the fields that go whatever the rules say, each with the option or the habit that wants it."""
        ...

    def splices(self, changes: Changes) -> Iterable[Splice]:
        """Return what is to be done to the bytes, in their order; all others stay as they are.

        Raises
        ------
        Unfit
            The format cannot hold it.
        """
        ...


def _nothing(data: bytes, options: Options) -> tuple[()]:
    return ()


def _none(document: Document) -> Mapping[int, Sequence[bytes]]:
    return {}


ALL = -1
"""Of a ``reach``: as many as there are."""


@frozen
class Pair:
    """How a format has a file's fields in one file and what they are about in another, both of one stem.

    Attributes
    ----------
    headers, volumes : tuple of str
        Suffixes of the names of the halves, in lower case.
    is_header : callable
        First bytes of a file → whether it is the half with the fields.
    reach : callable
        First bytes of that half → how many bytes stand in front of what passes through in the other, and of that. The
        former are blanked.
    """

    headers: tuple[str, ...]
    volumes: tuple[str, ...]
    is_header: Callable[[bytes], bool]
    reach: Callable[[bytes], tuple[int, int]]


@frozen
class Codec:
    """Who opens the files of a format. Knows fields and bytes, and no rule.

    Attributes
    ----------
    open : callable
        Bytes of a file, options → Document, or Unfit.
    again : callable
        The same → Listing with the same fields in the same order, by a reader that shares nothing with ``open``: the
        check of a result goes by it.
    most : int
        Bytes of the largest file that is read.
    beside : callable
        Bytes, options → what stands in a file beside its fields and may say anything, each with the word for its place:
        comments, packages, chunks, unpacked. Never pixels. A value that a rule took away may not be in it.
    risks : callable
        Bytes, options → words for what is in a result and may tell whose it is though no rule names it, such as
        ``GPS position``; each once.
    loose : callable
        A document → fields that say something nobody needs to read the rest, such as comments and packages, with what
        they say: one that tells a value that a rule took away goes, too.
    reach : callable, optional
        First bytes of a file, ``HEAD`` of them where there are as many → how many of its beginning ``open`` takes, and
        how many follow that pass through as they are and are never in memory at once; what follows these is dropped.
        A file packed by gzip is one of the format, and comes out packed. None: it is read whole.
    empty : callable, optional
        Of a format whose fields stand for good, so that none is made and those that go are emptied: texts of a field →
        whether it is.
    pair : Pair, optional
    """

    open: Callable[[bytes, Options], Document]
    again: Callable[[bytes, Options], Listing]
    most: int = 1 << 30
    beside: Callable[[bytes, Options], Iterable[tuple[str, bytes]]] = _nothing
    risks: Callable[[bytes, Options], Sequence[str]] = _nothing
    loose: Callable[[Document], Mapping[int, Sequence[bytes]]] = _none
    reach: Callable[[bytes], tuple[int, int]] | None = None
    empty: Callable[[Texts], bool] | None = None
    pair: Pair | None = None


def _no(head: bytes) -> bool:
    return False


def _right(name: str) -> str:
    return ""


def _never(name: str) -> bool:
    return False


def _well(options: Options) -> Mapping[str, str]:
    return {}


def _quiet(options: Options, gone: Collection[str]) -> tuple[()]:
    return ()


@frozen
class Format:
    """A row of the table.

    Attributes
    ----------
    key : str
        Name of the section of the profile that rules it.
    word : str
        What it is called where it is left out; empty where its content has no word of its own.
    patterns : tuple of str
        Shell patterns of names, where the section has no ``file-filter``.
    sniff : callable
        First bytes of a file → whether it is one. Content decides; where it says nothing, the name does.
    denies : callable
        First bytes of a file → that it is none, whatever its name.
    options : mapping of str to str
        Option that only this section has → its type, as in ``profile/language/schema.py``.
    ours : frozenset of str
        Those of them that other engines do not know.
    defaults : mapping of str to str
        Options of actions whose default differs from that for DICOM, such as ``date-format``.
    codec : Codec, optional
        None where the section has a shape, and its files a way through, of their own: ``dicom``, ``zip``, ``filename``.
    regex : bool
        Its fields may be named by ``regex``, too.
    wrong : callable
        A ``name`` of the profile → what is wrong with it, as an error of the profile says it; empty when it may stand.
    fixed : callable
        A ``name`` of the profile → whether the field can only be kept: without it nobody can read the file.
    amiss : callable
        Options that the section sets → those with a value that they cannot have, or that are missing, each with what
        is wrong, as an error of the profile says it.
    actions : frozenset of str
        Keys of the actions that it can carry out; empty: all.
    stays : callable
        Options and names that rules take away → what ``profile check`` warns of: what stays and may tell whose it is.
    makes : bool
        ``replace-with`` makes a field that is absent, unless an entry says otherwise.
    free_dates : bool
        Dates may be spelt in other ways than the format says; they are written as it says.
    """

    key: str
    word: str = ""
    patterns: tuple[str, ...] = ()
    sniff: Callable[[bytes], bool] = _no
    denies: Callable[[bytes], bool] = _no
    options: Mapping[str, str] = field(default_factory=dict)
    ours: frozenset[str] = frozenset()
    defaults: Mapping[str, str] = field(default_factory=dict)
    codec: Codec | None = None
    regex: bool = False
    wrong: Callable[[str], str] = _right
    fixed: Callable[[str], bool] = _never
    amiss: Callable[[Options], Mapping[str, str]] = _well
    actions: frozenset[str] = frozenset()
    stays: Callable[[Options, Collection[str]], Sequence[str]] = _quiet
    makes: bool = True
    free_dates: bool = False
