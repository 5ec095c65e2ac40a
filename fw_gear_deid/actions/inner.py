"""Actions that no entry can ask for: what a table does to a value besides the actions of the language."""

from __future__ import annotations

import re

from fw_gear_deid.actions import unreadable
from fw_gear_deid.actions.spec import Spec
from fw_gear_deid.model.action import DIFFERS, GONE, MOVED, REMOVE, At, Result, Texts
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.frozen import frozen

_TIME = re.compile(r"([01]\d|2[0-3])(:?[0-5]\d(:?[0-6]\d(\.\d{1,6})?)?)?", re.ASCII)
_PADDING = " \0"
CAP_AGE = "cap-age"
"""What the audit calls ``ages.TopCode``."""


@frozen
class KeepTime:
    """Times of day stay, since dates move by whole days; what is no time goes the way of what cannot be read.

    Examples
    --------
    >>> KeepTime("empty")(("134501.5", "JOHN"), None)
    ('134501.5', '')
    """

    unreadable: str = unreadable.REMOVE
    key: str = "keep-time"

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return the times."""
        return unreadable.each(texts, _time, self.unreadable)


def _time(text: str) -> str:
    plain = text.strip(_PADDING)
    if plain and _TIME.fullmatch(plain) is None:
        raise Unreadable("the value is no time")
    return text


@frozen
class Pseudonym:
    """The pseudonym of the person at hand, as ``{{ subject.pseudonym }}`` has it, whatever stood there."""

    key: str = "pseudonym"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the pseudonym.

        Raises
        ------
        Unfit
            There is no person.
        """
        return (at.draw.pseudonym(),)


@frozen
class Fill:
    """A value where none is left, since the attribute may not be empty.

    Examples
    --------
    >>> Fill("REMOVED")(("",), None), Fill("REMOVED")(("T1",), None)
    (('REMOVED',), ('T1',))
    """

    value: str
    key: str = "fill"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the values, or the one that stands for none."""
        return texts if any(text.strip(_PADDING) for text in texts) else (self.value,)


@frozen
class Zeros:
    """Two bytes of zero in the place of any."""

    key: str = "zeros"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return no texts: what has none is written as bytes."""
        return ()


@frozen
class DropOverlay:
    """OverlayBitPosition goes, and refuses where the overlay is drawn into the pixels (PS3.5 §8.1.2).

    Examples
    --------
    >>> DropOverlay()(("0",), None)
    <Gone.REMOVE: 'remove'>
    """

    key: str = "drop-overlay"

    def __call__(self, texts: Texts, at: At) -> Result:
        """Return REMOVE.

        Raises
        ------
        Unfit
            The overlay's bits are bits of PixelData, and stay there.
        """
        if any(text.strip(_PADDING) not in ("", "0") for text in texts):
            raise Unfit("an overlay is drawn into unused bits of the pixels; 'accept: [burned-in]' lets it leave")
        return REMOVE


TABLE = (
    Spec(CAP_AGE, "keeps ages up to 89 years; above they are 090Y", promise=MOVED),
    Spec("keep-time", "keeps times of day", promise=MOVED),
    Spec("pseudonym", "the pseudonym of the patient", promise=DIFFERS, digest=True),
    Spec("fill", "a value where none is left"),
    Spec("drop-overlay", "takes an overlay away that is not drawn into the pixels", promise=GONE),
    Spec("zeros", "two bytes of zero", promise=DIFFERS, digest=True),
)
