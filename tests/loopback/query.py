"""Filter, sort and page parameters → a page of containers.

The grammar is the finders': ``label="a b",info.x=1,created>2020-01-01``; a comma inside a value
has a backslash before it. Two habits of the platform are kept because they fail in silence:
digits without quotes are a number and never equal a label, and a quoted value never equals
anything of a parent.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

from .model import LEVELS
from .wire import RefusedError, Request

Document = dict[str, Any]

_TERM = re.compile(r"^([\w.\-]+)(=~|!=|<=|>=|=|<|>)(.*)$", re.DOTALL)
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_WORDS = {"true": True, "false": False, "null": None}
_OF_PARENT = ("parents.", *(f"{kind}." for kind in LEVELS))


def select(documents: Iterable[Document], request: Request, *, id_field: str) -> list[Document]:
    """Pick the documents that a list request asks for.

    Parameters
    ----------
    documents : documents in the order of their ids
    request : its ``filter``, ``sort``, ``after_id``, ``skip``, ``page`` (from 1), ``limit`` count
    id_field : what ``after_id`` names, ``_id`` or ``file_id``
    """
    wanted = parse_filter(request.query.get("filter", ""))
    found = [document for document in documents if all(test(document) for test in wanted)]
    for term in reversed(request.query.get("sort", "").split(",")):
        name, _, direction = term.partition(":")
        if name:
            found.sort(key=partial(_rank, name), reverse=direction == "desc")
    after = request.query.get("after_id")
    if after:
        found = [document for document in found if document[id_field] > after]
    limit = request.number("limit")
    start = request.number("skip") or 0
    if limit:
        start += limit * max((request.number("page") or 1) - 1, 0)
    return found[start : start + limit] if limit else found[start:]


def parse_filter(text: str) -> list[Callable[[Document], bool]]:
    """Turn filter text into the tests a document has to pass."""
    terms = re.split(r"(?<!\\),", text) if text else []
    return [_test(term.replace("\\,", ",").strip()) for term in terms]


def _rank(name: str, document: Document) -> tuple[int, float, str]:
    """Order nothing before numbers before text."""
    value = _values(document, name)[0] if _values(document, name) else None
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _test(term: str) -> Callable[[Document], bool]:
    match = _TERM.match(term)
    if match is None:
        raise RefusedError(422, f"Invalid filter: {term}")
    name, sign, text = match.groups()
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    if quoted and name.startswith(_OF_PARENT):
        return lambda document: False
    if sign == "=~":
        try:
            pattern = re.compile(text.strip('"'))
        except re.error as error:
            raise RefusedError(422, f"Invalid filter: {term}") from error
        return lambda document: any(pattern.search(str(v)) for v in _values(document, name))
    wanted = text[1:-1] if quoted else _literal(text)
    if sign in {"=", "!="}:
        return lambda document: (wanted in _values(document, name)) == (sign == "=")
    compare = _ORDER[sign]
    return lambda document: any(_ordered(compare, v, wanted) for v in _values(document, name))


def _literal(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    return float(text) if _NUMBER.match(text) else text


def _values(document: Document, name: str) -> list[Any]:
    """Look a dotted name up; a list holds each of its items."""
    key = "_id" if name == "id" else name
    at: Any = document
    above = ""
    for step in key.split("."):
        if above in LEVELS and isinstance(at, str):
            raise RefusedError(422, f"The loopback platform does not look into a {above}")
        at, above = at.get(step) if isinstance(at, dict) else None, step
    return at if isinstance(at, list) else [at]


def _ordered(compare: Callable[[Any, Any], bool], value: Any, wanted: Any) -> bool:
    left, right = _moment(value), _moment(wanted)
    return type(left) is type(right) and left is not None and compare(left, right)


def _moment(value: Any) -> Any:
    """Turn ISO text into a time, a number into a float; other values stay."""
    if isinstance(value, int | float):
        return float(value)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
