"""What the language, its checks, the containers and verification know of an action: one ``Spec`` beside its class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from fw_gear_deid.model.action import ENDS, NOTHING, Action, Texts
from fw_gear_deid.model.patterns import Pattern

KEYED = "keyed"
"""The word instead of ``true`` by which an action goes by the key."""
RECORD = "text"
"""The kind of values that have no VR: those of a JSON record."""
Template = tuple[Pattern, str, tuple[tuple[str, Action], ...]]
"""``{input-regex, output, groups}``: what is matched, what is written, what is done with captures and other fields."""


class Value(Protocol):
    """A value as it stands in a profile."""

    @property
    def text(self) -> str:
        """As written; empty for a list or mapping."""
        ...

    @property
    def kind(self) -> str:
        """``str``, ``int``, ``float``, ``bool``, ``null``, ``date``, ``list`` or ``mapping``."""
        ...

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables in it."""
        ...

    @property
    def unknown(self) -> bool:
        """Whether one of them has no value: the text only stands for one."""
        ...

    @property
    def line(self) -> int:
        """From 1."""
        ...

    @property
    def column(self) -> int:
        """From 1."""
        ...


class Given(Protocol):
    """An entry of a profile, as an action is built from it: its typed options, and where to complain.

    An option is looked for where its ``Option`` allows it: in the entry, then in the section; then its default counts.
    Values of the wrong kind have been complained about, and count as absent.
    """

    @property
    def name(self) -> str:
        """The field as written."""
        ...

    @property
    def vr(self) -> str | None:
        """VR of the field, as far as the dictionaries know; None outside of DICOM."""
        ...

    @property
    def keyed(self) -> bool:
        """Whether the action's value is the word ``keyed``."""
        ...

    @property
    def multiple(self) -> bool:
        """Whether a backslash separates several values."""
        ...

    @property
    def elements(self) -> bool:
        """Whether the fields of the section are elements of DICOM."""
        ...

    def text(self, option: str) -> str:
        """Return a text option; empty when it is not there and has no default."""
        ...

    def number(self, option: str) -> float | None:
        """Return a number option."""
        ...

    def flag(self, option: str) -> bool:
        """Return a boolean option."""
        ...

    def written(self, option: str) -> str | None:
        """Return the text of an option of the entry itself, whatever its kind."""
        ...

    def is_unknown(self, option: str) -> bool:
        """Tell whether an option holds a variable without a value."""
        ...

    def values(self) -> Iterator[Value]:
        """Yield the values behind the action's key: one, or those of a list."""
        ...

    def templates(self) -> tuple[Template, ...] | None:
        """Return the list of templates behind the action's key, or complain and return None."""
        ...

    def complain(self, message: str, at: str | Value = "") -> None:
        """Note an error at an option, at a value, or at the entry."""
        ...


def _nothing_wrong(text: str) -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Option:
    """An option that an action works with.

    Attributes
    ----------
    kind : str
        ``bool``, ``int``, ``number``, ``str``, ``list`` or ``any``; "x|y" either.
    default : bool, float or str, optional
    entry, section : bool
        Where it can stand.
    stand_in : str, optional
        What stands for a text that is not known yet, where not every text will do.
    problem : callable
        Text → why it is no value of the option; checked where it stands in a section.
    ours : bool
        Other engines do not know it, and pass it over.
    """

    kind: str
    default: bool | float | str | None = None
    entry: bool = True
    section: bool = False
    stand_in: str | None = None
    problem: Callable[[str], str] = _nothing_wrong
    ours: bool = False


def _fits(action: Action, vr: str) -> str:
    return ""


def _never(action: Action) -> bool:
    return False


def _nothing_more(action: Action) -> str:
    return ""


def _no_texts(action: Action) -> Texts:
    return ()


def _silent(action: Action, kind: str | None, settled: bool) -> str:
    return ""


def _as_it_is(given: Given, action: Action, vr: str) -> Action | str:
    return action


@dataclass(frozen=True, slots=True)
class Spec:
    """One action of the profile language.

    Attributes
    ----------
    key : str
        As users write it.
    does : str
        One line for the documentation.
    build : callable, optional
        Entry → action, or None after a complaint. Without it the language knows the key, and this version refuses it.
    old : tuple of str
        Other names of the key.
    options : mapping of str to Option
    alone : bool
        Takes ``true`` and nothing else.
    keyed : bool
        Takes the word ``keyed``, too.
    not_true : mapping of str to str
        Kind of another value than ``true`` → what to write instead.
    words : mapping of str to str
        Words of other tools → what to write instead.
    promise : str
        What verification holds a result to: ``NOTHING``, ``GONE``, ``EQUALS``, ``DIFFERS`` or ``MOVED``.
    sure : callable
        Action → what it promises more than others of its kind, by its options; empty for nothing.
    appends : callable
        Action → whether ``EQUALS`` counts for the last values alone: those that were there stay before them.
    texts : callable
        Action → what ``EQUALS`` compares with.
    misfit : callable
        Action and VR → why a field of that VR cannot hold the result; empty when it can.
    only : frozenset of str
        VRs that an element named by its keyword must have; empty: any.
    placed : bool
        Needs the place of an element: no entry for all elements of a VR can ask for it.
    wide : callable
        Entry, action and VR → what is done to all elements of the VR, or why they cannot hold what it makes.
    warns : callable
        Action, kind of value (VR, ``RECORD``, or None) and whether its variables have values → what to warn of.
    keeps : bool
        Changes nothing.
    digest : bool
        Results are digests, which only free text can hold.
    moves : bool
        Moves a value by a distance, which values that stay tell.
    numbers : bool
        Makes numbers of numbers in records that have numbers.
    early : bool
        Runs before all others, the last one foremost: it reads other fields.
    sealed : bool
        Works with a key: its values are shown nowhere, only text can take it, and equal ones may become different.
    """

    key: str
    does: str
    build: Callable[[Given], Action | None] | None = None
    old: tuple[str, ...] = ()
    options: Mapping[str, Option] = field(default_factory=dict)
    alone: bool = True
    keyed: bool = False
    not_true: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    promise: str = NOTHING
    sure: Callable[[Action], str] = _nothing_more
    appends: Callable[[Action], bool] = _never
    texts: Callable[[Action], Texts] = _no_texts
    misfit: Callable[[Action, str], str] = _fits
    only: frozenset[str] = frozenset()
    placed: bool = False
    wide: Callable[[Given, Action, str], Action | str] = _as_it_is
    warns: Callable[[Action, str | None, bool], str] = _silent
    keeps: bool = False
    digest: bool = False
    moves: bool = False
    numbers: bool = False
    early: bool = False
    sealed: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The key and its old names."""
        return (self.key, *self.old)

    def promised(self, action: Action) -> str:
        """Return what an action of this kind promises: ``ENDS`` where it appends."""
        return ENDS if self.appends(action) else self.sure(action) or self.promise

    @property
    def own(self) -> dict[str, Option]:
        """The options that can stand in an entry."""
        return {name: option for name, option in self.options.items() if option.entry}

    @property
    def shared(self) -> dict[str, Option]:
        """The options that can stand in a section, for all of its entries."""
        return {name: option for name, option in self.options.items() if option.section}
