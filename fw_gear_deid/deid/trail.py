"""What was changed in one file, as it comes → its lines of the audit, packed: small enough to be handed on whole."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fw_gear_deid.formats.archive import flate
from fw_gear_deid.model import audit
from fw_gear_deid.model.cells import exact
from fw_gear_deid.model.outcome import UNTYPED, Edit, Trail

_PIECE = 1 << 16  # letters that are packed at once


@dataclass(slots=True)
class Scribe:
    """Takes lines; of many only the packed ones are kept, a hundredth of them.

    Attributes
    ----------
    originals : bool
        With the values before a change.
    untyped : int
        How many attributes of no known Type a table acted on.
    """

    originals: bool
    untyped: int = 0
    _actions: Counter[str] = field(default_factory=Counter)
    _packer: Any = field(default_factory=flate.packer)
    _packed: list[bytes] = field(default_factory=list)
    _waiting: list[str] = field(default_factory=list)
    _letters: int = 0

    def edits(self, member: str, edits: Iterable[Edit]) -> None:
        """Take the edits of one member, or of the file itself (``member`` empty)."""
        listed = tuple(edits)
        self.untyped += sum(edit.rule.endswith(UNTYPED) for edit in listed)
        self.lines(audit.lines(member, listed, originals=self.originals), [edit.action for edit in listed])

    def lines(self, text: str, actions: Iterable[str]) -> None:
        """Take lines as ``model.audit.lines`` writes them, and the actions that they tell of, one each."""
        self._actions.update(actions)
        self._waiting.append(text)
        self._letters += len(text)
        if self._letters >= _PIECE:
            self._pack()

    def told(self, *parts: str) -> str:
        """Return what a row tells although all went well: what is given, and how many Types were not known."""
        own = f"{self.untyped} attribute{'s' if self.untyped > 1 else ''} of no known type" if self.untyped else ""
        return "; ".join(filter(None, (*parts, own)))

    def below(self, member: str, inside: Trail) -> None:
        """Take what was changed in the members of a member that is an archive itself."""
        for text in audit.unpacked(inside.lines):
            for name, *edit in csv.reader(io.StringIO(text, newline="")):
                self.edits(f"{member}/{exact(name)}" if name else member, (Edit(*map(exact, edit)),))

    def end(self, front: Trail | None = None) -> Trail:
        """Return what there is, behind another one; nothing can be taken afterwards."""
        self._pack()
        before, actions = (b"", Counter[str]()) if front is None else (front.lines, Counter(front.actions))
        packed, self._packed = self._packed, []
        return Trail(b"".join((before, *packed, self._packer.flush())), actions + self._actions)

    def _pack(self) -> None:
        text = "".join(self._waiting)
        self._waiting, self._letters = [], 0
        self._packed.append(self._packer.compress(text.encode("utf-8", "backslashreplace")))
