"""A platform's container and its rules → the metadata that may travel, and what became of the rest. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date
from hashlib import sha256

from fw_gear_deid.actions import Keep, Remove, Replace
from fw_gear_deid.actions.cleaning import Fact
from fw_gear_deid.deid.cleaning import cleaning_of, facts_of
from fw_gear_deid.deid.leaves import changed, constant, joined, shown, size
from fw_gear_deid.formats.record import Path, Record, dotted
from fw_gear_deid.model.action import Action, At, Draw, Gone
from fw_gear_deid.model.container import DATED, EDITABLE, NEVER, ContainerRecord, Json, fit
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.outcome import Always, Edit
from fw_gear_deid.model.selectors import KeyAt, KeysAt
from fw_gear_deid.profile.compiled import FlywheelSection, KeyRule, LevelRules

LABEL_MAX = 64  # characters that the platform takes
_DIGEST = 12  # hexadecimal digits that tell longer labels apart: 48 bits
_LABEL: Path = ("label",)
_WHO = ("label", "code", "firstname", "lastname", "date_of_birth", "operator")
"""Keys of subjects and sessions that tell of somebody."""


@frozen
class CleanContainer:
    """What of a container may travel.

    Attributes
    ----------
    label : str or None
        None when no rule lets one travel: the caller makes a pseudonym, and notes it.
    fields : dict
        Key → value as the platform takes it, without the label.
    edits : tuple of Edit
        What was changed, removed, or left behind for want of a rule.
    """

    label: str | None
    fields: dict[str, Json]
    edits: tuple[Edit, ...]


def deidentify_container(
    record: ContainerRecord, section: FlywheelSection | None, draw: Draw, today: date
) -> CleanContainer:
    """De-identify the metadata of one container or file: without a rule, nothing travels.

    Parameters
    ----------
    record : ContainerRecord
    section : FlywheelSection or None
    draw : Draw
        Of the subject that the container belongs to, as for its files: dates move alike.
    today : date
        Day of the run.

    Raises
    ------
    Unfit
        A rule cannot be carried out, or the platform would not take the result; the message quotes no value.
    """
    rules = section.levels.get(record.level) if section is not None else None
    if rules is None:
        return CleanContainer(None, {}, tuple(_left_behind(record, {}, {}, {})))
    work = _Work(record, rules, draw, today)
    work.open()
    if any(rule.action.key == "clean" for rule in rules.rules):
        work.clean = cleaning_of(_facts(record, rules, draw, today)).clean
    for rule in rules.rules:
        work.carry_out(rule)
    if rules.all:
        work.let_all_travel()
    return work.finish()


def _facts(record: ContainerRecord, rules: LevelRules, draw: Draw, today: date) -> tuple[Fact, ...]:
    """Return what tells of the patient: names and labels of a container and around it, and what other rules change."""
    first = _Work(
        record, replace(rules, rules=tuple(one for one in rules.rules if one.action.key != "clean")), draw, today
    )
    first.open()
    for rule in first.rules.rules:
        first.carry_out(rule)
    around = [fields for level, fields in record.parents.items() if level in ("subject", "session")]
    around += [record.fields] if record.level in ("subject", "session") else []
    telling = (fields.get(key) for fields in around for key in _WHO)
    edits = first.finish().edits
    return facts_of(edits, telling=(one for one in telling if isinstance(one, str) and one))


def fit_label(text: str) -> str:
    """Return a label that the platform takes: no slash, at most 64 characters, and longer ones still different.

    >>> fit_label(" a/b ")
    'a_b'
    >>> fit_label("x" * 65)[-20:]
    'xxxxxxx-9537c5fdf120'
    """
    whole = text.strip()
    label = "".join("_" if char == "/" or unicodedata.category(char) == "Cc" else char for char in whole)
    if len(label) <= LABEL_MAX:
        return label
    digest = sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGEST]
    return f"{label[: LABEL_MAX - _DIGEST - 1]}-{digest}"


@frozen
class _Change:
    """What the last rule did to one value, and what that was in the beginning."""

    action: str
    rule: str
    before: str


@dataclass(slots=True)
class _Work:
    """A container while its rules run."""

    record: ContainerRecord
    rules: LevelRules
    draw: Draw
    today: date
    tree: Record = field(default_factory=lambda: Record({}))
    travels: set[Path] = field(default_factory=set)
    changes: dict[Path, _Change] = field(default_factory=dict)
    clean: Callable[[str], str] | None = None

    def open(self) -> None:
        """Take the part of the container that rules can reach, without what never travels."""
        selectors = [rule.selector for rule in self.rules.rules]
        keys = [one for one in selectors if isinstance(one, KeyAt)] + [key for _, key in self.rules.references]
        reached = {key.path.split(key.separator)[0] for key in keys}
        everything = self.rules.all or len(selectors) > sum(isinstance(one, KeyAt) for one in selectors)
        fields = dict(self.record.fields) | ({"label": self.record.label} if self.record.label else {})
        opened: dict[str, object] = {}
        for key in EDITABLE[self.record.level]:
            if fields.get(key) is not None and (everything or key in reached):
                with self._at((key,)):
                    opened[key] = Record(fields[key]).get(())
        self.tree = Record(opened)
        denied: list[Path] = [("info", "export")]
        if self.record.level == "file" and not self.rules.include_info_header:
            denied.append(("info", "header"))
        for path in denied:
            self._remove(path, "remove", Always.CONTAINER.value)

    def carry_out(self, rule: KeyRule) -> None:
        """Run one rule on every place that it points at."""
        by_name = isinstance(rule.selector, KeyAt)
        places = self._places(rule.selector)
        for path in places:
            self._act(path, rule.action, rule.label, whole=by_name)
        if places or not rule.insert or not isinstance(rule.selector, KeyAt) or not isinstance(rule.action, Replace):
            return
        with self._at((rule.selector.path,), rule.action, rule.label):
            path = self.tree.create(rule.selector.path, constant(rule.action), rule.selector.separator)
        self.changes[path] = _Change(rule.action.key, rule.label, "")
        self.travels.add(path)

    def let_all_travel(self) -> None:
        """Let everything travel that is still there; dates that no rule named move like those in the files."""
        for key in EDITABLE[self.record.level]:
            path: Path = (key,)
            ruled = path in self.travels or path in self.changes
            if key in DATED and not ruled and self.rules.moves is not None:
                self._act(path, self.rules.moves, Always.CONTAINER_DATES.value, whole=True)
            if (self.record.level, key) != ("file", "tags"):  # these need a rule of their own
                self.travels.add(path)

    def finish(self) -> CleanContainer:
        """Bring what travels into the form that the platform takes, and list the edits."""
        picked, left = self.tree.pick(self.travels), self.tree.get(())
        chosen = picked if isinstance(picked, dict) else {}
        fields: dict[str, Json] = {}
        for key, value in chosen.items():
            with self._at((key,)):
                fitting = fit(self.record.level, key, value)
            if fitting is not None:
                fields[key] = fitting
        label = self._label(fields.pop("label", None))
        behind = _left_behind(self.record, chosen, left if isinstance(left, dict) else {}, self.changes)
        return CleanContainer(label, fields, (*self._edits(label), *behind))

    def _places(self, selector: KeyAt | KeysAt) -> list[Path]:
        match selector:
            case KeyAt(name, separator):
                return self.tree.find(name, separator)
            case KeysAt(pattern, separator):
                found = [path for path in self.tree.paths() if pattern.match(dotted(path, separator))]
                # a group stands for itself and for the values in it, each of them once
                return list(dict.fromkeys(one for path in found for one in (path, *self.tree.leaves(path))))

    def _act(self, path: Path, action: Action, rule: str, *, whole: bool) -> None:
        """Run an action on a value.

        Parameters
        ----------
        whole : bool
            A group is meant with all that is in it; else what is in it has its own turn.
        """
        if isinstance(self.tree.get(path), Gone):  # an earlier place of the same rule held it
            return
        if isinstance(action, Remove):
            self._remove(path, action.key, rule)
            return
        self.travels.add(path)
        group = self.tree.is_group(path)
        if isinstance(action, Replace) and (whole or not group):
            self._note(path, action.key, rule)
            self.tree.put(path, constant(action))
        elif not isinstance(action, Keep | Replace):
            for leaf in self.tree.leaves(path) if whole or not group else ():
                self._change(leaf, action, rule)

    def _change(self, path: Path, action: Action, rule: str) -> None:
        value = self.tree.get(path)
        if value is None or isinstance(value, Gone):
            return
        at = At("UT", self.draw, self.today, self._read)  # a VR in which commas and backslashes are text
        if self.clean is not None:
            at = replace(at, clean=self.clean)
        with self._at(path, action, rule):
            result, word = changed(value, action, at, is_moment=_is_moment(path))
        if isinstance(result, Gone):
            self._remove(path, word, rule)
        elif result != value:
            self._note(path, word, rule)
            self.tree.put(path, result)

    def _remove(self, path: Path, action: str, rule: str) -> None:
        self._note(path, action, rule)
        self.tree.remove(path)

    def _note(self, path: Path, action: str, rule: str) -> None:
        earlier = self.changes.get(path)
        before = earlier.before if earlier is not None else shown(self.tree.get(path))
        self.changes[path] = _Change(action, rule, before)

    def _read(self, name: str) -> str:
        """Return another field's text, of this container or one above; empty when absent."""
        key = dict(self.rules.references)[name]
        first, _, rest = key.path.partition(key.separator)
        if first in EDITABLE[self.record.level]:
            return joined(self.tree, key.path, key.separator, is_moment=_is_moment((key.path,)))
        top = rest.partition(key.separator)[0]
        above = Record({top: self.record.parents.get(first, {}).get(top)})
        return joined(above, rest, key.separator, is_moment=_is_moment((rest,)))

    def _label(self, value: Json) -> str | None:
        if not isinstance(value, str):
            return None
        label = fit_label(value)
        if label != value and _LABEL not in self.changes:
            self.changes[_LABEL] = _Change("replace-with", Always.CONTAINER_LABEL.value, value)
        return label or None

    def _edits(self, label: str | None) -> Iterator[Edit]:
        for path, change in self.changes.items():
            after = label or "" if path == _LABEL else shown(self.tree.get(path))
            if change.before != after:
                yield _edit(self.record.level, dotted(path), change, after)

    @contextmanager
    def _at(self, path: Path, action: Action | None = None, rule: str = "") -> Iterator[None]:
        """Put rule and place in front of what is wrong there."""
        try:
            yield
        except Unfit as error:
            who = f"{rule} {action.key}: " if action is not None else ""
            place = f"container {self.record.level}.{dotted(path, self.rules.separator)}"
            raise Unfit(f"{who}{place}: {error}") from None


