"""A container and what travels of it → names and ids that do not, and whether a label holds one."""

from __future__ import annotations

from collections.abc import Iterable

from fw_gear_deid.deid.container import CleanContainer
from fw_gear_deid.model.container import ContainerRecord
from fw_gear_deid.verify.known import Known

_NAMES = ("firstname", "lastname", "date_of_birth", "code", "master_code", "operator", "uid")
"""Fields of containers that tell whose they are."""
_COUNTS = 3  # digits of a label or code that may only count


def lost(record: ContainerRecord, clean: CleanContainer) -> set[str]:
    """Return names and ids of a container that do not travel; of a whole name every order is looked for."""
    texts = {name: text for name in _NAMES if isinstance(text := record.fields.get(name), str) and text}
    gone = {text for name, text in texts.items() if clean.fields.get(name) != text}
    if {texts.get("firstname"), texts.get("lastname")} <= gone:
        gone.add(" ".join(filter(None, (texts.get("firstname"), texts.get("lastname")))))
    return gone


def holds(label: str, texts: Iterable[str]) -> bool:
    """Tell whether a label holds one of some names and ids; numbers of up to three digits may only count."""
    known = Known()
    for text in texts:
        if not (text.isdecimal() and len(text) <= _COUNTS):
            known.add(text, "")
    return known.told_by(label)
