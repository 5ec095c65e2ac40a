"""The platform's own fields of a container or a file → what in them tells whose it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fw_gear_deid.scan import words
from fw_gear_deid.scan.findings import Finding
from fw_gear_deid.verify.known import Known
from fw_gear_deid.verify.residue import is_somebodys

PERSONS = frozenset({"firstname", "lastname", "date_of_birth", "code", "master_code", "operator"})
"""Fields of containers that hold a person."""
_OURS = frozenset({"origin", "created", "type", "modality"})
_DEEP = 64
IDENTIFIER = "an identifier"


def names_person(name: str) -> bool:
    """Tell whether a field of metadata holds an identifier, by its last name."""
    last = name.rpartition(".")[2]
    return last in PERSONS or last in words.PENN or (last not in words.THINGS and is_somebodys(last))


def findings(fields: Mapping[str, object], known: Known) -> Iterator[Finding]:
    """Yield what is found in the fields of a container or file; ``known`` learns what their identifiers say."""
    leaves = [(path, text) for path, text in _leaves(fields, "", 0) if path.partition(".")[0] not in _OURS]
    for path, text in leaves:
        if names_person(path) and not words.says_nobody(text):
            known.add(text, "")
            yield Finding("metadata", path, IDENTIFIER, text)
    for path, text in leaves:
        if names_person(path):
            continue
        if known.told_by(text):
            yield Finding("metadata", path, "what an identifier says", text)
        elif told := words.tells(text, numbers=False):
            yield Finding("metadata", path, told, text)


def penn(fields: Mapping[str, object]) -> dict[str, bool]:
    """Return which of the identifiers that Penn's utilities look at are there → whether a letter or digit is in one."""
    found: dict[str, bool] = {}
    for path, text in _leaves(fields, "", 0):
        for step in path.split("."):
            if step in words.PENN and text:
                found[step] = found.get(step, False) or any(one.isalnum() for one in text)
    return found


def _leaves(value: object, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Yield path and text of everything that is no group; lists have no number."""
    if depth > _DEEP:
        return
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _leaves(one, path, depth + 1)
    elif isinstance(value, str):
        yield path, value
