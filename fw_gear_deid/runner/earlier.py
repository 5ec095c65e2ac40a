"""What runs have made of each source, whether it still stands, and what stands there of no source any more."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING

from fw_gear_deid.ledger.state import Made, State
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.ports import LEVELS, Destination, Standing, Wanted
from fw_gear_deid.model.seen import Seen
from fw_gear_deid.runner import policy
from fw_gear_deid.runner.gate import Gate
from fw_gear_deid.runner.plan import Place
from fw_gear_deid.runner.policy import Stands
from fw_gear_deid.runner.sieve import BY_ONLY

if TYPE_CHECKING:
    from fw_gear_deid.runner.run import Job

_CHANGED = "it is not as this program left it: it stays"
_STAYS = "what stands under its former name is not as this program left it: it stays"


@frozen
class Orphan:
    """A file at the destination whose source this run did not see.

    Attributes
    ----------
    source : str
        Where that lay.
    path : str
    prune : callable
        Takes it back; returns why it stays, or nothing.
    """

    source: str
    path: str
    prune: Callable[[], str]


class Earlier:
    """The ledger and the destination, asked by source.

    Parameters
    ----------
    job : Job
    state : State
    seen : mapping
        Source → what a look found in it.
    copies : collection of str
        Sources that are copies of others.
    gate : Gate
        Told what is taken back.

    Attributes
    ----------
    by_store : bool
        The store itself tells what was made of a source, wherever a run comes from.
    settled : set of str
        Sources that can have no earlier result any more: refused.
    renewed : set of str
        Sources whose result stands as it should: what else was made of them is older.
    touched : set of str
        ``Made.name`` of what this run has made, found in order, or left on purpose.
    """

    def __init__(self, job: Job, state: State, seen: Mapping[str, Seen], copies: Collection[str], gate: Gate) -> None:
        self._job = job
        self._gate = gate
        self._sink = job.sink
        self._state = state
        self._seen = seen
        self._copies = copies
        self._key = job.keyring.fingerprint()
        self._foreseen: dict[int, list[Made]] = {}
        """Number of a task → what may have been made of it."""
        self._listed = {job.source.place(item): item for item in job.items}
        self.by_store = job.sink.remembers and bool(job.source.origin())
        self.settled: set[str] = set()
        self.renewed: set[str] = set()
        self.touched: set[str] = set()

    # -- of a source -----------------------------------------------------------------------------------

    def places(self, place: Place) -> tuple[str, ...]:
        """Return where the files of a task lie."""
        return tuple(self._job.source.place(item) for item in place.task.items)

    def parts(self, place: Place) -> tuple[tuple[str, str], ...]:
        """Return where the files of a task lie, each with its version."""
        return tuple((self._job.source.place(item), item.version) for item in place.task.items)

    def instances(self, place: Place) -> frozenset[str]:
        """Return what looks at the source found in it; of an archive the first instance."""
        found = (self._seen.get(item.id) for item in place.task.items)
        return frozenset(one.instance for one in found if one is not None and one.instance)

    @cached_property
    def readable(self) -> frozenset[str]:
        """Return the instances of this run's sources, of archives the first ones."""
        found = (self._seen.get(item.id) for item in self._job.items if not item.problem)
        return frozenset(one.instance for one in found if one is not None and one.instance)

    def of(self, place: Place, instances: frozenset[str] = frozenset()) -> list[Made]:
        """Return what earlier runs, or this one, made of the same source."""
        known = self.instances(place) | instances
        places = self.places(place)
        if place.task.number in self._foreseen and not instances:
            found = self._foreseen[place.task.number]
        else:
            found = self._state.of(places, known)
        mine = set(places)
        return [made for made in found if self.same(made, place, known) and not self._has_source(made, mine)]

    def names(self, place: Place, instances: frozenset[str] = frozenset(), beside: Collection[str] = ()) -> bool:
        """Tell whether ``of`` may return anything beside some ``Made.name``."""
        known = self.instances(place) | instances
        return not self._state.names_of(self.places(place), known) <= set(beside)

    def foresee(self, places: Sequence[Place]) -> None:
        """Ask the ledger for what was made of many sources at once; it holds until something is written."""
        wanted: dict[str, list[int]] = defaultdict(list)
        for one in places:
            for key in (*self.places(one), *self.instances(one)):
                wanted[key].append(one.task.number)
        found: dict[int, dict[str, Made]] = {one.task.number: {} for one in places}
        instances = {key for one in places for key in self.instances(one)}
        for made in self._state.of([key for key in wanted if key not in instances], instances):
            for key in (*made.places, *made.holds):
                for number in wanted.get(key, ()):
                    found[number][made.name] = made
        self._foreseen = {number: list(its.values()) for number, its in found.items()}

    def move(self, made: Made, place: Place) -> None:
        """Note that what was made stands for source files that lie elsewhere now."""
        self._state.move(made.name, self.parts(place))
        self._foreseen = {}

    def same(self, made: Made, place: Place, instances: frozenset[str]) -> bool:
        """Tell whether a file was made of a source, which holds these instances."""
        if made.key != self._key:  # sealed by another key: nothing but bytes can be compared
            return set(made.parts) <= set(self.parts(place))
        return policy.same_source(made, self.places(place), instances, place.task.person or "")

    def stands(self, made: Made) -> Stands:
        """Look at the destination for what was made."""
        destination = destination_of(made)
        stood = self._sink.stood(destination)
        if not stood:
            return Stands.NOTHING
        if made.standing and stood == made.stood and not self._job.check:
            return Stands.OURS
        return Stands.OURS if self._sink.digest(destination) == made.sha256 else Stands.CHANGED

    def take_back(self, made: Made) -> str:
        """Remove what was made, unless somebody has changed it since, and forget it; return why it stays, or nothing.

        Raises
        ------
        OSError
        """
        stands = self.stands(made)
        if stands is Stands.OURS:
            self.withdraw(made)
        self._state.drop(made.name)
        self._foreseen = {}
        return _STAYS if stands is Stands.CHANGED else ""

    def withdraw(self, made: Made) -> None:
        """Take a file away, and let the log know.

        Raises
        ------
        OSError
        """
        destination = destination_of(made)
        gone = self._gate.leaving(destination)
        self._sink.withdraw(destination)
        gone()

    def remove(self, standing: Standing) -> None:
        """Take away a file that the store knows, and let the log know.

        Raises
        ------
        OSError
        """
        self._sink.remove(standing)
        self._gate.left([standing.log])

    def there(self, place: Place) -> Sequence[Standing]:
        """Return what the destination holds of a file of the source, where it knows that."""
        if place.task.series or not self.by_store:
            return ()
        item = place.task.items[0]
        return self._sink.earlier(self._origin(item.key or item.id), self._origin(item.id, item.version))

    # -- of no source ----------------------------------------------------------------------------------

    def orphans(self, *, whole: bool) -> Iterator[Orphan]:
        """Yield what stands at the destination of sources that this run did not see; call after the last task.

        Parameters
        ----------
        whole : bool
            The run saw a whole project: of a part of one a platform cannot tell what is gone.
        """
        on_platform = bool(self._job.source.origin())
        if on_platform and not whole:
            return
        if self.by_store:
            yield from self._orphans_there()
            return
        left_out = {
            one.instance for item in self._job.items if item.problem == BY_ONLY and (one := self._seen.get(item.id))
        }
        for made in self._state.all_made(self.touched):
            if on_platform and made.root != self._job.root:
                continue  # of another project
            is_here = self._has_source(made) or not made.holds.isdisjoint(left_out)
            if not is_here and self.stands(made) is not Stands.NOTHING:
                yield Orphan(made.places[0] if made.parts else "", made.path, partial(self._prune, made))

    def _prune(self, made: Made) -> str:
        """Take back what has no source; what somebody has changed stays known, and is told again by the next run."""
        return _CHANGED if self.stands(made) is Stands.CHANGED else self.take_back(made)

    def _orphans_there(self) -> Iterator[Orphan]:
        listed = {self._origin(item.key or item.id) for item in self._job.items}
        for standing in list(self._sink.standing()):
            if standing.root == self._origin() and standing.origin not in listed:
                yield Orphan("", standing.path, partial(self._remove, standing))

    def _remove(self, standing: Standing) -> str:
        if not standing.whole:  # somebody has put a version on top
            return _CHANGED
        self.remove(standing)
        return ""

    def _has_source(self, made: Made, mine: Collection[str] = ()) -> bool:
        """Tell whether a source of it, beside some, is in the listing, and holds what it held or cannot be asked."""
        for part in made.places:
            item = self._listed.get(part)
            if (
                item is None
                or part in mine
                or item.id in self._copies
                or item.id in (self.settled if mine else self.renewed)
            ):
                continue
            seen = self._seen.get(item.id)
            if item.problem or seen is None or not seen.instance or seen.instance in made.holds:
                return True
        return False

    def _origin(self, *parts: str) -> str:
        return self._job.source.origin(*parts)


def destination_of(made: Made) -> Destination:
    """Return where a file stands by its row in the ledger."""
    folder, _, name = made.path.rpartition("/")
    return Destination(_chain(folder, made.inside), name)


@lru_cache(maxsize=256)
def _chain(folder: str, inside: str) -> tuple[Wanted, ...]:
    wanted = [Wanted(level, label) for level, label in zip(LEVELS, folder.split("/") if folder else (), strict=False)]
    if inside:
        wanted[-1] = replace(wanted[-1], origin=inside)
    return tuple(wanted)
