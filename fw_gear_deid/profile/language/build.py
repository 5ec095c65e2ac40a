"""An entry with one action key → Action (profile language §5)."""

from __future__ import annotations

from datetime import date, timedelta

from fw_gear_deid.actions import LATER, Hash, IncrementDate, IncrementDatetime, Jitter, Keep, Remove, Replace
from fw_gear_deid.actions.dates import DEFAULT_DATETIME, UNITS, Shift, format_problem, limit
from fw_gear_deid.model.action import Action
from fw_gear_deid.model.dictionary import BINARY_VRS, SINGLE_TEXT_VRS
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.legal import problem
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.language import schema, templates
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar
from fw_gear_deid.profile.text.problems import did_you_mean
from fw_gear_deid.profile.values.variables import settle

# VRs that hexadecimal text is no legal value of
_NOT_HASHABLE = (
    frozenset(
        {
            "AE",
            "AS",
            "AT",
            "CS",
            "DA",
            "DS",
            "DT",
            "FD",
            "FL",
            "IS",
            "SL",
            "SQ",
            "SS",
            "SV",
            "TM",
            "UI",
            "UL",
            "US",
            "UV",
        }
    )
    - {"AE"}
    | BINARY_VRS
)
_DAYS_MAX = 3_700_000  # the years 1 to 9999


def action_keys(section: Section, item: Mapping, where: str) -> list[Scalar]:
    """Return the action keys of an entry and complain about keys that nothing knows."""
    found = [key for key, _ in item.entries if key.text in schema.ACTIONS]
    known = {"name", "regex"} | schema.ACTIONS.keys()
    for key in found:
        known |= schema.ACTIONS[key.text].keys()
    for key, _ in item.entries:
        if key.text in known:
            continue
        everywhere = {"name", "regex"} | schema.ACTIONS.keys() | {o for more in schema.ACTIONS.values() for o in more}
        if key.text in everywhere:
            message = (
                f"option {key.text!r} does not belong to {found[0].text!r}"
                if found
                else f"option {key.text!r} without an action"
            )
        else:
            message = f"unknown key {key.text!r}{_meant(key.text, everywhere)}"
        section.problems.error(key.line, key.column, where, message)
    return found


# words of other tools → ours
_OTHER_WORDS = {
    "delete": "remove", "drop": "remove", "erase": "remove", "strip": "remove", "exclude": "remove",
    "replace": "replace-with", "value": "replace-with", "set": "replace-with", "blank": "replace-with: ''",
    "empty": "replace-with: ''", "clear": "replace-with: ''", "retain": "keep", "preserve": "keep", "include": "keep",
    "shift-date": "increment-date", "shift": "increment-date", "offset": "increment-date",
    "uid": "hashuid", "hash-uid": "hashuid", "tag": "name", "keyword": "name", "field": "name", "element": "name",
    "attribute": "name", "pattern": "regex", "mask": "replace-with", "pseudonymize": "hash", "action": "remove",
}  # fmt: skip


def _meant(word: str, known: set[str]) -> str:
    other = _OTHER_WORDS.get(word.lower().replace("_", "-"))
    return f"; did you mean {other!r}?" if other else did_you_mean(word, known)


def _not_true(key: str, value: Node) -> str:
    """Say what to write where an action that takes ``true`` alone has another value."""
    number = isinstance(value, Scalar) and value.kind in ("int", "float")
    if isinstance(value, Scalar) and value.kind == "str" and value.text.strip().lower() in ("true", "yes", "on"):
        return f"must be true without quotes: '{key}: true'"
    if number and key in ("increment-date", "increment-datetime"):
        days = "'date-increment-override' of this entry"
        return f"must be true; the number of days goes into 'date-increment' of the section, or {days}"
    if number and key == "jitter":
        return "must be true; the number goes into 'jitter-range' of this entry"
    if key == "hash" and isinstance(value, Scalar) and value.kind in ("int", "str"):
        return "must be true; its length is 'hash-digits' of the section, and it is always SHA-256"
    return "must be true; take the entry out to not do it"


