"""Worked task → a file at the destination and its rows in the ledger, or rows that say why not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import RLock

from fw_gear_deid.deid.container import CleanContainer
from fw_gear_deid.keys import Keyring
from fw_gear_deid.ledger import reports
from fw_gear_deid.ledger.state import RELEASING, Row, State
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Failed, MemberEdits, Outcome, Refused, Released, Skipped, outcome_of, state_of
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.model.ports import Destination, Item, Sink, Standing, Upload, Wanted
from fw_gear_deid.runner.plan import Place, acquisition_label, version_of
from fw_gear_deid.runner.stale import STALE, UNCHANGED, at_home, verdict
from fw_gear_deid.runner.workers import Task, Worked

_SAME_NAME = "another source gets the same name at the destination"


class Releaser:
    """Passes results on, one name to one source, and keeps the record.

    Parameters
    ----------
    sink : Sink
    state : State
    keyring : Keyring
    fingerprint : callable
        Task → what its result depends on besides its source.
    exists : str
        ``skip``, ``replace`` or ``fail``.
    originals, dry_run : bool
    positions : mapping of str to int
        Source id → place in the listing.
    origin : callable
        From the source: parts → what stands for them at the destination.
    describe : callable
        Item → its metadata as it may travel.
    """

    def __init__(
        self,
        sink: Sink,
        state: State,
        keyring: Keyring,
        *,
        fingerprint: Callable[[Task], str],
        exists: str,
        originals: bool,
        dry_run: bool,
        positions: Mapping[str, int],
        origin: Callable[..., str],
        describe: Callable[[Item], CleanContainer],
    ) -> None:
        self._sink = sink
        self._state = state
        self._keyring = keyring
        self._fingerprint = fingerprint
        self._exists = exists
        self._originals = originals
        self._dry_run = dry_run
        self._positions = positions
        self._origin = origin
        self._describe = describe
        self.labels: dict[str, str] = {}
        """Key of an acquisition → its label, once decided."""
        self._owners: dict[str, str] = {}
        """Path of an acquisition whose label its header decided → its key."""
        self._withdrawn: dict[str, list[Row]] = {}
        """Destination → sources that were released there and taken back."""
        self._lock = RLock()
        self.left_out: dict[str, Row] = {}
        """Sources that were not opened."""
        self.done: set[str] = set()
        """Sources with a row of this run."""
        self.chains: dict[tuple[tuple[str, str], ...], tuple[Wanted, ...]] = {}
        """Labels and origins → containers that hold a file of this run."""
        self.stale = 0
        """How many files at the destination are older than what would be made now, and were left."""
        self._keys: dict[str, str] = {}
        """Source → key of its innermost container."""
        self.standing: set[tuple[str, ...]] = set()
        """Labels of containers that hold a file of this run, or of an earlier one that is as it should be."""

    def early(self, place: Place) -> tuple[str, str] | None:
        """Record what needs no work: no place for it, or done by an earlier run. Returns state and reason."""
        item = place.task.items[0]
        if item.problem_state == "skipped":  # what an earlier run made of it stands, and stays on record
            row = Row(item.id, self._positions[item.id], "", "", "", "skipped", item.problem, bytes_in=item.size)
            self.left_out[item.id] = row
            return "skipped", item.problem
        for one in place.task.items:
            self._keys[one.id] = place.key
        if place.problem:
            return self.withhold(place, outcome_of(place.problem))
        if place.skip:
            return self.withhold(place, Skipped(place.skip))
        if self._exists == "replace":
            return None
        try:
            if self._sink.remembers and self._origin():
                return self._known_there(place)
            return self._known_here(place)
        except (OSError, ValueError) as error:
            return self.withhold(place, Failed(f"{_cause(error)} (while asking the destination)"))

    def _known_here(self, place: Place) -> tuple[str, str] | None:
        """By our own ledger: the same bytes, profile, key and options made a file that still stands."""
        version, fingerprint = version_of(place.task), self._fingerprint(place.task)
        rows = [self._state.get(item.id) for item in place.task.items]
        known = [row for row in rows if row is not None and row.task == version and row.fingerprint == fingerprint]
        if len(known) != len(rows) or not all(row.sha256 and row.state in ("released", "skipped") for row in known):
            return None
        destination = known[0].destination
        *labels, name = destination.split("/")
        chain = tuple(replace(one, label=label) for one, label in zip(place.containers, labels, strict=False))
        agrees = len(labels) == len(chain) and all(
            not one.label or one.label == label for one, label in zip(place.containers, labels, strict=True)
        )
        if not agrees or not self._sink.exists(Destination(chain, name)):
            return None
        if place.key and not place.containers[-1].label:
            self._has(place, self.labels.setdefault(place.key, labels[-1]))
        self.standing.add(tuple(labels))
        for row in known:
            self._state.record([replace(row, state="skipped", reason=UNCHANGED, position=self._positions[row.source])])
            self.done.add(row.source)
        return "skipped", UNCHANGED

    def _known_there(self, place: Place) -> tuple[str, str] | None:
        """By what the store itself keeps with its files, wherever they stand."""
        found = self._there(place)
        item, fingerprint = place.task.items[0], self._fingerprint(place.task)
        reason = verdict(found, place.containers, self._version(item), fingerprint)
        if not reason:
            return None
        [there] = found
        if reason == UNCHANGED and self._known_here(place) is not None:
            return "skipped", UNCHANGED
        self.stale += reason.startswith(STALE)
        if place.key and place.containers and not place.containers[-1].label:
            self._has(place, self.labels.setdefault(place.key, there.containers[-1].label))
        self.standing.add(tuple(one.label for one in there.containers))
        self._record(place, Row("", 0, "", fingerprint, "", "skipped", reason, bytes_out=there.size))
        return "skipped", reason

    def _there(self, place: Place) -> Sequence[Standing]:
        """Return what the destination holds of a file of the source, where it knows that."""
        if place.task.series or not self._sink.remembers:
            return ()
        item = place.task.items[0]
        return self._sink.earlier(self._origin(item.key or item.id), self._origin(item.id, item.version))

    def _version(self, item: Item) -> str:
        return self._origin(item.key or item.id, item.version)

    def finish(self, place: Place, worked: Worked) -> tuple[str, str]:
        """Release a result, or note why not; return state and a text for the progress lines."""
        outcome = worked.outcome
        path = ""
        if isinstance(outcome, Released) and worked.result is not None:
            try:
                with self._lock:
                    outcome, path = self._release(place, worked, worked.result, outcome)
            except (OSError, ValueError) as error:
                outcome = Failed(f"{_cause(error)} (at the destination)")
            finally:
                worked.result.unlink(missing_ok=True)
        if isinstance(outcome, Released):
            return "released", f"{path} ({outcome.members} members)"
        return self.withhold(place, outcome, worked.seconds)

    def withhold(self, place: Place, outcome: Refused | Skipped | Failed, seconds: float = 0.0) -> tuple[str, str]:
        """Record why nothing is released, and take back what an earlier run made of the same sources."""
        row = Row("", 0, "", self._fingerprint(place.task), "", "", "", seconds=seconds)
        try:
            self._take_back(place, "")
            if not isinstance(outcome, Failed) and not any(item.problem for item in place.task.items):
                self._take_back_there(place)
        except (OSError, ValueError) as error:
            outcome = Failed(f"what an earlier run released cannot be taken back: {_cause(error)}")
            old = self._state.get(place.task.items[0].id)
            row = replace(row, destination=old.destination, sha256=old.sha256) if old is not None else row
        self._record(place, replace(row, state=state_of(outcome), reason=outcome.reason))
        return state_of(outcome), outcome.reason

    def _release(self, place: Place, worked: Worked, result: Path, released: Released) -> tuple[Outcome, str]:
        if not place.containers and place.task.items[0].loose:
            return Refused(
                "it cannot be placed: not in SUBJECT/SESSION/ACQUISITION folders, and without a DICOM header"
            ), ""
        chain = self._chain(place, worked)
        destination = Destination(chain, released.name)
        path = destination.path
        own = {item.id for item in place.task.items}
        here = [row for row in self._state.at(path) if not self._elsewhere(row, place)]
        lost = [row for row in self._withdrawn.get(same_name_key(path), []) if not self._elsewhere(row, place)]
        rivals = self._current(here + lost, own)
        if rivals:
            self._withdraw(rivals)
            return Refused(_SAME_NAME), ""
        # made by an earlier run, of these sources or of some that are gone or move
        ours = bool(here) or any(one.name == released.name and at_home(one, chain) for one in self._there(place))
        if not ours and self._exists != "replace" and self._sink.exists(destination):
            reason = "the destination has a file of this name that no run with these reports made"
            return (Skipped(reason) if self._exists == "skip" else Refused(reason)), ""
        try:
            described = self._describe(place.task.items[0])
        except Unfit as error:
            return Refused(str(error)), ""
        released = replace(released, audit=(*released.audit, MemberEdits("", self._shown(described))))
        row = self._row(place, released, path, worked.seconds)
        if not self._dry_run:
            self._take_back(place, path)
            self._state.record([_lost(gone) for gone in here if gone.source not in own])
            self._record(place, replace(row, state=RELEASING))
            problem = self._put(
                place, result, destination, released, described, replace_=ours or self._exists == "replace"
            )
            if problem is not None:
                if ours:
                    self._sink.withdraw(path)
                self._record(place, _lost(row))  # nothing of it stands there
                return problem, ""
        self._record(place, row)
        labels = tuple(one.label for one in chain)
        self.chains[tuple((one.label, one.origin) for one in chain)] = chain
        self.standing.add(labels)
        return released, path

    def _shown(self, described: CleanContainer) -> tuple:  # type: ignore[type-arg]
        return tuple(edit if self._originals else replace(edit, before="") for edit in described.edits)

    def _chain(self, place: Place, worked: Worked) -> tuple[Wanted, ...]:
        """Return the containers with the acquisition's label decided."""
        if not place.containers or place.containers[-1].label:
            return place.containers
        label = self.labels.get(place.key) or acquisition_label(place, worked.sorting, self._keyring)
        if not self._has(place, label):  # a repeat scan: two acquisitions of one description stay two
            label = self._keyring.name("acq", place.key)
        self.labels[place.key] = label
        return (*place.containers[:-1], replace(place.containers[-1], label=label))

    def _has(self, place: Place, label: str) -> bool:
        """Tell whether an acquisition may have the label that its header decided: no other of its session has it."""
        if "acquisition" in self._sink.apart:
            return True
        above = "/".join(one.label for one in place.containers[:-1])
        return self._owners.setdefault(same_name_key(f"{above}/{label}"), place.key) == place.key

    def _put(
        self,
        place: Place,
        result: Path,
        destination: Destination,
        released: Released,
        described: CleanContainer,
        *,
        replace_: bool,
    ) -> Outcome | None:
        item = place.task.items[0]
        upload = Upload(
            origin=self._origin(item.key or item.id),
            version=self._version(item),
            root=self._origin(),
            older=self._origin(item.id, item.version),
            fingerprint=self._fingerprint(place.task),
            members=released.members,
            sha256=released.sha256,
            size=released.bytes_out,
            fields=described.fields,
            kind="dicom" if item.kind == "dicom" else "",
        )
        try:
            self._sink.put(result, destination, upload, replace=replace_)
        except FileExistsError:
            reason = "the destination has a file of this name"
            return Skipped(reason) if self._exists == "skip" else Refused(reason)
        except (OSError, ValueError) as error:
            return Failed(f"{_cause(error)} (while writing to the destination)")
        return None

    def _current(self, rows: Iterable[Row], own: set[str]) -> list[Row]:
        """Return the rows of other sources that hold in this run; those of earlier ones may be about to change."""
        return [row for row in rows if row.source not in own and row.source in self.done]

    def _take_back(self, place: Place, path: str) -> None:
        """Remove what an earlier run made of the same sources under other names."""
        own = {item.id for item in place.task.items}
        known = [row for row in map(self._state.get, own) if row is not None and row.sha256]
        for earlier in sorted({row.destination for row in known} - {path}):
            if not self._dry_run and not self._current(self._state.at(earlier), own):
                self._sink.withdraw(earlier)

    def _take_back_there(self, place: Place) -> None:
        """Remove what the destination knows to be made of a file that nothing is to be made of any more."""
        for standing in self._there(place):
            if not self._dry_run:
                self._sink.remove(standing)

    def _elsewhere(self, row: Row, place: Place) -> bool:
        """Tell whether a row's file stands in another container, though that has the same label."""
        if not self._sink.apart:
            return False
        return self._keys.get(row.source, place.key) != place.key

    def _withdraw(self, rivals: list[Row]) -> None:
        """Take back what a rival released: neither of two sources with one name is trusted to be the right one."""
        for row in rivals:
            gone = self._withdrawn.setdefault(same_name_key(row.destination), [])
            if row in gone:
                continue
            if not self._dry_run:
                self._sink.withdraw(row.destination)
            self._state.record([_lost(row)])
            gone.append(row)

    def _row(self, place: Place, released: Released, path: str, seconds: float) -> Row:
        return Row(
            source="",
            position=0,
            task="",
            fingerprint=self._fingerprint(place.task),
            destination=path,
            state="released",
            reason=released.reason,
            changes=sum(len(member.edits) for member in released.audit),
            members=released.members,
            bytes_in=released.bytes_in,
            bytes_out=released.bytes_out,
            sha256=released.sha256,
            seconds=seconds,
            audit=reports.audit_text(path, released.audit, originals=self._originals),
            actions=reports.count_actions(released.audit),
            unmatched=" ".join(str(index) for index in sorted(released.unmatched)),
        )

    def _record(self, place: Place, row: Row) -> None:
        """Write one row per source; of a series the first row carries its sums."""
        version = version_of(place.task)
        rows = []
        for number, item in enumerate(place.task.items):
            mine = replace(row, source=item.id, position=self._positions[item.id], task=version, bytes_in=item.size)
            if number:
                mine = replace(mine, changes=0, members=0, bytes_out=0, audit="", actions="", seconds=0.0)
            rows.append(mine)
            self.done.add(item.id)
        with self._lock:
            self._state.record(rows)


def _lost(row: Row) -> Row:
    """Return the row of a source whose file does not stand at the destination, for want of a name of its own."""
    return replace(
        row,
        state="refused",
        reason=_SAME_NAME,
        destination="",
        audit="",
        actions="",
        changes=0,
        sha256="",
        bytes_out=0,
    )


def _cause(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):  # a NUL, or letters that no encoding of the destination has
        return "a name that cannot be written there"
    return error.strerror or str(error) or type(error).__name__