def _is_moment(path: Path) -> bool:
    return len(path) == 1 and path[0] in DATED


def _left_behind(
    record: ContainerRecord, chosen: Mapping[str, Json], left: Mapping[str, Json], changes: Mapping[Path, _Change]
) -> Iterator[Edit]:
    """Note keys with a value of which nothing, or not all, travels although no rule removed it.

    Parameters
    ----------
    chosen : mapping
        What travels.
    left : mapping
        What is there after the rules, as far as they reached.
    """
    for key in (*EDITABLE[record.level], *NEVER):
        value, rest = record.fields.get(key), left.get(key)
        by_rule = (key,) in changes or (key in left and not shown(rest))
        if key == "label" or not shown(value):
            continue
        change = _Change("remove", Always.CONTAINER.value, shown(value))
        if key not in chosen:
            if not by_rule:
                yield _edit(record.level, key, change, "")
        elif (number := _number(rest)) > (stay := _number(chosen[key])):
            yield _edit(record.level, key, _Change(change.action, change.rule, size(number)), size(stay))


def _number(value: Json) -> int:
    return len(Record(value).leaves())


def _edit(level: str, name: str, change: _Change, after: str) -> Edit:
    return Edit(f"container {level}.{name}", "", "", change.action, change.rule, change.before, after)