def parse_action(
    section: Section,
    item: Mapping,
    where: str,
    selector: AnySelector | None,
    references: dict[str, AnySelector],
    name: str,
) -> Action | None:
    """Return the action of an entry, or complain and return None."""
    found = action_keys(section, item, where)
    if not found:
        if len(item.entries) == 1 and item.entries[0][0].text == "name":
            return Keep()
        if len(item.entries) == 1:
            section.problems.error(
                item.line, item.column, where, "no action; a regex needs one, such as 'remove: true'"
            )
        elif all(key.text in ("name", "regex") for key, _ in item.entries):
            section.problems.error(item.line, item.column, where, "no action, such as 'remove: true'")
        return None
    if len({key.text for key in found}) > 1:
        listed = ", ".join(repr(key.text) for key in found)
        section.problems.error(found[1].line, found[1].column, where, f"several actions, {listed}: keep one")
        return None
    key = found[0].text
    value = item.get(key)
    assert value is not None  # noqa: S101 -- key comes from the entries of item
    for option, node in item.entries:
        if option.text in schema.ACTIONS[key]:
            section.check(node, schema.ACTIONS[key][option.text], f"{where}.{option.text}")
    if key in schema.BOOLEAN_ACTIONS and not (isinstance(value, Scalar) and value.kind == "bool" and value.truth):
        section.problems.error(value.line, value.column, f"{where}.{key}", _not_true(key, value))
        return None
    if key in LATER:
        section.problems.error(found[0].line, found[0].column, where, f"{key!r} is not supported by this version")
        return None
    vr = vr_of(selector) if selector is not None else None
    action = _build(section, item, key, value, where, vr, references, name)
    return action and settle(action, section.options, item)


def _build(
    section: Section,
    item: Mapping,
    key: str,
    value: Node,
    where: str,
    vr: str | None,
    references: dict[str, AnySelector],
    name: str,
) -> Action | None:
    match key:
        case "keep" | "identity":
            return Keep()
        case "remove":
            return Remove()
        case "replace-with":
            return _replace(section, item, value, f"{where}.replace-with", vr)
        case "hash":
            return _hash(section, item, where, vr)
        case "hashuid":
            return section.hashuid(item)
        case "increment-date" | "increment-datetime":
            return _increment(section, item, key, where)
        case "jitter":
            return _jitter(section, item, where, name, vr)
        case _:
            return templates.parse_regex_sub(section, value, f"{where}.regex-sub", references)


def _replace(section: Section, item: Mapping, value: Node, where: str, vr: str | None) -> Action | None:
    nodes = value.items if isinstance(value, Listing) else (value,)
    texts: list[str] = []
    for node in nodes:
        wrong = ""
        if not isinstance(node, Scalar):
            wrong = "must be a value or a list of values"
        elif node.kind == "null":
            wrong = "no value: write '' to empty the field, or 'remove: true'"
        elif node.unknown:
            wrong = f"the value is {problem('0', vr)}" if vr is not None and (vr == "SQ" or vr[0] == "O") else ""
            texts.append(node.text)
        else:
            text = node.text.replace("-", "") if node.kind == "date" and vr == "DA" else node.text
            wrong = _wrong_kind("int" if node.variables and vr in _NUMERIC else node.kind, text, vr)
            for part in text.split("\\") if section.naming.multiple and vr not in SINGLE_TEXT_VRS else [text]:
                wrong = wrong or (f"the value is {problem(part, vr)}" if vr and problem(part, vr) else "")
                texts.append(part)
        if wrong:
            section.problems.error(node.line, node.column, where, wrong)
            return None
    insert = section.options.get("replace-with-insert")
    insert = item.get("replace-with-insert") or insert
    return Replace(tuple(texts), not (isinstance(insert, Scalar) and insert.kind == "bool" and not insert.truth))


_NUMERIC = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})


def _wrong_kind(kind: str, text: str, vr: str | None) -> str:
    """Say why a YAML value of this kind is not what the VR takes."""
    if vr is None or not text:
        return ""
    if vr in _NUMERIC | {"DS", "IS"} and len(text) > 64:
        return "longer than any number"
    if vr in _NUMERIC:
        return "" if kind in ("int", "float") else f"VR {vr} takes a number, not text: write it without quotes"
    if kind in ("int", "float") and vr not in ("DS", "IS"):
        return f"VR {vr} takes text, not a number: write it in quotes"
    if kind == "bool" and vr not in _NUMERIC:
        return f"VR {vr} takes text, and YAML reads this as true or false: write it in quotes"
    return ""


def _hash(section: Section, item: Mapping, where: str, vr: str | None) -> Action | None:
    digits = section.number("hash-digits", 16)
    action = Hash(int(digits or 0), section.text("salt", ""))
    length = action.digits if 0 < action.digits < 64 else 64
    if vr in _NOT_HASHABLE and vr != "UN":
        section.problems.error(
            item.line, item.column, where, f"VR {vr} cannot hold a hash; replace, shift or remove the value instead"
        )
        return None
    if vr is not None and problem("a" * length, vr):
        section.problems.error(
            item.line, item.column, where, f"a hash of {length} digits is too long for VR {vr}; lower hash-digits"
        )
        return None
    return action


