"""What the work on one file may know besides its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING
from unicodedata import normalize

from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.ciphers import Ciphers
from fw_gear_deid.deid.identity import Watch
from fw_gear_deid.deid.notes import Notes
from fw_gear_deid.keys import Draws, Keyring
from fw_gear_deid.model.bids import Entities
from fw_gear_deid.model.person import Person
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.verify.known import Known

if TYPE_CHECKING:
    from fw_gear_deid.deid.incoming import Incoming
    from fw_gear_deid.deid.shares import Shares
    from fw_gear_deid.formats.archive import Archive


@dataclass(frozen=True, slots=True)
class Context:
    """The run's fixed settings and the person at hand.

    Attributes
    ----------
    profile : Profile
    keyring : Keyring
    person : str or None
        Whose the file is, as the text of a ``Person``; None: the PatientID in it tells.
    today : date
    verify : str
        ``strict``, ``report`` or ``off``.
    telling : tuple of str
        Texts around the file that do not travel, such as the subject's label: no name may carry them.
    acquisition : str
        Label of the source's acquisition; it may stand in names where the de-identified header has it.
    ids : mapping of str to str
        What the profile's values go by: keyword → text that every data set of the file has.
    notes : Notes
        Takes what the run wants to know.
    watch : Watch
        Looks at whose every data set is.
    small : bool
        Take the time for the fewest bytes where members are deflated.
    originals : bool
        Let what is told of a change have the value before it.
    strict_rules : bool
        A file in which a rule of its section finds nothing is refused.
    subjects : mapping of str to str
        What the subjects of the run are found by that tables name, sealed → text of the person; as ``columns.Rows``.
    pseudonym : str
        Text of ``subject.pseudonym`` that the profile was filled with; empty for none.
    entities : Entities or None
        Labels of a tree in the layout of BIDS, which names and texts of its files follow.
    beside : Known or None
        What its companions teach: names of one stem stay one.
    depth : int
        How many archives its file is in.
    around : Known or None
        What names in an archive in an archive may not carry besides what it teaches itself.
    facts : tuple of Fact
        What the members of its archive tell of the patient, where each tells something else.
    shares : Shares or None
        Members that were made beforehand.
    archive : Archive or None
        What its file is a member of.
    other : callable or None
        Base names that the other half of a pair may have → its own, and its bytes from their start; None where there
        is none.
    """

    profile: Profile
    keyring: Keyring
    person: str | None
    today: date
    verify: str
    telling: tuple[str, ...] = ()
    acquisition: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    notes: Notes = field(default_factory=Notes)
    watch: Watch = field(default_factory=Watch)
    small: bool = False
    originals: bool = False
    strict_rules: bool = False
    subjects: Mapping[str, str] = field(default_factory=dict)
    pseudonym: str = ""
    entities: Entities | None = None
    beside: Known | None = None
    depth: int = 0
    around: Known | None = None
    facts: tuple[Fact, ...] = ()
    shares: Shares | None = None
    archive: Archive | None = None
    other: Callable[[tuple[str, ...]], tuple[str, Incoming] | None] | None = None

    @property
    def cipher(self) -> Ciphers:
        """What works with the keys at hand."""
        return Ciphers(self.keyring.locks)

    def draw(self, person: str | None = None) -> Draws:
        """Return what the key gives for the person at hand, or another; without one whoever draws is refused."""
        return Draws(self.keyring, self.person or person or None)

    @property
    def around_texts(self) -> tuple[str | Fact, ...]:
        """Labels and ids that no text which is cleaned may tell; that of an acquisition says what was made."""
        texts = (*self.telling, *self.ids.values())
        return (*dict.fromkeys(text for text in texts if text and text != self.acquisition), *self.facts)

    def follow(self, text: str) -> str:
        """Return a name or text of a tree in the layout of BIDS with the labels of the destination."""
        return self.entities.replaced(text, self._stranger) if self.entities is not None else text

    def _stranger(self, key: str) -> str:
        """Return the label of a subject, or session, that has no folder: as if it had one, and nothing told more."""
        subject, _, session = key.partition("/")
        person = Person("folder", (normalize("NFC", subject),)).text
        return self.keyring.session(person, f"folder {session}") if session else self.keyring.subject(person)
