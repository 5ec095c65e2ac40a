"""``on-unreadable``: what becomes of a value that an action cannot read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from fw_gear_deid.actions.spec import Given, Option
from fw_gear_deid.model.action import Action, Emptied, Gone, Result, Texts
from fw_gear_deid.model.errors import Unreadable

REFUSE, EMPTY, REMOVE = WAYS = ("refuse", "empty", "remove")
KEY = "on-unreadable"
_REMEDY = f"; '{KEY}: {EMPTY}' or '{KEY}: {REMOVE}' lets the file pass without the value"


def _problem(text: str) -> str:
    return "" if text in WAYS else f"must be {', '.join(WAYS[:-1])} or {WAYS[-1]}"


OPTION = Option("str", REFUSE, section=True, stand_in=REFUSE, problem=_problem)


def way(given: Given) -> str | None:
    """Return what an entry says, or complain and return None."""
    text = given.text(KEY)
    wrong = _problem(text)
    if wrong:
        given.complain(wrong, KEY)
        return None
    return text


def way_of(action: Action) -> str:
    """Return what becomes of a value that an action cannot read."""
    found = getattr(action, "unreadable", REFUSE)
    return found if isinstance(found, str) else REFUSE


def each(texts: Texts, read: Callable[[str], str], way: str) -> Result:
    """Return what is made of each value; one that cannot be read goes the way that the profile says.

    Raises
    ------
    Unreadable
        One cannot be read, and the file is to be refused then.
    """
    new: list[str] = []
    lost: Unreadable | None = None
    for text in texts:
        try:
            new.append(read(text))
        except Unreadable as error:
            lost = lost or error
            new.append("")
    return tuple(new) if lost is None else instead(way, lost, new)


def instead(way: str, error: Unreadable, texts: Iterable[str] = ()) -> Result:
    """Return what stands in the place of values of which one cannot be read.

    Parameters
    ----------
    way : str
    error : Unreadable
        Why it cannot.
    texts : iterable of str
        The values, that one being empty.

    Raises
    ------
    Unreadable
        The file is to be refused; tells how else.
    """
    if way == EMPTY:
        return Emptied(texts)
    if way == REMOVE:
        return Gone.UNREADABLE
    raise Unreadable(str(error).removesuffix(_REMEDY) + _REMEDY)


def told(action: Action, result: Result) -> str:
    """Return what the audit calls the change: the action, or what became of what it cannot read."""
    if isinstance(result, Emptied):
        return f"unreadable-{EMPTY}"
    return f"unreadable-{REMOVE}" if result is Gone.UNREADABLE else action.key
