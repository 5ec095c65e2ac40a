"""The ``flywheel`` section → rules for the metadata of containers, by level (profile language §10)."""

from __future__ import annotations

from functools import partial

from fw_gear_deid.actions import ACTIONS, IncrementDate, IncrementDatetime, Keep, Remove, Replace, dates, unreadable
from fw_gear_deid.actions.spec import RECORD
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.container import DATED, EDITABLE, GROUPS, LEVELS, NEVER, Json, choices, fit
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.ruling import Asked
from fw_gear_deid.model.selectors import AnySelector, KeyAt, KeysAt, TagAt
from fw_gear_deid.profile.advice.lint import warning_of
from fw_gear_deid.profile.compiled import DicomSection, FlywheelSection, KeyRule, LevelRules
from fw_gear_deid.profile.language import build, schema
from fw_gear_deid.profile.language.addresses import BadName, compile_pattern
from fw_gear_deid.profile.language.entries import Entry, execution_order, parse_entries
from fw_gear_deid.profile.language.naming import Naming
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import Problems, did_you_mean
from fw_gear_deid.profile.values.variables import Unresolved

# Defaults of the json section, profile language §3
JSON_FORMATS = {"date-format": "%Y-%m-%d", "datetime-format": "%Y-%m-%d %H:%M:%S"}
# What names a person, a place or a visit, and may hold anything that somebody typed
_TELLING = (
    "label", "firstname", "lastname", "date_of_birth", "operator", "uid", "timestamp", "description", "info", "tags",
)  # fmt: skip
_INCREMENTS = (dates.DATE.key, dates.DATETIME.key)
_STUDY_DATE = TagAt(0x00080020)


def parse_flywheel(
    root: Mapping, dicom: Section | None, compiled: DicomSection | None, file: str, problems: Problems
) -> FlywheelSection | None:
    """Read the section; what is wrong goes to ``problems``.

    Parameters
    ----------
    root : Mapping
        The document.
    dicom : Section, optional
        The dicom section: its ``date-increment`` holds for containers that have none of their own.
    compiled : DicomSection, optional
        The same, compiled: dates in containers move with those in the files.
    file : str
        Name to use in places.

    Returns
    -------
    FlywheelSection or None
        None when the profile has no such section.
    """
    node = root.get("flywheel")
    if node is None:
        return None
    if not isinstance(node, Mapping):
        if node.kind != "null":
            problems.error(node.line, node.column, "flywheel", "must be a mapping of levels, such as 'session:'")
        return FlywheelSection({})
    section = Section("flywheel", node, file, problems)
    _check_keys(section)
    increment = node.get("date-increment")
    levels = {}
    for level in LEVELS:
        options = node.get(level)
        if options is None:
            continue
        if isinstance(options, Scalar) and options.kind == "null":
            options = Mapping((), options.line, options.column)
        if not isinstance(options, Mapping):
            what = "must be a mapping of options, indented below its name"
            problems.error(options.line, options.column, f"flywheel.{level}", what)
            continue
        levels[level] = _level(level, Section(f"flywheel.{level}", options, file, problems), increment, dicom, compiled)
    return FlywheelSection(levels)


def _check_keys(section: Section) -> None:
    for key, value in section.options.entries:
        if key.text not in schema.FLYWHEEL:
            hint = "; indent it below a level such as 'session:'" if key.text in schema.LEVEL else ""
            hint = hint or did_you_mean(key.text, schema.FLYWHEEL)
            section.problems.error(key.line, key.column, section.key, f"unknown key {key.text!r}{hint}")
        else:
            section.check_value(key, value, schema.FLYWHEEL[key.text], f"flywheel.{key.text}")


def _level(
    level: str, section: Section, increment: Node | None, dicom: Section | None, compiled: DicomSection | None
) -> LevelRules:
    section.check_options(schema.LEVEL, {})
    if section.options.get("include-info-header") is not None and level != "file":
        section.complain("include-info-header", "only files have such a header: it belongs below 'file:'")
    for key in ("secret-key", "force-nonce"):
        if section.options.get(key) is not None:
            section.complain(key, "not supported by this version; take it out")
    separator = section.text("separator", ".")
    if not separator:
        section.complain("separator", "must not be empty")
        separator = "."
    own = section.options.get("date-increment") or increment
    inherited = own or (dicom.options.get("date-increment") if dicom is not None else None)
    naming = Naming(
        partial(_name, level, separator),
        lambda text: KeysAt(compile_pattern(text), separator),
        partial(_reference, level, separator),
        JSON_FORMATS,
        multiple=False,
    )
    section = Section(section.key, _with_increment(section.options, inherited), section.file, section.problems, naming)
    entries = parse_entries(section)
    for entry in entries:
        _check_entry(section, level, entry)
    moves = _moves(section, own, compiled)
    _warn(section, level, entries, moves)
    rules = tuple(
        KeyRule(entry.selector, entry.action, entry.name, entry.label, index, entry.insert)
        for index, entry in enumerate(execution_order(entries))
        if isinstance(entry.selector, KeyAt | KeysAt)
    )
    references = {
        name: found for entry in entries for name, found in entry.references.items() if isinstance(found, KeyAt)
    }
    include = section.flag("include-info-header")
    return LevelRules(level, section.flag("all"), include, rules, separator, tuple(references.items()), moves)


def _with_increment(options: Mapping, increment: Node | None) -> Mapping:
    """Return options with the date-increment that holds for them."""
    if increment is None or options.get("date-increment") is not None:
        return options
    key = Scalar("date-increment", "str", increment.line, increment.column)
    return Mapping((*options.entries, (key, increment)), options.line, options.column)


# -- names ---------------------------------------------------------------------------------------------


