"""What an action is: values and their surroundings → new values, or gone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from enum import Enum
from typing import Protocol

from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import Cipher

Texts = tuple[str, ...]


class Gone(Enum):
    """The result of an action that takes the field away."""

    REMOVE = "remove"
    UNREADABLE = "unreadable"
    """The action cannot read the value, and ``on-unreadable`` says that it goes then."""


REMOVE = Gone.REMOVE
Result = Texts | Gone


class Emptied(tuple[str, ...]):
    """New values; those that the action cannot read are empty, as ``on-unreadable`` says."""

    __slots__ = ()


NOTHING, GONE, EQUALS, ENDS, DIFFERS, MOVED = "", "gone", "equals", "ends", "differs", "moved"
SHIFTED, RENAMED, CLEANED = "shifted", "renamed", "cleaned"
"""What an action may promise of every place it works on; verification holds the result to it.

``MOVED``: what is a date stays one. ``SHIFTED``: besides, each value is another one, where no other rule speaks of it.
``RENAMED``: each value is another one, but for UIDs that are registered in PS3.6.
``CLEANED``: no text there tells what rules took away from the file, nor a date, a telephone number, an address or id.
"""


class Draw(Protocol):
    """What the key gives at one place: numbers of the person at hand, and digests that are the same for everybody."""

    def __call__(self, purpose: str) -> int:
        """Return a whole number below 2**256 that belongs to the key, the person and the purpose.

        Raises
        ------
        Unfit
            There is no person.
        """
        ...

    def seal(self, kind: str, text: str) -> bytes:
        """Return 32 bytes that belong to the key, the kind and the text: equal texts are sealed alike everywhere."""
        ...

    def pseudonym(self) -> str:
        """Return what ``{{ subject.pseudonym }}`` is for the person.

        Raises
        ------
        Unfit
            There is no person.
        """
        ...


def _nothing_known(text: str) -> str:
    raise Unfit("what is known of the patient here is not at hand, so no text can be cleaned of it")


@frozen
class At:
    """The read-only surroundings of a value.

    Attributes
    ----------
    vr : str
        VR, or the kind of value outside DICOM ("text").
    draw : Draw
        What the key gives here.
    today : date
        Day of the run; limits such as ``datetime-min: -2years`` are relative to it.
    read : callable
        Name of another field of the record → its text, empty when absent.
    clean : callable
        Text → the same without what tells of the patient: what rules take away elsewhere, labels, dates, numbers, ids.
        Raises ``Unfit`` where nobody says what is known.
    cipher : Cipher, optional
        What works with the keys at hand.
    """

    vr: str
    draw: Draw
    today: date
    read: Callable[[str], str]
    clean: Callable[[str], str] = _nothing_known
    cipher: Cipher | None = None


class Action(Protocol):
    """One way to change values. Decides from values and surroundings only; knows no format and no place.

    Attributes
    ----------
    key : str
        As users write it in a profile.
    """

    @property
    def key(self) -> str:
        """Return the key of the profile language."""
        ...

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the values to write.

        Raises
        ------
        Unfit
            The values are not of the kind the action works on; the message does not quote them.
        """
        ...
