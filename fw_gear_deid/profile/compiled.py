"""What a profile means, compiled: sections, rules in the order they run, names (picklable)."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace

from fw_gear_deid.actions import Decrypt, Encrypt
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.row import Options
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.boxes import Box
from fw_gear_deid.model.container import LEVELS
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.locks import Lock
from fw_gear_deid.model.patterns import Pattern
from fw_gear_deid.model.ruling import Table
from fw_gear_deid.model.selectors import AnySelector, KeyAt, KeysAt, PrivateAt, Selector, TagAt
from fw_gear_deid.profile.language.conditions import When
from fw_gear_deid.profile.text.problems import Problem

NO_LOCK = Lock()


@frozen
class Rule:
    """One entry of ``fields``.

    Attributes
    ----------
    selector : Selector
    action : Action
    name : str
        As written.
    label : str
        ``site.yaml:31``, for the audit.
    index : int
        Position in the order of execution; stands for the rule in reports.
    insert : bool
        May create what is absent.
    """

    selector: Selector
    action: Action
    name: str
    label: str
    index: int
    insert: bool


@frozen
class FileMatch:
    """Which files a section takes (profile language §2.1).

    Attributes
    ----------
    key : str
        Of the section, and of its format in the table.
    globs : tuple of str
    patterns : tuple of re.Pattern
    enforce : bool
        Its content makes no file one of the section.
    """

    key: str
    globs: tuple[str, ...]
    patterns: tuple[Pattern, ...]
    enforce: bool

    def by_name(self, name: str) -> bool:
        """Tell whether the base name passes the filter."""
        return any(fnmatch.fnmatchcase(name, glob) for glob in self.globs) or any(
            pattern.fullmatch(name) for pattern in self.patterns
        )

    def by_content(self, head: bytes) -> bool:
        """Tell whether the first bytes are those of the section's format, where that counts."""
        return not self.enforce and FORMATS[self.key].sniff(head)


@frozen
class NameTemplate:
    """One entry of ``filenames``.

    Attributes
    ----------
    pattern : Pattern
        Matched from the start of the source's base name.
    output : str
    groups : tuple of (str, Action)
        Captures with an action of their own.
    fields : tuple of (str, selector)
        Variables that are fields of the de-identified file.
    label : str
    """

    pattern: Pattern
    output: str
    groups: tuple[tuple[str, Action], ...]
    fields: tuple[tuple[str, AnySelector], ...]
    label: str

    @property
    def elements(self) -> tuple[Selector, ...]:
        """Those of the fields that are DICOM elements."""
        return tuple(selector for _, selector in self.fields if isinstance(selector, Selector))


@frozen
class Mask:
    """One entry of ``alter_pixels``.

    Attributes
    ----------
    when : When
        Of which images.
    boxes : tuple of Box
        In order, on top of those of the entries before.
    outside : bool
        What lies outside of the ultrasound regions is blank.
    frames : tuple of (int, int)
        First and last, from 1; none for all.
    label : str
        ``site.yaml:31``, for the audit.
    """

    when: When
    boxes: tuple[Box, ...]
    outside: bool
    frames: tuple[tuple[int, int], ...]
    label: str


@frozen
class Condition:
    """What one element must hold.

    Attributes
    ----------
    selector : TagAt or PrivateAt
        Of the top level, or of the file meta.
    texts : tuple of str
        One of which equals one of its values,
    patterns : tuple of Pattern
        or one of which matches a whole one.
    """

    selector: TagAt | PrivateAt
    texts: tuple[str, ...]
    patterns: tuple[Pattern, ...]

    def holds(self, values: tuple[str, ...]) -> bool:
        """Tell whether it holds of the values of an element, none where it is absent."""
        plain = [value.strip(" \0") for value in values]
        whole = [*plain, "\\".join(plain)] if len(plain) > 1 else plain
        return any(
            text in self.texts or any(pattern.fullmatch(text) for pattern in self.patterns) for text in whole if text
        )


@frozen
class Exclusion:
    """One entry of ``exclude``: all of its conditions must hold, then the instance is left out."""

    conditions: tuple[Condition, ...]
    label: str


@frozen
class DicomSection:
    """The ``dicom`` section."""

    match: FileMatch
    rules: tuple[Rule, ...]
    filenames: tuple[NameTemplate, ...]
    remove_private: bool
    remove_undefined: bool
    recurse: bool
    age: bool
    age_units: str
    """``D``, ``M``, ``Y``, or empty: whichever fits first."""
    date_format: str
    references: tuple[tuple[str, Selector], ...]
    """Other fields that regex-sub reads: name as written → where."""
    uid: Action
    """The section's hashuid, for UIDs that may not go."""
    table: Table | None = None
    """Asked of what neither place entries nor class entries reach."""
    exclude: tuple[Exclusion, ...] = ()
    """Conditions on the header as it comes; one that holds leaves the instance out."""
    follow_uids: bool = False
    """What refers to a UID that is hashed is hashed as well."""
    accept: frozenset[str] = frozenset()
    """Risks whose files may leave as they are: words of ``standard/risks``."""
    claims: frozenset[str] | None = None
    """Options of PS3.15 that the section follows and marks tell; None: it does not follow the standard's table."""
    lock: Lock = NO_LOCK
    """Keys of what its rules encrypt and decrypt."""
    retain: bool = False
    """What a rule, or ``remove-private-tags``, takes away or changes goes into the envelope, too."""
    masks: tuple[Mask, ...] = ()
    """What is blank in the pixels, in order."""

    @property
    def creators(self) -> frozenset[str]:
        """Private creators that fields name."""
        selectors = (*(rule.selector for rule in self.rules), *(selector for _, selector in self.references))
        return frozenset(selector.creator for selector in selectors if isinstance(selector, PrivateAt))