def _increment(section: Section, item: Mapping, key: str, where: str) -> Action | None:
    def own(option: str) -> Scalar | None:
        node = item.get(option)
        return node if isinstance(node, Scalar) and node.kind in ("int", "float", "str", "bool", "date") else None

    problems = section.problems
    override = own("date-increment-override")
    days = section.number("date-increment", None)
    if override is not None and override.kind in ("int", "float"):
        days = float(override.text)
    if days is None:
        problems.error(
            item.line,
            item.column,
            where,
            f"{key} needs a 'date-increment' (days) in the section, or 'date-increment-override'",
        )
        return None
    if abs(days) > _DAYS_MAX:
        problems.error(item.line, item.column, where, "the increment leaves the calendar")
        return None
    jitter, unit = 0, "days"
    flag, reach, units = own("jitter-date"), own("jitter-range"), own("jitter-unit")
    if flag is not None and flag.truth:
        jitter = 10
        if reach is not None and reach.kind in ("int", "float"):
            jitter = int(float(reach.text))
            if jitter < 1 or jitter != float(reach.text):
                problems.error(reach.line, reach.column, f"{where}.jitter-range", "must be a whole number from 1")
                return None
        if units is not None:
            unit = units.text
            if unit not in UNITS:
                problems.error(
                    units.line, units.column, f"{where}.jitter-unit", f"not a unit; write one of {', '.join(UNITS)}"
                )
                return None
        if jitter * (timedelta(**{unit: 1}) / timedelta(days=1)) > _DAYS_MAX:
            problems.error(item.line, item.column, where, "the jitter-range leaves the calendar")
            return None
    limits = []
    for option in ("datetime-min", "datetime-max"):
        node = own(option)
        limits.append(node.text if node else "")
        if node is not None and not _is_limit(node.text):
            problems.error(
                node.line,
                node.column,
                f"{where}.{option}",
                "write YYYYMMDD in quotes, or a distance from today like '-2years'",
            )
            return None
    shift = Shift(days, jitter, unit)
    option = "date-format" if key == "increment-date" else "datetime-format"
    written = own(option)
    if written is not None and (wrong := format_problem(written.text)):
        problems.error(written.line, written.column, f"{where}.{option}", wrong)
        return None
    naming = section.naming
    default = section.text(option, naming.date_format if key == "increment-date" else naming.datetime_format)
    form = written.text if written is not None else default
    if key == "increment-date":
        return IncrementDate(shift, form, low=limits[0], high=limits[1])
    return IncrementDatetime(shift, form, limits[0], limits[1])


def _is_limit(text: str) -> bool:
    try:
        limit(text, date(2000, 1, 1))
    except Unfit:
        return False
    return True


def _jitter(section: Section, item: Mapping, where: str, name: str, vr: str | None) -> Action | None:
    problems = section.problems

    def place(option: str) -> Node:
        return item.get(option) or section.options.get(option) or item

    local = Section(where, item, section.file, problems)
    kind = local.text("jitter-type", section.text("jitter-type", "float"))
    reach = local.number("jitter-range", section.number("jitter-range", 2))
    if kind not in ("int", "float"):
        node = place("jitter-type")
        problems.error(node.line, node.column, f"{where}.jitter-type", "must be int or float")
        return None
    if not reach or reach < 0 or (kind == "int" and reach < 1):
        node = place("jitter-range")
        problems.error(node.line, node.column, f"{where}.jitter-range", "must be above 0, and at least 1 for int")
        return None
    low, high = local.number("jitter-min", None), local.number("jitter-max", None)
    if vr in ("DA", "DT"):
        # a date is moved by whole days: published profiles ask for it, and the reference engine fails on every file
        if reach < 1 or reach != int(reach) or low is not None or high is not None:
            problems.error(
                item.line,
                item.column,
                where,
                "jitter of a date takes whole days as jitter-range, and no limits",
            )
            return None
        shift = Shift(0, int(reach))
        return (
            IncrementDate(shift, section.text("date-format", "%Y%m%d"), key="jitter")
            if vr == "DA"
            else IncrementDatetime(shift, section.text("datetime-format", DEFAULT_DATETIME), key="jitter")
        )
    return Jitter(name, reach, kind == "int", low, high)
