"""Worked task → a file at the destination and its rows in the ledger, or rows that say why not.

What is decided stands in ``runner/policy.py``, for stores that remember by themselves in ``runner/stale.py``; here it
is carried out. The order is the one that a kill at any moment cannot hurt: noted as on its way, put, noted as standing,
what it takes the place of taken back. Many go that way together (``runner/batch.py``); nothing is told before it is so.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from fw_gear_deid.deid.container import CleanContainer
from fw_gear_deid.deid.trail import Scribe
from fw_gear_deid.ledger.state import Made, Row, State, name_of
from fw_gear_deid.model.errors import LogDown, StopRun, Unfit
from fw_gear_deid.model.outcome import Failed, Refused, Released, Skipped, Trail, outcome_of, state_of
from fw_gear_deid.model.portable import same_name_key
from fw_gear_deid.model.ports import Destination, Item, Standing, Upload, Wanted
from fw_gear_deid.runner import policy
from fw_gear_deid.runner.batch import Batch, Sent
from fw_gear_deid.runner.earlier import Earlier
from fw_gear_deid.runner.gate import Gate
from fw_gear_deid.runner.plan import Place, acquisition_label, version_of
from fw_gear_deid.runner.policy import Act, Situation, Stands
from fw_gear_deid.runner.stale import verdict
from fw_gear_deid.runner.workers import Worked

if TYPE_CHECKING:
    from fw_gear_deid.runner.run import Job

NO_MORE = "the destination takes nothing more"
DRY_RUN = "dry run: would be released"
Told = tuple[str, str]
"""State and a text for whoever watches."""
_SECONDS = 0.5
_ASKED = 500  # tasks that the ledger is asked for at once
_MOST = 200
_NOTED = 16 << 20
"""How long, and how many, results wait to be put together, and how many bytes the log is to have of them."""
NO_PLACE = "it cannot be placed: it has no DICOM header, so put it three folders deep: SUBJECT/SESSION/ACQUISITION/FILE"


class Releaser:
    """Passes results on, one name to one source, and keeps the record.

    Parameters
    ----------
    job : Job
    state : State
    earlier : Earlier
        What was made before; told here what this run makes and leaves.
    gate : Gate
        The de-identification log.
    describe : callable
        Item → its metadata as it may travel.
    told : callable
        Takes place, what was worked, state and text of every result that ``finish`` was given, once it is so.
    held : callable
        Lets signals wait while what was put is noted.
    """

    def __init__(
        self,
        job: Job,
        state: State,
        earlier: Earlier,
        gate: Gate,
        describe: Callable[[Item], CleanContainer],
        told: Callable[[Place, Worked, str, str], None],
        held: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._job = job
        self._sink = job.sink
        self._state = state
        self._identity = job.dest
        self._gate = gate
        self._claimed = False
        self._describe = describe
        self._told = told
        self._held = held
        self._earlier = earlier
        self._batch = Batch(state, job.sink, earlier, gate)
        self._most = 1 if job.sink.remembers else _MOST  # what is uploaded takes its time
        self._arrived: list[tuple[Place, Worked]] = []
        self._noted = 0
        self._flushed = time.monotonic()
        self._said: dict[int, Told] = {}
        """Number of a task → what became of it."""
        self._key = job.keyring.fingerprint()
        self._fingerprints: dict[tuple[tuple[str, ...], int], str] = {}
        self._positions = {item.id: number for number, item in enumerate(job.items)}
        self._withheld: set[str] = set()
        """Instances that were refused."""
        self.labels: dict[str, str] = {}
        """Key of an acquisition → its label, once decided."""
        self._owners: dict[str, str] = {}
        """Path of an acquisition whose label its header decided → its key."""
        self.chains: dict[tuple[tuple[str, str], ...], tuple[Wanted, ...]] = {}
        """Labels and origins → containers that hold a file of this run."""
        self.standing: set[tuple[str, ...]] = set()
        """Labels of containers that hold a file of this run, or of an earlier one that is as it should be."""
        self._mine: dict[str, Place] = {}
        """``Made.name`` → the task of this run whose file it is."""
        self._left: set[str] = set()
        """``Made.name`` of what stands of sources that failed."""
        self._images: dict[tuple[str, ...], set[str]] = {}
        """Stem → what became of the files that sidecars are about."""
        self._refused: set[str] = set()
        """``Made.name`` that several tasks of this run get: none has it."""

    # -- what needs no work ----------------------------------------------------------------------------

    def all_early(self, places: Sequence[Place]) -> Iterator[tuple[Place, Told | None]]:
        """Record what needs no work, and yield every task."""
        for start in range(0, len(places), _ASKED):
            some = places[start : start + _ASKED]
            if not self._earlier.by_store:
                self._earlier.foresee(some)
            for place in some:
                waits = place.is_sidecar and place.stem in self._images and not self._images[place.stem]
                early = None if waits else self.early(place)
                self._note_image(place, early[0] if early is not None else "")
                yield place, early
        self._earlier.foresee(())  # what is written from now on counts

    def early(self, place: Place) -> Told | None:
        """Record what needs no work: no place for it, or done by an earlier run."""
        item = place.task.items[0]
        if item.problem and item.problem_state == "skipped":  # what an earlier run made of it stands
            return self._note(place, "skipped", item.problem)
        if place.skip:
            return self._note(place, "skipped", place.skip)
        if place.problem:
            return self.withhold(place, outcome_of(place.problem))
        if item.problem:
            return None
        try:
            return self._known_there(place) if self._earlier.by_store else self._known_here(place)
        except (OSError, ValueError) as error:
            return self.withhold(place, Failed(f"{_cause(error)} (while asking the destination)"))

    def _known_here(self, place: Place) -> Told | None:
        """By our own ledger: the same instances made a file that still stands."""
        candidates = self._earlier.of(place)
        if len(candidates) != 1 or not candidates[0].standing:
            return None  # nothing, or a run was killed before it had taken back what the new one took the place of
        [made] = candidates
        if self._earlier.stands(made) is not Stands.OURS or not (
            _agree(made, place.containers) or self._is_at_home(made, place)
        ):
            return None
        same = made.task == version_of(place.task)
        as_asked = made.fingerprint == self._fingerprint(place)
        logged = self._gate.has_entry(made.path, made.sha256)
        if as_asked and logged and not (same and self._is_told(made)):
            return None  # the work on it may find these very bytes
        covered = set(made.parts) == set(self._earlier.parts(place)) or made.holds <= self._earlier.instances(place)
        stale = Situation(Stands.OURS, mine=True, same_bytes=as_asked, logged=logged)
        is_stale = not (as_asked and logged)
        if is_stale and (self._job.exists != "skip" or not covered):
            return None  # made anew; or fewer instances than stand there, and the work on it says so
        self._keep(place, made)
        if is_stale:
            return self._note(place, "skipped", policy.decide(stale, "skip").reason, made)
        if set(made.parts) != set(self._earlier.parts(place)) and not self._job.dry_run:  # it lies elsewhere now
            self._earlier.move(made, place)
        return self._note(place, "skipped", policy.UNCHANGED, made)

    def _is_at_home(self, made: Made, place: Place) -> bool:
        """Tell whether a file stays where a run put it that began at another folder on the way to its source."""
        elsewhere = made.root not in ("", self._job.root)
        return elsewhere and made.person == place.task.person and set(made.places) == set(self._earlier.places(place))

    def _is_told(self, made: Made) -> bool:
        """Tell whether what was checked and noted of a file is all that this run asks for."""
        verified, _, rules = made.checked.partition(" ")
        is_checked = self._job.verify in ("off", verified) and (bool(rules) or not self._job.strict_rules)
        return is_checked and (made.originals or not self._job.originals) and not self._job.wants_ids

    def _known_there(self, place: Place) -> Told | None:
        """By what the store itself keeps with its files, wherever they stand."""
        found = self._earlier.there(place)
        item, fingerprint = place.task.items[0], self._fingerprint(place)
        reason = verdict(found, place.containers, self._version(item), fingerprint)
        if reason == policy.UNCHANGED and not self._has_entry(found):
            reason = policy.STALE.format(policy.UNLOGGED)
        if not reason or (reason.startswith(policy.STALE_WORD) and self._job.exists == "replace"):
            return None
        if reason == policy.UNCHANGED and self._job.wants_ids:
            return None  # its ids are in the source only
        [there] = found
        inside = there.containers[-1].origin if there.containers and self._sink.apart else ""
        made = self._state.at(name_of(there.path, inside))
        if made is not None and made.fingerprint != fingerprint:
            made = None  # this ledger knows an older one
        if place.key and place.containers and not place.containers[-1].label:
            self._has(place, self.labels.setdefault(place.key, there.containers[-1].label))
        self.standing.add(tuple(one.label for one in there.containers))
        return self._note(place, "skipped", reason, made)

    def _has_entry(self, found: Sequence[Standing]) -> bool:
        """Tell whether files that the store remembers have entries in the log, where one is kept."""
        return not self._gate.wanted or all(one.log for one in found)

    def _keep(self, place: Place, made: Made) -> None:
        """Remember the labels of what stands as it should."""
        labels = tuple(made.path.split("/")[:-1])
        if place.key and place.containers and not place.containers[-1].label:
            self._has(place, self.labels.setdefault(place.key, labels[-1]))
        self.standing.add(labels)
        self._mine[made.name] = place

    # -- results ---------------------------------------------------------------------------------------

    def finish(self, place: Place, worked: Worked) -> None:
        """Release a result, or note why not, with others that come at the same time."""
        self._arrived.append((place, worked))
        self._noted += _size(worked.log)
        if len(self._arrived) >= self._most or self._noted >= _NOTED or time.monotonic() - self._flushed >= _SECONDS:
            self.flush()

    def flush(self) -> None:
        """Release what waits, in its order.

        Raises
        ------
        StopRun
            The ledger or the destination takes nothing more.
        """
        arrived, self._arrived = self._arrived, []
        self._noted = 0
        try:
            try:
                for place, worked in arrived:
                    self._say(place, self._finish(place, worked))
            finally:
                self._bring()
        finally:
            for place, worked in arrived:
                for path in (worked.result, worked.log):
                    if isinstance(path, Path):
                        path.unlink(missing_ok=True)
                if place.task.number in self._said:
                    self._told(place, worked, *self._said.pop(place.task.number))
            self._flushed = time.monotonic()

    def _say(self, place: Place, told: Told | None) -> None:
        if told is not None:
            self._said[place.task.number] = told

    def _finish(self, place: Place, worked: Worked) -> Told | None:
        """Note what becomes of a result; None while it is on its way."""
        told = self._finished(place, worked)
        self._note_image(place, told[0] if told is not None else "released")
        return told

    def _note_image(self, place: Place, state: str) -> None:
        """Remember what became of a file that others are about; of one that waits nothing."""
        if place.stem and not place.is_sidecar:
            self._images.setdefault(place.stem, set()).update({state} - {""})

    def _finished(self, place: Place, worked: Worked) -> Told | None:
        outcome = worked.outcome
        of = self._images.get(place.stem, set()) if place.is_sidecar else set()
        if isinstance(outcome, Released) and of and of <= {"refused", "failed"}:
            what = Failed if of == {"failed"} else Refused
            return self.withhold(place, what("the file that it is about is not released"), worked.seconds)
        if not isinstance(outcome, Released) or worked.result is None:
            assert not isinstance(outcome, Released)  # noqa: S101 -- a result comes with its file
            if self._batch and self._earlier.names(place):
                self._bring()
            return self.withhold(place, outcome, worked.seconds)
        try:
            return self._release(place, worked, worked.result, outcome)
        except StopRun:
            self._note(place, "failed", NO_MORE, None, worked.seconds)
            raise
        except (OSError, ValueError) as error:
            return self._failed(place, worked, error)

    def _failed(self, place: Place, worked: Worked, error: OSError | ValueError) -> Told:
        """Note a result that could not be put, be it for a name that the store does not take."""
        return self.withhold(place, Failed(f"{_cause(error)} (while writing to the destination)"), worked.seconds)

    def withhold(self, place: Place, outcome: Refused | Skipped | Failed, seconds: float = 0.0) -> Told:
        """Record why nothing is released; what an earlier run made of a source that is refused now is taken back."""
        kept: Made | None = None
        note = ""
        is_damaged = isinstance(outcome, Refused) and outcome.damaged
        is_whole = not any(item.problem for item in place.task.items)
        if is_whole and not is_damaged and _by_rule(outcome):
            self._withheld |= self._earlier.instances(place)
            self._earlier.settled |= {item.id for item in place.task.items}
            try:
                note = self._take_back(place, self._earlier.instances(place))
            except (OSError, ValueError) as error:
                outcome = Failed(f"what an earlier run released cannot be taken back: {_cause(error)}")
        if isinstance(outcome, Failed) or is_damaged or not is_whole:
            made = self._earlier.of(place)
            kept = made[0] if len(made) == 1 else None
            self._earlier.touched |= {one.name for one in made}
        reason = f"{outcome.reason}; {note}" if note else outcome.reason
        self._note(place, state_of(outcome), reason, None, seconds)
        if kept is not None:
            self._keep(place, kept)
            self._left.add(kept.name)
        return state_of(outcome), reason

    def _release(self, place: Place, worked: Worked, result: Path, released: Released) -> Told | None:
        item = place.task.items[0]
        if not place.containers and (item.loose or item.containers):  # a project's own file needs none
            return self._note(place, "refused", NO_PLACE)
        chain = self._chain(place, worked)
        destination = Destination(chain, released.name)
        name = name_of(destination.path, chain[-1].origin if chain and self._sink.apart else "")
        if name in self._batch:
            self._bring()
        here = self._state.at(name)
        situation = self._situation(place, worked, destination, here, name)
        if self._batch and here is not None and not situation.mine:  # it may be about to be taken back
            self._bring()
            here = self._state.at(name)
            situation = self._situation(place, worked, destination, here, name)
        verdict = policy.decide(situation, self._job.exists, prune=self._job.prune and self._job.whole)
        if situation.rival:
            self._withdraw_rival(name)
            return self._note(place, "refused", verdict.reason, None, worked.seconds)
        if verdict.act is Act.REFUSE:
            self._earlier.touched |= {one.name for one in self._earlier.of(place, worked.holds)}
            return self._note(place, "refused", verdict.reason, None, worked.seconds)
        if verdict.act is Act.STALE:
            return self._note(place, "skipped", verdict.reason, here)
        try:
            described = self._describe(item)
        except Unfit as error:
            return self.withhold(place, Refused(str(error)), worked.seconds)
        made = self._made(place, worked, released, self._with(worked.trail, described), destination, name)
        if verdict.act is Act.KEEP:
            told = self._kept(place, replace(made, stood=self._sink.stood(destination)), verdict.reason)
            self._stands_below(chain)
            return told
        upload = self._upload(place, made, described, renews=situation.stands is Stands.OURS)
        replaces = verdict.act is Act.REPLACE
        if self._job.dry_run:
            self._state.put(replace(made, standing=True))  # of a ledger in memory
            return self._done(Sent(place, worked, result, destination, upload, made, here, replaces), DRY_RUN)
        self._claim()
        self._batch.add(Sent(place, worked, result, destination, upload, made, here, replaces))
        self._mine[name] = place
        return None

    def _stands_below(self, chain: tuple[Wanted, ...]) -> None:
        """Note that containers hold a file of this run."""
        self.chains[tuple((one.label, one.origin) for one in chain)] = chain
        self.standing.add(tuple(one.label for one in chain))

    def _situation(
        self, place: Place, worked: Worked, destination: Destination, here: Made | None, name: str
    ) -> Situation:
        """Tell what the policy asks."""
        released = worked.outcome
        assert isinstance(released, Released)  # noqa: S101 -- who calls has one
        owner = self._mine.get(name)
        rival = name in self._refused or (owner is not None and owner is not place)
        if self._earlier.by_store:
            there = self._earlier.there(place)
            version = self._version(place.task.items[0])
            if verdict(there, destination.containers, version, self._fingerprint(place)) == policy.UNCHANGED:
                logged = self._has_entry(there)
                return Situation(Stands.OURS, mine=True, rival=rival, same_bytes=True, logged=logged)
            ours = any(one.name == released.name and one.belongs(destination.containers) for one in there)
            stands = Stands.CHANGED if ours else self._foreign(destination)
            return Situation(stands, mine=ours, rival=rival)
        if here is None:
            stands = self._foreign(destination)
            same = stands is Stands.FOREIGN and self._sink.digest(destination) == released.sha256
            return Situation(
                stands, rival=rival, same_bytes=same, logged=self._gate.has_entry(destination.path, released.sha256)
            )
        stands = self._earlier.stands(here)
        return Situation(
            stands,
            mine=self._earlier.same(here, place, worked.holds),
            covered=here.holds <= worked.holds
            or here.holds <= worked.holds | self._earlier.readable
            or here.key != self._key,
            rival=rival,
            same_bytes=stands is Stands.OURS and here.sha256 == released.sha256,
            logged=self._gate.has_entry(here.path, here.sha256),
        )

    def _foreign(self, destination: Destination) -> Stands:
        return Stands.FOREIGN if self._sink.exists(destination) else Stands.NOTHING

    def _bring(self) -> None:
        """Put what is on its way, and note what became of it.

        Raises
        ------
        StopRun
        """
        sent = self._batch.take()
        if not sent:
            return
        try:
            self._batch.bring(sent)
        finally:
            with self._held():
                try:
                    self._batch.settle(sent)
                finally:
                    for one in sent:
                        if one.is_put or one.error is not None:
                            self._say(one.place, self._stand(one))

    def _stand(self, one: Sent) -> Told:
        """Note a result that is in its place, or why it is not."""
        if isinstance(one.error, StopRun):
            why = str(one.error) if isinstance(one.error, LogDown) else NO_MORE
            return self._note(one.place, "failed", why, None, one.worked.seconds)
        try:
            if one.error is not None:
                raise one.error
            note = self._settled(one)
        except (OSError, ValueError) as error:
            if self._mine.get(one.made.name) is one.place:
                del self._mine[one.made.name]
            return self._failed(one.place, one.worked, error)
        return self._done(one, note)

    def _settled(self, one: Sent) -> str:
        """Take back what a result takes the place of; return what has to be said.

        Raises
        ------
        OSError
            That cannot be taken back; a new result is gone again.
        """
        made = one.made
        self._state.stand(made.name, self._sink.stood(one.destination))
        try:
            return self._take_back(one.place, one.worked.holds, made)
        except (OSError, ValueError):
            if not one.replaces:  # of a failure nothing stays, and what stood before does
                self._sink.withdraw(one.destination)
                self._state.drop(made.name)
                self._gate.left([one.upload.log])
            raise

    def _done(self, one: Sent, note: str) -> Told:
        made = one.made
        self._mine[made.name] = one.place
        reason = "; ".join(text for text in (note, made.reason) if text)
        self._note(one.place, "released", reason, made, one.worked.seconds)
        self._stands_below(one.destination.containers)
        return "released", f"{made.path} ({made.members} members)"

    def _kept(self, place: Place, made: Made, reason: str) -> Told:
        """Note a result whose very bytes stand in its place already."""
        if not self._job.dry_run:
            self._claim()
        self._state.put(replace(made, standing=True))
        self._mine[made.name] = place
        note = self._take_back(place, made.holds, made) if not self._job.dry_run else ""
        return self._note(place, "skipped", f"{reason}; {note}" if note else reason, made)

    def _claim(self) -> None:
        """Let the destination tell who wrote to it, before the first file is put."""
        if not self._claimed:
            self._sink.claim(self._identity)
            self._state.claim(self._identity.id)
            self._claimed = True

    # -- what was made before --------------------------------------------------------------------------

    def _take_back(self, place: Place, instances: Iterable[str], new: Made | None = None) -> str:
        """Remove what an earlier run made of the same source under other names; return what has to be said.

        Raises
        ------
        OSError
        """
        if self._earlier.by_store:
            # what is put there takes the place of the others by itself
            for standing in () if new is not None or self._job.dry_run else self._earlier.there(place):
                self._earlier.remove(standing)
            return ""
        note, known = "", frozenset(instances)
        beside = (new.name,) if new is not None else ()
        for made in self._earlier.of(place, known) if self._earlier.names(place, known, beside) else ():
            owner = self._mine.get(made.name)
            is_whole = self._is_refused(made, place) if new is None else made.holds <= known or made.key != new.key
            if (new is not None and made.name == new.name) or not is_whole or owner not in (None, place):
                continue
            if not self._job.dry_run:
                note = self._earlier.take_back(made) or note
        return note

    def _is_refused(self, made: Made, place: Place) -> bool:
        """Tell whether nothing of a file is of another source than what was refused."""
        return made.holds <= self._withheld or set(made.places) <= set(self._earlier.places(place))

    def _withdraw_rival(self, name: str) -> None:
        """Take back what a rival released: neither of two sources with one name is trusted to be the right one."""
        self._bring()
        if name in self._left:
            return  # a failure takes nothing back
        owner = self._mine.pop(name, None)
        if name in self._refused or owner is None:
            return
        made = self._state.at(name)
        if made is not None and not self._job.dry_run and self._earlier.stands(made) is Stands.OURS:
            self._earlier.withdraw(made)
        self._state.drop(name)
        self._refused.add(name)
        self._note(owner, "refused", policy.SAME_NAME)

    # -- small things ----------------------------------------------------------------------------------

    def _fingerprint(self, place: Place) -> str:
        known = place.task.labels, place.task.row
        if known not in self._fingerprints:
            self._fingerprints[known] = self._job.fingerprint(place.task)
        return self._fingerprints[known]

    def _origin(self, *parts: str) -> str:
        return self._job.source.origin(*parts)

    def _version(self, item: Item) -> str:
        return self._origin(item.key or item.id, item.version)

    def _with(self, trail: Trail, described: CleanContainer) -> Trail:
        """Return what was changed in a file and in what the platform knows of it."""
        if not described.edits:
            return trail
        scribe = Scribe(self._job.originals)
        scribe.edits("", described.edits)
        return trail + scribe.end()

    def _chain(self, place: Place, worked: Worked) -> tuple[Wanted, ...]:
        """Return the containers with the acquisition's label decided."""
        if not place.containers or place.containers[-1].label:
            return place.containers
        label = self.labels.get(place.key) or acquisition_label(place, worked.sorting, self._job.keyring)
        if not self._has(place, label):  # a repeat scan: two acquisitions of one description stay two
            label = self._job.keyring.name("acq", place.key)
        self.labels[place.key] = label
        return (*place.containers[:-1], replace(place.containers[-1], label=label))

    def _has(self, place: Place, label: str) -> bool:
        """Tell whether an acquisition may have the label that its header decided: no other of its session has it."""
        if "acquisition" in self._sink.apart:
            return True
        above = "/".join(one.label for one in place.containers[:-1])
        return self._owners.setdefault(same_name_key(f"{above}/{label}"), place.key) == place.key

    def _upload(self, place: Place, made: Made, described: CleanContainer, *, renews: bool) -> Upload:
        item = place.task.items[0]
        return Upload(
            origin=self._origin(item.key or item.id),
            version=self._version(item),
            root=self._origin(),
            older=self._origin(item.id, item.version),
            fingerprint=made.fingerprint,
            members=made.members,
            sha256=made.sha256,
            size=made.size,
            fields=described.fields,
            kind="dicom" if item.kind == "dicom" else "",
            renews=renews,
        )

    def _made(
        self, place: Place, worked: Worked, released: Released, trail: Trail, destination: Destination, name: str
    ) -> Made:
        path = destination.path
        return Made(
            path=path,
            inside=name.partition("\0")[2],
            standing=False,
            fingerprint=self._fingerprint(place),
            key=self._key,
            task=version_of(place.task),
            person=place.task.person or "",
            sha256=released.sha256,
            size=released.bytes_out,
            changes=trail.changes,
            members=released.members,
            seconds=worked.seconds,
            reason=released.reason,
            actions=" ".join(f"{action}={count}" for action, count in sorted(trail.actions.items())),
            unmatched=_listed(released.unmatched),
            sections=" ".join(sorted(released.sections)),
            risks="; ".join(released.risks),
            checked=f"{self._job.verify} strict-rules" if self._job.strict_rules else self._job.verify,
            originals=self._job.originals,
            audit=trail.lines,
            root=self._job.root,
            parts=self._earlier.parts(place),
            holds=worked.holds,
        )

    def _note(self, place: Place, state: str, reason: str, made: Made | None = None, seconds: float = 0.0) -> Told:
        """Write one row per source; of a series the first row carries its sums."""
        name = made.name if made is not None else ""
        if made is not None:
            self._earlier.touched.add(name)
        if not self._job.dry_run and (state == "released" or reason.startswith("unchanged")):
            self._earlier.renewed |= {item.id for item in place.task.items}
        self._state.note(
            Row(
                self._positions[item.id],
                item.id,
                state,
                reason,
                name,
                not number,
                item.size,
                0.0 if number else seconds,
            )
            for number, item in enumerate(place.task.items)
            if item.id in self._positions
        )
        return state, reason


def _size(log: bytes | Path | None) -> int:
    """Return how much the log is to have of a result."""
    return log.stat().st_size if isinstance(log, Path) else len(log or b"")


def _by_rule(outcome: Refused | Skipped | Failed) -> bool:
    """Tell whether a profile or an identity says that nothing of a source may stand: not a machine, nor its kind."""
    return isinstance(outcome, Refused) or (isinstance(outcome, Skipped) and outcome.reason.startswith("excluded"))


@lru_cache(maxsize=64)  # files of one kind lack the same
def _listed(unmatched: frozenset[int]) -> str:
    return " ".join(map(str, sorted(unmatched)))


def _agree(made: Made, containers: Sequence[Wanted]) -> bool:
    """Tell whether a file stands below the labels it belongs below; an undecided one agrees with any."""
    labels = made.path.split("/")[:-1]
    return len(labels) == len(containers) and all(
        not one.label or one.label == label for one, label in zip(containers, labels, strict=True)
    )


def _cause(error: OSError | ValueError) -> str:
    if not isinstance(error, OSError):  # a NUL, or letters that no encoding of the destination has
        return "a name that cannot be written there"
    return error.strerror or str(error) or type(error).__name__
