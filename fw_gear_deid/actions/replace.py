"""Values → a constant."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Given, Option, Spec, Value
from fw_gear_deid.model.action import EQUALS, Action, At, Texts
from fw_gear_deid.model.dictionary import SINGLE_TEXT_VRS
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
    """

    values: Texts
    insert: bool = True
    key: str = "replace-with"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the constant."""
        return self.values


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
    return Replace(tuple(texts), given.flag("replace-with-insert"))


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


def _values(action: Action) -> Texts:
    return action.values if isinstance(action, Replace) else ()


SPEC = Spec(
    key="replace-with",
    does="sets a value, several or none; creates an absent field, unless `replace-with-insert: false`",
    build=_build,
    options={"replace-with-insert": Option("bool", True, section=True)},
    alone=False,
    promise=EQUALS,
    texts=_values,
    words=dict.fromkeys(("replace", "value", "set", "mask"), "replace-with")
    | dict.fromkeys(("blank", "empty", "clear"), "replace-with: ''"),
)
