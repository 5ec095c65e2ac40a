"""Entities of a DOCTYPE: what they would grow to, told without expanding one."""

from __future__ import annotations

import re

from fw_gear_deid.model.errors import Malformed

PREDEFINED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_S = "[ \t\r\n]+"
_DECLARED = re.compile(rf"<!ENTITY{_S}([^ \t\r\n%\"'<>]+){_S}(?:\"([^\"]*)\"|'([^']*)'|(?:SYSTEM|PUBLIC){_S})")
_NAMED = re.compile(r"&([^#;&][^;&]*);")
_LEAST, _TIMES = 1 << 20, 8


class Entities:
    """Those that a document declares and uses.

    Parameters
    ----------
    size : int
        Bytes of the document: it may grow to eight times that, or to 1 MB.
    """

    def __init__(self, size: int) -> None:
        self._texts: dict[str, str] = {}
        self._sizes: dict[str, int] = {}
        self._most = max(_LEAST, _TIMES * size)
        self._total = 0

    def __bool__(self) -> bool:
        return bool(self._texts)

    def declare(self, written: str) -> None:
        """Take a declaration; the first one of a name counts (XML 1.0 §4.2)."""
        found = _DECLARED.match(written)
        if found is not None:
            self._texts.setdefault(found[1], found[2] or found[3] or "")

    def use(self, name: str) -> None:
        """Count a reference.

        Raises
        ------
        Malformed
            Nothing declares it, or all of them would make the document grow beyond measure.
        """
        if name not in self._texts:
            raise Malformed("it is no XML: a reference to an entity that it does not declare")
        self._total += self._size(name)
        if self._total > self._most:
            raise Malformed("its entities would make it grow beyond measure")

    def _size(self, name: str) -> int:
        """Return how many letters an entity stands for; without recursion, since they may be many in each other.

        Raises
        ------
        Malformed
        """
        waiting, inside = [name], set[str]()
        while waiting:
            one = waiting[-1]
            below = [other for other in _NAMED.findall(self._texts.get(one, "")) if other in self._texts]
            missing = [other for other in below if other not in self._sizes]
            if one in self._sizes or not missing:
                size = len(self._texts[one]) + sum(self._sizes[other] for other in below)
                self._sizes[one] = min(size, self._most + 1)
                inside.discard(one)
                waiting.pop()
            elif one in inside:
                raise Malformed("it is no XML: an entity that holds itself")
            else:
                inside.add(one)
                waiting += missing
        return self._sizes[name]
