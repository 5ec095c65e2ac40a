"""An element's steps and its value → what becomes of it, remembered by the value: a series repeats nearly all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import NamedTuple, Protocol

from fw_gear_deid.actions import CARRIED
from fw_gear_deid.actions.ages import TopCode
from fw_gear_deid.actions.clean import Clean
from fw_gear_deid.actions.inner import Zeros
from fw_gear_deid.actions.replace import Replace
from fw_gear_deid.actions.unreadable import EMPTY, instead, told, way_of
from fw_gear_deid.formats import headers
from fw_gear_deid.formats.dicom import values
from fw_gear_deid.formats.dicom.wire import header
from fw_gear_deid.model.action import Action, At, Draw, Emptied, Gone, Texts
from fw_gear_deid.model.action import Result as Made
from fw_gear_deid.model.dictionary import BINARY_VRS, CHARSET_VRS, keyword_of, private_vr, public_vr
from fw_gear_deid.model.errors import Unfit, Unreadable
from fw_gear_deid.model.headers import kind_of
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.model.selectors import PrivateAt, RegexAt
from fw_gear_deid.plan import kept
from fw_gear_deid.plan.places import GOES, SIGNED, Act, Kind, Rank, Step
from fw_gear_deid.profile.compiled import Rule

ABSENT = "{path} is absent, and no dictionary knows a VR to create it with; set replace-with-insert: false"
_VALUE_MAX = 4096  # bytes; longer ones are not remembered
_RESULTS_BYTES, _RESULT = 1 << 20, 512  # of all that is remembered, and of one result besides its values
_ONCE_MAX = 1_000


class Result(NamedTuple):
    """What becomes of one value.

    Attributes
    ----------
    new : bytes or None
        The element as it will stand; empty: it is gone; None: as it was.
    value : bytes or None
        Its value afterwards; None where it is absent.
    vr : str
        VR of that value.
    edit : Edit or None
        The audit's row; its path is that of the element in its data set.
    rank : int
        Of the step that changed it first.
    flat : bool
        That step's rule goes by paths over the whole file, not data set by data set.
    matched : frozenset of int
        Rules that found it.
    """

    new: bytes | None
    value: bytes | None
    vr: str
    edit: Edit | None
    rank: int
    flat: bool
    matched: frozenset[int]


class Problem(Exception):
    """A step cannot be carried out; ``text`` has ``{path}`` where the element's path goes."""

    def __init__(self, rank: int, label: str, text: str) -> None:
        super().__init__()
        self.rank = rank
        self.label = label
        self.text = text


class File(Protocol):
    """The file at hand, for what goes by more than one value."""

    def read(self, name: str, rank: int) -> str:
        """Return the text of another field before a step."""
        ...

    def ages(self) -> str:
        """Return PatientAge by the dates as they came, empty where they do not say."""
        ...

    def cleaning(self) -> Callable[[str], str]:
        """Return how its texts are cleaned."""
        ...

    def clean(self, text: str) -> str:
        """Return a text without what rules take away elsewhere in the file, and without what patterns find."""
        ...

    def sync(self) -> bytes | None:
        """Return the SOPInstanceUID as it will stand, None when there is none."""
        ...


@dataclass(slots=True)
class Surroundings:
    """What besides its own bytes decides on a value.

    Attributes
    ----------
    encodings : tuple of str
        Text codecs of the data set.
    draw : Draw or None
        Of the person at hand; None where nothing is drawn.
    today : date
    file : File
        The one at hand; results that depend on it are not remembered.
    """

    encodings: tuple[str, ...]
    draw: Draw | None
    today: date
    file: File | None = None

    def at(self, vr: str, rank: int) -> At:
        """Return the surroundings of a value before a step."""
        assert self.draw is not None  # noqa: S101 -- actions run where somebody is at hand
        return At(
            vr, self.draw, self.today, lambda name: self.here.read(name, rank), lambda text: self.here.clean(text)
        )

    @property
    def here(self) -> File:
        """The file at hand."""
        assert self.file is not None  # noqa: S101 -- set before each file
        return self.file