@frozen
class ZipSection:
    """The ``zip`` section; archives of DICOM need none and get an empty one."""

    match: FileMatch
    filenames: tuple[NameTemplate, ...]
    comment: tuple[tuple[Action, str], ...]
    """Actions and labels for the archive comment, in order; none clears it."""
    hash_subdirectories: bool
    salt: str
    validate_members: bool


@frozen
class FilenameSection:
    """The ``filename`` section: a copy under another name."""

    match: FileMatch
    filenames: tuple[NameTemplate, ...]


@frozen
class KeyRule:
    """One entry of ``fields`` of a section whose fields have names and are no DICOM elements; as ``Rule``."""

    selector: KeyAt | KeysAt
    action: Action
    name: str
    label: str
    index: int
    insert: bool


@frozen
class LevelRules:
    """What the ``flywheel`` section says of one level.

    Attributes
    ----------
    level : str
    all : bool
        Everything editable travels but what a rule removes; else only what a rule names.
    include_info_header : bool
        ``info.header`` of files may travel.
    rules : tuple of KeyRule
        In the order in which they run.
    separator : str
        Between the keys of a path.
    references : tuple of (str, KeyAt)
        Other fields that regex-sub reads, those of containers above included.
    moves : Action, optional
        How dates move that ``all`` lets travel and no rule names: as those in the files do.
    """

    level: str
    all: bool
    include_info_header: bool
    rules: tuple[KeyRule, ...]
    separator: str
    references: tuple[tuple[str, KeyAt], ...]
    moves: Action | None


@frozen
class FlywheelSection:
    """The ``flywheel`` section: level → what travels of its containers. A level that is not there has no rules."""

    levels: Mapping[str, LevelRules]

    @property
    def reads(self) -> frozenset[str]:
        """Levels whose fields something here is made from."""
        named = {key.path.split(key.separator)[0] for rules in self.levels.values() for _, key in rules.references}
        return frozenset(self.levels) | named & set(LEVELS)


@frozen
class FieldSection:
    """The section of a format that is read whole.

    Attributes
    ----------
    match : FileMatch
    rules : tuple of KeyRule
        In the order in which they run.
    filenames : tuple of NameTemplate
    options : mapping of str to str, bool or float
        Those that only this format has, as far as the profile sets them.
    references : tuple of (str, KeyAt)
        Other fields that regex-sub reads: name as written → where.
    unreadable : str
        ``on-unreadable`` of the section.
    """

    match: FileMatch
    rules: tuple[KeyRule, ...]
    filenames: tuple[NameTemplate, ...]
    options: Options
    references: tuple[tuple[str, KeyAt], ...]
    unreadable: str = "refuse"


@frozen
class Profile:
    """A profile without errors.

    Attributes
    ----------
    name : str
        ``name`` of the profile, else its file's.
    file : str
        Name for places in messages.
    sha256 : str
        Of the text.
    others : tuple of section
        Of the other formats, in the order of their table.
    warnings : tuple of Problem
        Risks that the profile leaves.
    flywheel : FlywheelSection, optional
        Without one, no metadata of a platform's containers travels.
    keyed : str
        The first word in it that only a secret key makes safe, with its line; empty when there is none.
    """

    name: str
    file: str
    sha256: str
    dicom: DicomSection | None
    zip: ZipSection
    filename: FilenameSection | None
    others: tuple[FieldSection, ...]
    warnings: tuple[Problem, ...]
    flywheel: FlywheelSection | None = None
    keyed: str = ""

    def nameless(self) -> Profile:
        """Return the same without the names that it gives to files."""
        dicom = replace(self.dicom, filenames=()) if self.dicom is not None else None
        others = tuple(replace(one, filenames=()) for one in self.others)
        return replace(self, dicom=dicom, others=others)

    @property
    def sections(self) -> tuple[DicomSection | FieldSection, ...]:
        """The sections that say what becomes of fields, in the order in which they take files."""
        return (*([self.dicom] if self.dicom else []), *self.others)

    @property
    def locks(self) -> tuple[Lock, ...]:
        """The keys that sections work with: of the one for DICOM first, if any."""
        texts = {rule.action.secret for rule in self.rules if isinstance(rule.action, Encrypt | Decrypt)} - {""}
        return (self.dicom.lock if self.dicom is not None else NO_LOCK, *map(Lock, sorted(texts)))

    @property
    def rules(self) -> tuple[Rule | KeyRule, ...]:
        """The rules of all sections, by index."""
        return tuple(rule for section in self.sections for rule in section.rules)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """What is blank in pixels; their indices in reports follow those of the rules."""
        return self.dicom.masks if self.dicom is not None else ()

    def met(self, masks: Iterable[Mask]) -> frozenset[int]:
        """Return the indices of some of the masks."""
        first = len(self.rules)
        return frozenset(first + self.masks.index(mask) for mask in masks)

    def without(self, matched: Set[int]) -> frozenset[int]:
        """Return the rules and masks that found nothing, where some did."""
        return frozenset(range(len(self.rules) + len(self.masks))) - matched

    def rule_labels(self) -> tuple[tuple[str, str], ...]:
        """Return ``name (place)`` of the rules and masks by index, and the keys of their sections."""
        rules = [
            (f"{rule.name} ({rule.label})", section.match.key) for section in self.sections for rule in section.rules
        ]
        masks = [(f"alter_pixels ({mask.label})", self.dicom.match.key) for mask in self.masks if self.dicom]
        return (*rules, *masks)
