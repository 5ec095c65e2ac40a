"""The words of the profile language: sections, their options, actions and theirs, each with its type."""

from __future__ import annotations

from fw_gear_deid import actions
from fw_gear_deid.actions import dates
from fw_gear_deid.formats import TABLE

# type names: bool · int · number · str · list · any; "x|y" either
COMMON = {
    "fields": "list",
    "file-filter": "str|list",
    "enforce-file-filter": "bool",
    **{name: option.kind for spec in actions.TABLE for name, option in spec.shared.items()},
    "filenames": "list",
    "alter_pixels": "any",
    "alter-pixels": "any",
}
SECTIONS: dict[str, dict[str, str]] = {row.key: COMMON | dict(row.options) for row in TABLE}
TOP = {
    "name": "str",
    "description": "str",
    "version": "any",
    "deid-log": "str",
    "map-subjects": "str",
    "secret-key": "str",
    "only-config-profiles": "bool",
    dates.SHIFT_RANGE: dates.DATE.options[dates.SHIFT_RANGE].kind,
    "flywheel": "any",
}
LEVELS = ("project", "subject", "session", "acquisition", "file")
FLYWHEEL = {"date-increment": "number", dates.SHIFT_RANGE: TOP[dates.SHIFT_RANGE]} | dict.fromkeys(LEVELS, "any")
LEVEL = {
    key: COMMON[key]
    for key in COMMON
    if key not in ("file-filter", "enforce-file-filter", "filenames", "alter_pixels", "alter-pixels")
} | {"all": "bool", "include-info-header": "bool", "separator": "str"}

ACTIONS = {name: {option: found.kind for option, found in spec.own.items()} for name, spec in actions.SPECS.items()}
ADDRESSES = frozenset({"name", "regex", "vr"})
"""Keys of an entry that say which fields it is for: one of them."""
BOOLEAN_ACTIONS = frozenset(name for name, spec in actions.SPECS.items() if spec.alone)
KEYED = frozenset(name for name, spec in actions.SPECS.items() if spec.keyed)
"""Actions that take the word ``keyed``."""
OPTIONS = {name: option for spec in actions.TABLE for name, option in spec.options.items()}
"""What actions work with; one name means one kind of value everywhere."""
OURS = frozenset(name for name, option in OPTIONS.items() if option.ours).union(*(row.ours for row in TABLE))
"""Options that other engines do not know."""
_KINDS = [COMMON, TOP, LEVEL, *SECTIONS.values(), *ACTIONS.values()]
FLAGS = BOOLEAN_ACTIONS | {name for kinds in _KINDS for name, kind in kinds.items() if "bool" in kind.split("|")}
"""Keys whose value may be true or false."""
VALUES = frozenset(ACTIONS) - BOOLEAN_ACTIONS
"""Actions whose value is what users write into a file."""
ZIP_FIELDS = frozenset({"comment"})
FILENAME_KEYS = {"output": "str", "input-regex": "str", "groups": "list"}
SECTION_OPTIONS = frozenset(key for options in SECTIONS.values() for key in options) - TOP.keys()