class Chain:
    """One element's way through its steps.

    Raises
    ------
    Problem
        A step cannot be carried out.
    """

    __slots__ = ("_act", "_first", "_label", "_matched", "_raw", "_vr", "_wire", "_world", "value")

    def __init__(self, act: Act, raw: bytes | None, world: Surroundings) -> None:
        self._act = act
        self._raw = raw
        self._world = world
        self.value = raw
        self._vr = act.rule_vr
        self._wire = act.wire
        self._first: tuple[Step, str] | None = None
        self._label = ("", "")
        self._matched: set[int] = set()

    def run(self, until: int = Rank.NEVER) -> Result:
        """Carry out the steps before a rank."""
        for step in self._act.steps:
            if step.rank >= until:
                break
            try:
                self._step(step)
            except Unfit as error:
                rule = step.rule
                raise Problem(step.rank, f"{rule.label} {rule.action.key}: " if rule else "", str(error)) from None
        return self._result()

    def _step(self, step: Step) -> None:
        match step.kind:
            case Kind.REMOVE:
                self._remove(step, "remove")
            case Kind.SIGN:
                vr, text = SIGNED[self._act.tag]
                self._put(step, vr, (text,), "replace-with")
            case Kind.AGE:
                text = self._world.here.ages()
                if text:
                    self._put(step, "AS", (text,), step.label)
                if self._act.place.plan.section.table is not None:
                    self._cap(step)
            case Kind.PARSE:
                self._parse(step)
            case Kind.RULE:
                self._rule(step)
            case Kind.INSTANCE:
                self._protect(step)
            case Kind.SYNC:
                self._sync(step)

    def _cap(self, step: Step) -> None:
        """Let no age be told that is above 89 years: what the option names the table does not see."""
        texts = () if self.value is None else self._texts("AS")
        capped = TopCode(step.label, EMPTY)(texts, self._world.at("AS", step.rank)) if texts else texts
        if not isinstance(capped, Gone) and capped != texts:
            self._put(step, "AS", capped, step.label)

    def _parse(self, step: Step) -> None:
        """Let what the program keeps by itself be its value and nothing else."""
        if self.value is None:
            return
        value = kept.parsed(self._act.tag, self.value, little=self._little())
        if value is not None:
            self._put_raw(step, self._vr, value, "replace-with")
        else:
            self._remove(step, "remove")

    def _rule(self, step: Step) -> None:
        rule = step.rule
        assert rule is not None  # noqa: S101 -- of this kind of step
        action = rule.action
        if self.value is None:
            if rule.insert and self._act.place.creates(rule.selector):
                self._matched.add(rule.index)
                self._create(step, rule, action)
            return
        self._matched.add(rule.index)
        if action.key == "keep":
            return
        if action.key in GOES:
            self._remove(step, action.key)
            return
        vr = self._vr
        if isinstance(action, Zeros):
            self._put_raw(step, vr, b"\0\0" if self.value else b"", action.key)
            return
        if isinstance(action, Replace) and not action.append:
            self._put(step, vr, action.values, action.key)
            return
        if isinstance(action, Clean) and (kind := kind_of(self._act.creator, self._act.tag)):
            self._clean_header(step, kind, action)
            return
        try:
            texts, result = self._made(step, vr, action)
        except Unfit as error:
            raise Unfit(f"{{path}} {vr}: {error}") from None
        if isinstance(result, Gone):
            self._remove(step, told(action, result))
        elif isinstance(result, Emptied) or result != texts:
            self._put(step, vr, result, told(action, result))

    def _clean_header(self, step: Step, kind: str, action: Action) -> None:
        """Clean a private header of what converters do not read; one that cannot be read goes."""
        assert self.value is not None  # noqa: S101 -- asked for what is there
        try:
            new = headers.cleaned(self.value, kind, self._world.here.cleaning())
        except Unreadable:
            self._remove(step, told(action, Gone.UNREADABLE))
            return
        self._put_raw(step, self._vr, new + b"\0" * (len(new) % 2), action.key)

    def _made(self, step: Step, vr: str, action: Action) -> tuple[Texts, Made]:
        """Return the texts of the value, and what an action makes of them; bytes that are no text are digested."""
        try:
            texts = self._texts(vr)
        except Unreadable as error:
            if not CARRIED[action.key].digest:
                return (), instead(way_of(action), error)
            if vr not in CHARSET_VRS or self.value is None:
                raise
            texts = values.as_bytes(self.value, vr)
        at = self._world.at(self._act.kind if step.general else vr, step.rank)
        return texts, action(texts, at)

    def _create(self, step: Step, rule: Rule, action: Action) -> None:
        act = self._act
        named = rule.selector if isinstance(rule.selector, PrivateAt) else None  # a bare number tells no creator
        vr = public_vr(act.tag) if named is None else private_vr(act.tag, named.creator)
        if vr is None or vr == "UN":
            raise Unfit(ABSENT)
        assert isinstance(action, Replace)  # noqa: S101 -- only replace-with inserts
        self._put(step, vr, action.values, action.key)

    def _protect(self, step: Step) -> None:
        """Replace a SOPInstanceUID that would be gone by its hashuid."""
        if self._raw is None:
            return
        places = self._act.place.plan
        listed = places.names_instance or not places.section.remove_undefined
        original = self.shown(self._raw, "UI", ",")
        if original and (not listed or self.value is None or not self.shown(self.value, "UI", ",")):
            self._put(step, "UI", self._hashed((original,)), "hashuid")

    def _sync(self, step: Step) -> None:
        """Let MediaStorageSOPInstanceUID follow SOPInstanceUID (PS3.10 §7.1)."""
        raw = self._world.here.sync()
        places = self._act.place.plan
        if raw is None and self.value is not None and (places.names_instance or places.section.remove_undefined):
            raw = values.encode(self._hashed(self._texts("UI")), "UI", (), little=True)
        if raw is not None:
            self._put_raw(step, "UI", kept.uid(raw) or raw, "replace-with")

    def _hashed(self, texts: tuple[str, ...]) -> tuple[str, ...]:
        result = self._act.place.plan.section.uid(texts, self._world.at("UI", Rank.NEVER))
        return () if isinstance(result, Gone) else result

    def _little(self) -> bool:
        return self._act.place.encoding.little or (self._wire == "UN" and self.value is not None)

    def _texts(self, vr: str) -> tuple[str, ...]:
        assert self.value is not None  # noqa: S101 -- asked for what is there
        return values.decode(self.value, vr, self._world.encodings, little=self._little())

    def _put(self, step: Step, vr: str, texts: tuple[str, ...], action: str) -> None:
        if vr == "SQ":
            if any(texts):
                raise Unfit("{path}: a sequence cannot take a value")
            self._put_raw(step, vr, b"", action)
            return
        try:
            raw = values.encode(texts, vr, self._world.encodings, little=self._little())
        except Unfit as error:
            raise Unfit(f"{{path}} {vr}: {error}") from None
        self._put_raw(step, vr, raw, action)

    def _put_raw(self, step: Step, vr: str, raw: bytes, action: str) -> None:
        if self.value == raw and vr != "SQ":
            return
        self._note(step, vr, action)
        if self.value is None:
            self._vr = self._wire = vr
        self.value = raw

    def _remove(self, step: Step, action: str) -> None:
        if self.value is not None:
            self._note(step, self._act.vr, action)
            self.value = None

    def _note(self, step: Step, vr: str, action: str) -> None:
        if self._first is None:
            self._first = step, vr
        self._label = action, step.label

    def _result(self) -> Result:
        act, raw, value = self._act, self._raw, self.value
        matched = frozenset(self._matched)
        if self._first is None or (value == raw and act.rule_vr != "SQ"):
            return Result(None, value, self._vr, None, 0, False, matched)
        step, vr = self._first
        new = b"" if value is None else header(act.tag, self._wire, act.place.encoding, len(value)) + value
        action, label = self._label
        before = "" if raw is None else self.shown(raw, vr)
        after = "" if value is None else "<0 items>" if self._vr == "SQ" else self.shown(value, self._vr)
        edit = Edit(act.here, keyword_of(act.tag), vr, action, label, before, after)
        return Result(new, value, self._vr, edit, step.rank, _is_flat(step), matched)

    def shown(self, raw: bytes, vr: str, separator: str = "\\") -> str:
        """Return values as a person reads them: joined by a backslash, bytes by their number."""
        if vr in BINARY_VRS and vr != "UN":
            return f"<{len(raw)} bytes>"
        try:
            return separator.join(values.decode(raw, vr, self._world.encodings, little=self._little()))
        except Unfit:
            return f"<{len(raw)} bytes>"