def _name(level: str, separator: str, text: str) -> AnySelector:
    """Return the selector of a ``name``, or raise BadName."""
    first = _parts(text, separator)[0]
    if first in NEVER:
        raise BadName(f"{first!r} never travels")
    if first not in EDITABLE[level]:
        if first in LEVELS and first != level:
            raise BadName(f"belongs to the {first}: name it below 'flywheel.{first}'")
        known = EDITABLE[level]
        raise BadName(f"no key of a {level}: {first!r}{did_you_mean(first, known) or '; it has ' + ', '.join(known)}")
    if first not in GROUPS and first != text:
        raise BadName(f"{first!r} is a single value, so nothing can be below it")
    return KeyAt(text, separator)


def _reference(level: str, separator: str, text: str) -> AnySelector:
    """Return the selector of a field that regex-sub reads, of this container or one above; or raise BadName."""
    parts = _parts(text, separator)
    if parts[0] in EDITABLE[level]:
        return KeyAt(text, separator)
    above = LEVELS[: LEVELS.index(level)]
    if parts[0] in above:
        known = dict.fromkeys((*EDITABLE[parts[0]], "label"))
        if len(parts) > 1 and parts[1] in known:
            return KeyAt(text, separator)
        raise BadName(f"the {parts[0]} has {', '.join(known)}: write {parts[0]}{separator}label, for one")
    known = dict.fromkeys((*EDITABLE[level], *above))
    raise BadName(f"no key of a {level} or of what is above it: {parts[0]!r}{did_you_mean(parts[0], known)}")


def _parts(text: str, separator: str) -> list[str]:
    parts = text.split(separator)
    if "" in parts:
        raise BadName(f"an empty key in the path {text!r}")
    if "*" in parts:
        raise BadName("'*' means nothing in a path of keys; write a regex")
    return parts


# -- entries -------------------------------------------------------------------------------------------


def _check_entry(section: Section, level: str, entry: Entry) -> None:
    """Complain about a named field that can never come out as its rule says."""
    if not isinstance(entry.selector, KeyAt):
        return
    path = entry.selector.path.split(entry.selector.separator)
    action, wrong = entry.action, ""
    if path[:2] == ["info", "export"] and not isinstance(action, Remove):
        wrong = "info.export is this program's own and never travels"
    elif path[:2] == ["info", "header"] and level == "file" and not isinstance(action, Remove):
        if not section.flag("include-info-header"):
            wrong = "info.header does not travel without include-info-header: true"
    elif len(path) == 1:
        wrong = _misfit(level, path[0], action)
    if wrong:
        section.problems.error(entry.line, entry.column, entry.where, wrong)


def _misfit(level: str, key: str, action: Action) -> str:
    """Say why the result of an action is nothing that the platform takes for a key."""
    if isinstance(action, Unresolved):
        return ""
    if ACTIONS[action.key].digest and (key in DATED or key in ("age", "weight", "info") or choices(level, key)):
        return f"{key} cannot hold a hash; replace or remove it instead"
    if isinstance(action, Replace):
        try:
            fit(level, key, action.values[0] if len(action.values) == 1 else list[Json](action.values))
        except Unfit as error:
            return f"{key} does not take this: {error}"
    return ""


def _moves(section: Section, own: Node | None, dicom: DicomSection | None) -> Action | None:
    """Return how dates move that no rule names: by an increment said for containers, else as those in the files."""
    if own is not None:
        key = Scalar(dates.DATETIME.key, "str", own.line, own.column)
        item = Mapping(((key, Scalar("true", "bool", own.line, own.column)),), own.line, own.column)
        quiet = Section(section.key, section.options, section.file, Problems(), section.naming)
        return build.parse_action(quiet, item, section.key, None, {}, "timestamp")
    moving = [rule for rule in (dicom.rules if dicom is not None else ()) if rule.action.key in _INCREMENTS]
    moving.sort(key=lambda rule: rule.selector != _STUDY_DATE)  # any date will do, the study's best
    asked = None if dicom is None or dicom.table is None else dicom.table.rule(Asked(_STUDY_DATE.tag, "DA", "", (), ""))
    table = () if asked is None else asked.actions
    by_table = (one for one in table if isinstance(one, IncrementDate | IncrementDatetime))
    action = moving[0].action if moving else next(by_table, None)
    if not isinstance(action, IncrementDate | IncrementDatetime):
        return action
    return IncrementDatetime(action.shift, unreadable=section.text(unreadable.KEY, action.unreadable))


def _warn(section: Section, level: str, entries: list[Entry], moves: Action | None) -> None:
    problems = section.problems
    for entry in entries:
        if isinstance(entry.action, Keep) and moves is not None and entry.name in DATED & set(EDITABLE[level]):
            what = f"{entry.name} travels as it is while dates elsewhere move: it tells by how much"
            problems.warn(entry.line, entry.column, entry.where, what)
        elif not isinstance(entry.action, Unresolved) and (warning := warning_of(entry, RECORD)):
            problems.warn(entry.line, entry.column, entry.where, warning)
    if section.flag("all"):
        ruled = [key for key in _TELLING for entry in entries if _covers(entry, key)]
        plain = [key for key in _TELLING if key in EDITABLE[level] and key not in ruled]
        plain = [key for key in plain if not (moves is not None and key in DATED) and (level, key) != ("file", "tags")]
        if plain:
            at = section.options.key("all")
            what = f"all: true lets {', '.join(plain)} travel as they are; name what should not"
            problems.warn(at.line, at.column, section.key, what)


def _covers(entry: Entry, key: str) -> bool:
    match entry.selector:
        case KeyAt(path):
            return path == key
        case KeysAt(pattern):
            return pattern.match(key) is not None
        case _:
            return False
