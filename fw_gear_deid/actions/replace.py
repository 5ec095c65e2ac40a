"""Values → a constant."""

from __future__ import annotations

from dataclasses import replace

from fw_gear_deid.actions.spec import Given, Option, Spec, Value
from fw_gear_deid.model.action import EQUALS, Action, At, Texts
from fw_gear_deid.model.dictionary import BINARY_VRS, SINGLE_TEXT_VRS
from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.legal import problem


@frozen
class Replace:
    """``replace-with: VALUE``: a constant, several values, or none (empty).

    Attributes
    ----------
    values : tuple of str
    insert : bool
        Create the field where it is absent (``replace-with-insert``).
    append : bool
        Put the values behind those that are there, unless they stand there already (``replace-with-append``).

    Examples
    --------
    >>> Replace(("ours",), append=True)(("theirs",), None)
    ('theirs', 'ours')
    >>> Replace(("ours",), append=True)(("theirs", "ours"), None)
    ('theirs', 'ours')
    """

    values: Texts
    insert: bool = True
    append: bool = False
    key: str = "replace-with"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the constant, behind what is there where it is appended."""
        if not self.append or not any(texts):
            return self.values
        return texts if texts[-len(self.values) :] == self.values else (*texts, *self.values)


_INSERT = "replace-with-insert"
_NUMERIC = frozenset({"FD", "FL", "SL", "SS", "SV", "UL", "US", "UV"})


def _build(given: Given) -> Replace | None:
    texts: list[str] = []
    for value in given.values():
        parts = _parts(value, given)
        wrong = _wrong(value, parts, given.vr)
        if wrong:
            given.complain(wrong, value)
            return None
        texts += parts
    append = given.flag("replace-with-append")
    if append and not (given.multiple and all(texts)):
        message = "works on DICOM elements, and an empty value is nothing to append"
        given.complain(message, "replace-with-append")
        return None
    return Replace(tuple(texts), given.flag(_INSERT), append)


def _parts(value: Value, given: Given) -> list[str]:
    if value.unknown:
        return [value.text]
    text = value.text.replace("-", "") if value.kind == "date" and given.vr == "DA" else value.text
    return text.split("\\") if given.multiple and given.vr not in SINGLE_TEXT_VRS else [text]


def _wrong(value: Value, parts: list[str], vr: str | None) -> str:
    """Say why a value of a profile is nothing to put into a field."""
    if value.kind in ("list", "mapping"):
        return "must be a value or a list of values"
    if value.kind == "null":
        return "no value: write '' to empty the field, or 'remove: true'"
    if value.unknown:
        return f"the value is {problem('0', vr)}" if vr is not None and (vr == "SQ" or vr[0] == "O") else ""
    kind = "int" if value.variables and vr in _NUMERIC else value.kind
    wrong = [_wrong_kind(kind, "\\".join(parts), vr)]
    wrong += [f"the value is {problem(part, vr)}" for part in parts if vr and problem(part, vr)]
    return next(filter(None, wrong), "")


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


def _misfit(action: Action, vr: str) -> str:
    alone = vr == "SQ" or vr in SINGLE_TEXT_VRS or vr in BINARY_VRS
    return f"VR {vr} has one value: nothing can be appended to it" if _appends(action) and alone else ""


def _appends(action: Action) -> bool:
    return isinstance(action, Replace) and action.append


def _values(action: Action) -> Texts:
    return action.values if isinstance(action, Replace) else ()


def _wide(given: Given, action: Action, vr: str) -> Action | str:
    """Return what replaces all values of a VR, and makes none."""
    if given.written(_INSERT) == "true":
        return f"an entry for VRs creates nothing: take {_INSERT} out"
    return replace(action, insert=False) if isinstance(action, Replace) else action


SPEC = Spec(
    key="replace-with",
    does="sets a value, several or none; creates an absent field, unless `replace-with-insert: false`; with "
    "`replace-with-append: true`, behind the values that are there",
    build=_build,
    options={
        _INSERT: Option("bool", True, section=True),
        "replace-with-append": Option("bool", False, ours=True),
    },
    alone=False,
    promise=EQUALS,
    appends=_appends,
    texts=_values,
    misfit=_misfit,
    wide=_wide,
    words=dict.fromkeys(("replace", "value", "set", "mask"), "replace-with")
    | dict.fromkeys(("blank", "empty", "clear"), "replace-with: ''"),
)