def _is_flat(step: Step) -> bool:
    return step.rule is not None and isinstance(step.rule.selector, RegexAt)


class Memory:
    """Results by element and value, of those that come again, as long as the surroundings are the same."""

    __slots__ = ("_once", "_results", "_size", "world")

    def __init__(self, world: Surroundings) -> None:
        self.world = world
        self._results: dict[tuple[Act, bytes | int | None], Result] = {}
        self._size = 0
        self._once: set[int] = set()
        """Hashes of what came once: most of that is a file's own."""

    def result(self, act: Act, raw: bytes | None, until: int = Rank.NEVER) -> Result:
        """Return what becomes of a value.

        Raises
        ------
        Problem
        """
        key = act, raw
        known = self._results.get(key)
        if known is None or until != Rank.NEVER:
            known = Chain(act, raw, self.world).run(until)
            if until == Rank.NEVER and not act.depends and (raw is None or len(raw) <= _VALUE_MAX):
                self._keep(key, known)
        return known

    def gone(self, act: Act, length: int) -> Result:
        """Return what becomes of a value that is removed unread."""
        key = act, length
        known = self._results.get(key)
        if known is None:
            step = act.steps[0]
            edit = Edit(act.here, keyword_of(act.tag), act.vr, "remove", step.label, f"<{length} bytes>", "")
            matched = frozenset() if step.rule is None else frozenset({step.rule.index})
            known = Result(b"", None, act.vr, edit, step.rank, _is_flat(step), matched)
            self._keep(key, known)
        return known

    def _keep(self, key: tuple[Act, bytes | int | None], result: Result) -> None:
        mark = hash(key)
        if mark not in self._once:
            if len(self._once) >= _ONCE_MAX:
                self._once.clear()
            self._once.add(mark)
            return
        self._size += _RESULT + sum(map(len, filter(None, (result.new, result.value))))
        if self._size > _RESULTS_BYTES:
            self._results.clear()
            self._size = 0
        self._results[key] = result


@lru_cache(maxsize=256)  # slices of one visit follow one another
def age_of(born: str, studied: str, form: str, units: str) -> str:
    """Return PatientAge by two dates; empty where they do not say (profile language §6.5)."""
    try:
        first, second = (datetime.strptime(text, form).date() for text in (born, studied))  # noqa: DTZ007 -- days
    except ValueError:
        return ""
    return "" if second < first else age_text(first, second, units)


def age_text(born: date, studied: date, units: str) -> str:
    """Return an AS value: the first of days, months, years from ``units`` on that is below 960.

    >>> age_text(date(1954, 12, 15), date(2020, 2, 29), "")
    '782M'
    """
    months = (studied.year - born.year) * 12 + studied.month - born.month - (studied.day < born.day)
    candidates = [("D", (studied - born).days), ("M", months), ("Y", months // 12)]
    start = "DMY".index(units) if units else 0
    for unit, number in candidates[start:]:
        if number < 960:
            return f"{number:03d}{unit}"
    return "960Y"
