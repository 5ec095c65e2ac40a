"""XML as lxml reads it: no entity is expanded, nothing is read beside the bytes, and XPath finds what rules name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple
from weakref import WeakValueDictionary

from lxml import etree

from fw_gear_deid.formats.row import Field
from fw_gear_deid.model.errors import Malformed, Unfit

_PREFIX = re.compile(r"(?<![\w.-])([^\W\d][\w.-]*):(?=[\w*])")
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'")
_DECLARES = re.compile(rb"<\0{0,3}!\0{0,3}E\0{0,3}N\0{0,3}T\0{0,3}I\0{0,3}T\0{0,3}Y")


class _Read(NamedTuple):
    """A node; ``parent`` is the number of the field that it is in, -1 where it is in none."""

    parent: int
    name: str
    text: str
    attributes: int = 0
    is_value: bool = False


class Tree:
    """A document as a tree.

    Attributes
    ----------
    fields : list of Field
        Elements, each with its attributes behind it, comments and instructions, in the order of the document. An
        element's text is that in it but for that of other elements in it.

    Raises
    ------
    Malformed
    """

    def __init__(self, data: bytes) -> None:
        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=_DECLARES.search(data) is None,  # where nothing can be expanded, texts may be long
        )
        try:
            self._root = etree.fromstring(data, parser)
        except (etree.LxmlError, ValueError):
            raise Malformed("it is no XML to a second reader") from None
        self._numbers: dict[object, int] = {}
        self._names: dict[tuple[str, str], str] = {}
        self._steps: dict[tuple[str, str | None], str] = {}
        self._prefixes: dict[str, set[str]] | None = None
        found = list(self._read())
        holds = [0] * len(found)
        for number in range(len(found) - 1, -1, -1):
            parent = found[number].parent
            if parent >= 0:
                holds[parent] += holds[number] + 1
        self.fields = [
            Field(one.name, "", (one.text,), many or -1, stay=one.attributes, is_value=one.is_value)
            for one, many in zip(found, holds, strict=True)
        ]

    def find(self, name: str) -> list[int]:
        """Return which fields an XPath points at, in the order of the document.

        Raises
        ------
        Unfit
            It points at something that is no field, or its prefix has two meanings in the document.
        """
        known = self._known_prefixes()
        used = prefixes_of(name)
        if any(len(known.get(prefix, ())) > 1 for prefix in used):
            raise Unfit(f"{name}: its prefix stands for more than one namespace here; write *[local-name()='…']")
        if not used <= known.keys():
            return []  # nothing in it has a name with that prefix
        try:
            found = self._root.xpath(name, namespaces={prefix: next(iter(known[prefix])) for prefix in used} or None)
        except etree.LxmlError:
            raise Unfit(f"{name}: the XPath cannot be carried out on it") from None
        if not isinstance(found, list):
            raise Unfit(f"{name}: the XPath points at no elements and attributes")
        return sorted({self._number(one, name) for one in found})

    def _number(self, one: object, name: str) -> int:
        if isinstance(one, etree._ElementUnicodeResult) and one.is_attribute:
            parent = one.getparent()
            if parent is not None:
                return self._numbers[parent] + 1 + list(parent.attrib).index(str(one.attrname))
        if isinstance(one, etree._Element) and one in self._numbers:
            return self._numbers[one]
        raise Unfit(f"{name}: the XPath points at text; name the element that it is in")

    def _known_prefixes(self) -> dict[str, set[str]]:
        """Return the prefixes of the document, each with what it stands for."""
        if self._prefixes is None:
            self._prefixes = {}
            for _, (prefix, uri) in etree.iterwalk(self._root, events=("start-ns",)):
                self._prefixes.setdefault(prefix, set()).add(uri)
        return self._prefixes

    def _read(self) -> Iterator[_Read]:
        """Yield what is a field."""
        names: list[str] = []
        for one in self._nodes():
            if one.tag is etree.Entity:
                continue
            above = one.getparent()
            parent = self._numbers[above] if above is not None else -1
            number = self._numbers[one] = len(names)
            name = self._named(names[parent] if parent >= 0 else "", self._step(one))
            names.append(name)
            if not isinstance(one.tag, str):
                yield _Read(parent, name, one.text or "")
                continue
            attributes = [(str(key), str(value)) for key, value in one.items()]
            text, has_elements = _content(one)
            yield _Read(parent, name, text, len(attributes), not has_elements)
            for key, value in attributes:
                names.append(self._named(name, f"@{key.rpartition('}')[2]}"))
                yield _Read(number, names[-1], value)

    def _step(self, one: etree._Element) -> str:
        """Return what one step of a path is called."""
        if not isinstance(one.tag, str):
            return "comment()" if isinstance(one, etree._Comment) else f"processing-instruction({one.target!s})"
        found = self._steps.get((one.tag, one.prefix))
        if found is None:
            local = etree.QName(one).localname
            found = self._steps[one.tag, one.prefix] = f"{one.prefix}:{local}" if one.prefix else local
        return found

    def _named(self, above: str, step: str) -> str:
        """Return a path by names, one text for all that have it."""
        found = self._names.get((above, step))
        if found is None:
            found = self._names[above, step] = f"{above}/{step}"
        return found

    def _nodes(self) -> Iterator[etree._Element]:
        """Yield what stands in the document and is no text, in its order."""
        yield from reversed(list(self._root.itersiblings(preceding=True)))
        yield from self._root.iter()
        yield from self._root.itersiblings()


_TREES: WeakValueDictionary[bytes, Tree] = WeakValueDictionary()


def tree_of(data: bytes) -> Tree:
    """Return a document as a tree: the one that somebody has, or a new one."""
    found = _TREES.get(data)
    if found is None:
        found = _TREES[data] = Tree(data)
    return found


def _content(one: etree._Element) -> tuple[str, bool]:
    """Return the text in an element but for that of others in it, and whether there are others."""
    pieces, has_elements = [one.text or ""], False
    for child in one:
        if child.tag is etree.Entity:
            pieces.append(str(child.text))
        has_elements |= isinstance(child.tag, str)
        pieces.append(child.tail or "")
    return "".join(pieces), has_elements


def prefixes_of(name: str) -> set[str]:
    """Return the prefixes of namespaces in an XPath.

    >>> sorted(prefixes_of("//a:b[@c:d='e:f']/parent::g:h/@xml:id"))
    ['a', 'c', 'g']
    """
    return set(_PREFIX.findall(_LITERAL.sub("''", name))) - {"xml"}


def amiss(name: str) -> str:
    """Say why an XPath points at nothing that a rule can work on; empty when it can.

    >>> amiss("//a/@b"), amiss("//a["), amiss("count(//a)")
    ('', 'not an XPath: Invalid expression', 'points at no elements or attributes')
    """
    namespaces = {prefix: f"urn:{prefix}" for prefix in prefixes_of(name)} or None
    try:
        found = etree.XPath(name, namespaces=namespaces)(etree.XML("<a/>"))
    except etree.LxmlError as error:
        return f"not an XPath: {error}"
    return "" if isinstance(found, list) else "points at no elements or attributes"
