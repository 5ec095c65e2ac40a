"""XML as lxml reads it: no entity is expanded, nothing is read beside the bytes, and XPath finds what rules name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from lxml import etree

from fw_gear_deid.formats.row import Field
from fw_gear_deid.model.errors import Malformed, Unfit

_PREFIX = re.compile(r"(?<![\w.-])([^\W\d][\w.-]*):(?=[\w*])")
_LITERAL = re.compile(r"\"[^\"]*\"|'[^']*'")
_DECLARES = re.compile(rb"<\0{0,3}!\0{0,3}E\0{0,3}N\0{0,3}T\0{0,3}I\0{0,3}T\0{0,3}Y")


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
        self._prefixes: dict[str, set[str]] | None = None
        self.fields: list[Field] = []
        parents = list(self._read())
        holds = [0] * len(parents)
        for number in range(len(parents) - 1, -1, -1):
            if parents[number] >= 0:
                holds[parents[number]] += holds[number] + 1
        for number, many in enumerate(holds):
            if many:
                self.fields[number] = replace(self.fields[number], holds=many)

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

    def _read(self) -> Iterator[int]:
        """Make the fields; yield for each the number of the one that it is in, -1 where it is in none."""
        for one in self._nodes():
            if one.tag is etree.Entity:
                continue
            above = one.getparent()
            parent = self._numbers[above] if above is not None else -1
            number = self._numbers[one] = len(self.fields)
            name = self._named(self.fields[parent].name if parent >= 0 else "", _step(one))
            yield parent
            if not isinstance(one.tag, str):
                self.fields.append(Field(name, "", (one.text or "",)))
                continue
            attributes = [(str(key), str(value)) for key, value in one.items()]
            text, has_elements = _content(one)
            self.fields.append(Field(name, "", (text,), stay=len(attributes), is_value=not has_elements))
            for key, value in attributes:
                yield number
                self.fields.append(Field(self._named(name, f"@{key.rpartition('}')[2]}"), "", (value,)))

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


def _content(one: etree._Element) -> tuple[str, bool]:
    """Return the text in an element but for that of others in it, and whether there are others."""
    pieces, has_elements = [one.text or ""], False
    for child in one:
        if child.tag is etree.Entity:
            pieces.append(str(child.text))
        has_elements |= isinstance(child.tag, str)
        pieces.append(child.tail or "")
    return "".join(pieces), has_elements


def _step(one: etree._Element) -> str:
    if isinstance(one, etree._Comment):
        return "comment()"
    if isinstance(one, etree._ProcessingInstruction):
        return f"processing-instruction({one.target!s})"
    local = etree.QName(one).localname
    return f"{one.prefix}:{local}" if one.prefix else local


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
