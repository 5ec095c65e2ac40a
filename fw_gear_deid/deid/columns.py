"""A rule on a column of a table → what becomes of each cell; and whose each row is."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from fw_gear_deid.actions import ACTIONS
from fw_gear_deid.actions.encrypt import Unsure
from fw_gear_deid.actions.unreadable import REFUSE, REMOVE, instead, told
from fw_gear_deid.deid.identity import keys_of
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.row import NO_NUMBER, NO_VALUE, Field
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.action import Action, At, Gone, Result, Texts
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import HIDDEN
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.person import NO_ID
from fw_gear_deid.profile.compiled import FieldSection

_REMEMBERED = 20_000  # texts of one column
SUBJECT_COLUMN = "subject-column"
_PARTICIPANT = "participant_id"  # BIDS, participants file
Change = tuple[str, str]
"""Action and rule."""
NO_PSEUDONYM = "\0"  # no cell has it


def is_table(section: object) -> bool:
    """Tell whether a section is of tables, which may be of many subjects."""
    return isinstance(section, FieldSection) and SUBJECT_COLUMN in FORMATS[section.match.key].options


def subject_column(section: FieldSection, *, own: bool) -> str:
    """Return the column that tells whose each row is; empty where all are of one.

    Parameters
    ----------
    section : FieldSection
    own : bool
        The table stands with the files of one person; one that does not is of those whom BIDS's column names.
    """
    return str(section.options.get(SUBJECT_COLUMN) or ("" if own else _PARTICIPANT)) if is_table(section) else ""


@dataclass(slots=True)
class Rows:
    """Whose each row is: ``subject-column`` of a section.

    Attributes
    ----------
    column : str
        Name of the column whose cells tell it.
    people : mapping of str to str
        ``identity.keys_of`` a subject's label or id → text of the person; empty where it is of several.
    keyring : Keyring
    pseudonym : str
        What the profile was filled with for ``{{ subject.pseudonym }}``: that of each row comes in its place.
    unreadable : str
        What becomes of cells that need to know it, in rows that are nobody's: they are blank, or the row goes.
    own : bool
        The table stands with the files of one person, who is meant where it has no such column.
    texts : tuple of str
        The cells, as they came; None: the table has no such column, and is of one person.
    nobodys : set of int
        Rows whose person was asked for, and that have none.
    given : set of str
        Texts with pseudonyms of rows: they name whom they should.
    """

    column: str
    people: Mapping[str, str]
    keyring: Keyring
    pseudonym: str
    unreadable: str = REFUSE
    own: bool = False
    texts: Texts | None = None
    nobodys: set[int] = field(default_factory=set)
    given: set[str] = field(default_factory=set)
    _known: dict[str, str] = field(default_factory=dict)

    def take(self, columns: Sequence[Field]) -> None:
        """Take the column of a table.

        Raises
        ------
        Unfit
            It has two of that name.
        """
        if len(columns) > 1:
            raise Unfit(f"it has {len(columns)} columns of the name that {SUBJECT_COLUMN} says")
        self.texts = columns[0].texts if columns else None

    def person(self, row: int) -> str:
        """Return whose a row is, as the text of a ``Person``.

        Raises
        ------
        Unreadable
            It is nobody's whom the source has, or may be of several.
        """
        assert self.texts is not None  # noqa: S101 -- rows are asked for where there is the column
        text = self.texts[row]
        if text not in self._known:
            found = {self.people[key] for key in keys_of(text, self.keyring) if key in self.people}
            self._known[text] = found.pop() if len(found) == 1 else ""
        if not self._known[text]:
            self.nobodys.add(row)
            raise Unreadable(f"row {row + 1}: its {SUBJECT_COLUMN} names no subject of the source, or several")
        return self._known[text]

    @property
    def lost(self) -> frozenset[int]:
        """Return the rows that go, since they are nobody's."""
        return frozenset(self.nobodys) if self.unreadable == REMOVE else frozenset()

    def draw(self, row: int) -> RowDraws:
        """Return what the key gives in a row; that it is nobody's is found out when something is drawn."""
        return RowDraws(self, row)

    def filled(self, result: Result, row: int) -> Result:
        """Return what an action gave, with the pseudonym of the row's person."""
        if isinstance(result, Gone) or not any(self.pseudonym in text for text in result):
            return result
        if self.texts is None:
            if not self.own:
                raise Unfit(f"it has no column {self.column}, and stands with the files of nobody: {NO_ID}")
            return result
        try:
            own = self.keyring.subject(self.person(row))
        except Unreadable as error:
            return instead(self.unreadable, error, ("",))
        new = tuple(text.replace(self.pseudonym, own) for text in result)
        self.given.update(new)
        return new


