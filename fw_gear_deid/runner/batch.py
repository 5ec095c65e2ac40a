"""Results on their way to the destination: what one sync of the ledger covers, and what a kill leaves is known by it.

All of a batch are noted as on their way and committed, put, their folders synced once each, and noted as standing; the
next batch's commit brings that to the disk. Killed in between, the next run finds them noted as on their way, and knows
by their digests which of them stand.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fw_gear_deid.ledger.state import Made, State
from fw_gear_deid.model.errors import LogDown, StopRun
from fw_gear_deid.model.ports import Destination, Sink, Upload
from fw_gear_deid.runner.earlier import Earlier
from fw_gear_deid.runner.gate import Gate
from fw_gear_deid.runner.plan import Place
from fw_gear_deid.runner.policy import Stands
from fw_gear_deid.runner.workers import Worked


@dataclass(slots=True)
class Sent:
    """A result that is to be put.

    Attributes
    ----------
    place : Place
    worked : Worked
    result : Path
    destination : Destination
    upload : Upload
    made : Made
        What the ledger is to know of it.
    here : Made or None
        What it knew under that name.
    replaces : bool
        Something stands there that may go.
    is_put : bool
        It stands there.
    error : Exception or None
        Why it does not.
    gone : collection of str
        Entries of the log whose files it has taken the place of.
    """

    place: Place
    worked: Worked
    result: Path
    destination: Destination
    upload: Upload
    made: Made
    here: Made | None
    replaces: bool
    is_put: bool = False
    error: OSError | ValueError | StopRun | None = None
    gone: Collection[str] = ()


class Batch:
    """Puts results, some at a time.

    Parameters
    ----------
    state : State
    sink : Sink
    earlier : Earlier
    gate : Gate
    """

    def __init__(self, state: State, sink: Sink, earlier: Earlier, gate: Gate) -> None:
        self._state = state
        self._sink = sink
        self._earlier = earlier
        self._gate = gate
        self._sent: dict[str, Sent] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._sent

    def __bool__(self) -> bool:
        return bool(self._sent)

    def add(self, one: Sent) -> None:
        """Note a result as on its way."""
        self._state.put(one.made)
        self._sent[one.made.name] = one

    def take(self) -> list[Sent]:
        """Return what waits, in order; afterwards nothing does."""
        sent, self._sent = list(self._sent.values()), {}
        return sent

    def bring(self, sent: Sequence[Sent]) -> None:
        """Put results; call ``settle`` afterwards, however that ends.

        Raises
        ------
        StopRun
            The ledger, the destination or the log takes nothing more.
        """
        self._state.commit()
        try:
            self._gate.reserve(sent)
        except LogDown as error:
            for one in sent:
                one.error = error
            raise
        for one in sent:
            self._put(one)

    def settle(self, sent: Sequence[Sent]) -> None:
        """Bring to the disk what was put, and to the log; each says afterwards whether it stands.

        Raises
        ------
        StopRun
            ``LogDown`` once everything is settled: what was put and took the place of nothing is gone again.
        """
        for one in sent:
            if not one.is_put:
                self._undo(one)
        self._settle([one for one in sent if one.is_put])
        try:
            self._gate.confirm(sent)
        except LogDown as error:
            for one in sent:
                if one.is_put and not one.replaces:
                    self._fail(one, error)
            raise

    def _put(self, one: Sent) -> None:
        there = self._gate.standing(one.upload)
        try:
            self._sink.put(one.result, one.destination, one.upload, replace=one.replaces)
            one.is_put = True
        except (OSError, ValueError) as error:
            one.error = error
        except StopRun as error:
            one.error = error
            raise
        finally:
            one.gone = there.keys() - self._gate.standing(one.upload)

    def _settle(self, put: Sequence[Sent]) -> None:
        """Bring names to the disk; where that fails, nothing that is reported as failed stays."""
        below: dict[str, list[Sent]] = {}
        for one in put:
            below.setdefault(one.destination.path.rpartition("/")[0], []).append(one)
        for its in below.values():
            try:
                self._sink.settle(its[0].destination.containers)
            except OSError as error:
                for one in its:
                    self._fail(one, error)

    def _fail(self, one: Sent, error: OSError | StopRun) -> None:
        """Take back what was put."""
        one.is_put, one.error = False, error
        with suppress(OSError):
            self._sink.withdraw(one.destination)
        self._undo(one)

    def _undo(self, one: Sent) -> None:
        """Let the ledger know of what stood there before; where nobody can look the next run does."""
        with suppress(OSError, ValueError):
            if one.here is not None and self._earlier.stands(one.here) is Stands.OURS:
                self._state.put(one.here)
            elif not self._sink.exists(one.destination):
                self._state.drop(one.made.name)