@frozen
class RowDraws:
    """What the key gives in a row of a table (a ``Draw``)."""

    rows: Rows
    row: int

    def __call__(self, purpose: str) -> int:
        """Return a number of the row's person."""
        return self.rows.keyring.number(self.rows.person(self.row), purpose)

    def seal(self, kind: str, text: str) -> bytes:
        """Return a digest of a text."""
        return self.rows.keyring.seal(kind, text)

    def pseudonym(self) -> str:
        """Return the label of the row's person."""
        return self.rows.keyring.subject(self.rows.person(self.row))


@dataclass(slots=True)
class Column:
    """The cells of a column after a rule.

    Attributes
    ----------
    texts : tuple of str
    told : dict of int to str
        Row → what the audit calls its change, where that is not the action.
    """

    texts: Texts
    told: dict[int, str]


def carried_out(
    texts: Iterable[str], action: Action, at_row: Callable[[int], At], rows: Rows | None, alike: bool
) -> Column:
    """Carry an action out on every cell of a column.

    Parameters
    ----------
    texts : iterable of str
    action : Action
    at_row : callable
        Row → the surroundings of its cells.
    rows : Rows or None
    alike : bool
        Equal texts become equal ones in all rows.

    Raises
    ------
    Unfit
        A cell cannot be read; the message has its row.
    """
    new: list[str] = []
    names: dict[int, str] = {}
    remembered: dict[str, str] = {}
    unsure = False
    for row, text in enumerate(texts):
        known = remembered.get(text) if alike else None
        if known is not None:
            new.append(known)
            continue
        result = _cell(text, action, at_row(row), row)
        unsure = unsure or isinstance(result, Unsure)
        if rows is not None:
            result = rows.filled(result, row)
        cell = "" if isinstance(result, Gone) else ",".join(result)  # a row has all of its cells
        if (what := told(action, result)) != action.key and cell != text:
            names[row] = what
        elif alike and len(remembered) < _REMEMBERED:
            remembered[text] = cell
        new.append(cell)
    texts_now = Unsure(new) if unsure else tuple(new)
    return Column(texts_now, names)


def _cell(text: str, action: Action, at: At, row: int) -> Result:
    spec = ACTIONS[action.key]
    if text in NO_VALUE and (spec.digest or spec.moves or spec.sealed):
        return (text,)
    if spec.moves and text in NO_NUMBER:
        return (text,)
    try:
        return action((text,), at)
    except Unreadable as error:
        if not text.strip() or text in NO_VALUE:
            return (text,)
        raise Unreadable(f"row {row + 1}: {error}" if not str(error).startswith("row ") else str(error)) from None
    except Unfit as error:
        if not spec.sealed:
            raise
        raise Unfit(f"row {row + 1}: {error}") from None


def edits_of(
    one: Field, now: Texts | Gone, last: Change, told: Mapping[int, Change], lost: Collection[int]
) -> Iterator[Edit]:
    """Yield the rows of the audit for a column: one for each cell that changed, and for the header that went.

    Parameters
    ----------
    last : tuple of str
        Action and rule that changed it.
    told : mapping of int to tuple of str
        Row → the same, where it is another.
    lost : collection of int
        Rows that go as a whole.
    """
    if isinstance(now, Gone):
        yield Edit(one.path, "", "", *last, "", "")
    for row, before in enumerate(one.texts):
        if row in lost:
            continue
        after = "" if isinstance(now, Gone) else now[row]
        if before != after:
            action, rule = told.get(row, last)
            yield Edit(f"{one.path}, row {row + 1}", "", "", action, rule, before, HIDDEN.get(action, after))


def lost_edits(fields: Iterable[Field], lost: Collection[int]) -> Iterator[Edit]:
    """Yield the rows of the audit for rows that go."""
    what = f"unreadable-{REMOVE}"
    for row in sorted(lost):
        yield Edit(f"row {row + 1}", "", "", what, SUBJECT_COLUMN, "", "")
    for one in fields if lost else ():
        for row in sorted(lost):
            if one.texts[row]:
                yield Edit(f"{one.path}, row {row + 1}", "", "", what, SUBJECT_COLUMN, one.texts[row], "")


def made_edits(name: str, texts: Texts, action: str, rule: str) -> Iterator[Edit]:
    """Yield the rows of the audit for a column that a rule made."""
    yield Edit(f"column {name}", "", "", action, rule, "", common(texts))
    for row, text in enumerate(texts, 1):
        yield Edit(f"column {name}, row {row}", "", "", action, rule, "", text)


def common(texts: Texts | Gone) -> str:
    """Return the text that all cells of a column have that are not blank; nothing when they differ."""
    if isinstance(texts, Gone):
        return ""
    found = {text for text in texts if text.strip() and text not in NO_VALUE}
    return found.pop() if len(found) == 1 else ""
