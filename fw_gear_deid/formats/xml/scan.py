"""XML 1.0 → elements, attributes, comments and instructions by their spans; entities stay as they are written.

One pass without recursion. It checks what spans depend on; that a document is well-formed is the second reader's.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass, field

from fw_gear_deid.formats.spans import Text
from fw_gear_deid.formats.xml.entities import PREDEFINED, Entities
from fw_gear_deid.model import limits
from fw_gear_deid.model.errors import Malformed, Unfit

ELEMENT, ATTRIBUTE, COMMENT, INSTRUCTION = "element", "attribute", "comment", "instruction"
_DEPTH, _TICK, _SPELLED = 500, 4096, 200_000_000
_S = "[ \t\r\n]"
_NAME = r"[^ \t\r\n<>/=&\"'?!\[\]();,|]++"
_QUOTED = r"(?:\"[^\"]*+\"|'[^']*+')"
_DECLARATION = re.compile(
    rf"<\?xml{_S}+version{_S}*={_S}*{_QUOTED}(?:{_S}+encoding{_S}*={_S}*[\"']([A-Za-z0-9._-]+)[\"'])?[^<>]*?\?>"
)
_TAG = re.compile(rf"<({_NAME})((?:{_S}++{_NAME}{_S}*+={_S}*+(?:\"[^<\"]*+\"|'[^<']*+'))*+){_S}*+(/?)>")
_ATTRIBUTE = re.compile(rf"{_S}*?(?P<blank>[ \t]*+)({_NAME}){_S}*+={_S}*+(\"[^<\"]*+\"|'[^<']*+')")
_END = re.compile(rf"</({_NAME}){_S}*>")
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_CDATA = re.compile(r"<!\[CDATA\[(.*?)\]\]>", re.DOTALL)
_INSTRUCTION = re.compile(rf"<\?({_NAME})(?:{_S}+(.*?))?\?>", re.DOTALL)
_DOCTYPE = re.compile(rf"<!DOCTYPE{_S}+{_NAME}(?:{_S}+(?:SYSTEM|PUBLIC{_S}+{_QUOTED}){_S}+{_QUOTED})?{_S}*(\[)?")
_SUBSET = re.compile(
    rf"{_S}+|<!--.*?-->|<\?.*?\?>|<!(?:ENTITY|ELEMENT|ATTLIST|NOTATION)(?:[^\"'>]++|{_QUOTED})*+>", re.DOTALL
)
_REFERENCE = re.compile(rf"&(?:#x([0-9a-fA-F]{{1,8}})|#([0-9]{{1,8}})|({_NAME}));")
_AMPERSAND = re.compile(rf"&(?!#x[0-9a-fA-F]{{1,8}};|#[0-9]{{1,8}};|{_NAME};)")
_BLANKS = re.compile(r"[\t\r\n]")
_PLAIN = frozenset(
    {"ascii", "utf-8", "koi8-r", "koi8-u", "gb2312", "gbk", "gb18030", "big5", "euc_jp", "euc_kr", "shift_jis"}
    | {f"iso8859-{part}" for part in range(1, 17)}
    | {f"cp125{part}" for part in range(9)}
)
"""Encodings in which markup is ASCII, and each letter's bytes are its own."""


@dataclass(slots=True)
class Node:
    """Something that a rule can point at.

    Attributes
    ----------
    kind : str
    name : str
        Its path by names without positions, which stays whatever goes around it.
    parent : int
        Number of the element that it is in; -1: it stands beside the root, or is it.
    start, end : int
        Letters of all of it: of an element with its tags, of an attribute with the blanks before it in its line.
    inner, inner_end : int
        Letters of its content, or of its value without the quotes.
    text : str
        Its value; of an element the text in it but for that of other elements in it.
    nth : int
        Which of the siblings of its name it is; 0: the only one.
    attributes : int
        How many of the nodes behind it are its attributes.
    holds : int
        How many of the nodes behind it are in it, attributes among them.
    elements : bool
        Elements are in it.
    refers : bool
        It holds a reference to an entity of the DOCTYPE, at any depth.
    """

    kind: str
    name: str
    parent: int
    start: int
    end: int
    inner: int
    inner_end: int
    text: str = ""
    nth: int = 0
    attributes: int = 0
    holds: int = 0
    elements: bool = False
    refers: bool = False


@dataclass(slots=True)
class _Open:
    """An element whose end is still to come."""

    number: int
    tag: str
    pieces: list[str] = field(default_factory=list)
    siblings: dict[str, list[int]] = field(default_factory=dict)
    """Name of what is in it → number of the first one, and how many there are."""


class Scan:
    """A document, scanned.

    Attributes
    ----------
    file : Text
    nodes : list of Node
        In the order of the document, attributes right behind their element.
    doctype : tuple of (int, int)
        Letters of the DOCTYPE; an empty span where there is none.
    entities : Entities
    declarations : list of str
        Names of namespaces, as they are declared.

    Raises
    ------
    Malformed
    """

    def __init__(self, data: bytes) -> None:
        self.file = read(data)
        self.nodes: list[Node] = []
        self.doctype = (0, 0)
        self.entities = Entities(len(data))
        self.declarations: list[str] = []
        self._text = self.file.text
        self._returns = "\r" in self._text
        self._names: dict[tuple[str, str], str] = {}
        self._spelled = 0
        self._open = [_Open(-1, "")]
        self._root = -1
        self._document()

    def wrong(self, at: int, what: str) -> Malformed:
        """Return the error for what is amiss at a letter."""
        return Malformed(f"it is no XML: {what} in line {self._text.count(chr(10), 0, at) + 1}")

    def spell(self, path: str) -> None:
        """Count the letters of a path.

        Raises
        ------
        Malformed
        """
        self._spelled += len(path)
        if self._spelled > _SPELLED:
            raise Malformed("its elements are so many, so deep in each other, that their places cannot be told")

    def _document(self) -> None:
        found = _DECLARATION.match(self._text)
        at = found.end() if found else 0
        if found is None and re.match(rf"<\?xml{_S}", self._text):
            raise self.wrong(0, "a declaration that cannot be read")
        while at < len(self._text):
            if self._text[at] == "<":
                at = self._markup(at)
            else:
                end = self._text.find("<", at)
                end = len(self._text) if end < 0 else end
                self._letters(at, end)
                at = end
        if len(self._open) > 1:
            raise self.wrong(at, "an element without an end")
        if self._root < 0:
            raise self.wrong(at, "no element")

    def _letters(self, at: int, end: int) -> None:
        """Take text between markup."""
        raw = self._text[at:end]
        if len(self._open) == 1:
            if raw.strip(" \t\r\n"):
                raise self.wrong(at, "text outside of the root")
            return
        self._open[-1].pieces.append(self._resolved(self._lines(raw), at))

    def _markup(self, at: int) -> int:
        """Take what begins with ``<``; return where it ends."""
        text = self._text
        following = text[at + 1 : at + 2]
        if following == "/":
            return self._end(at)
        if following == "?":
            found = _INSTRUCTION.match(text, at)
            if found is None:
                raise self.wrong(at, "an instruction that cannot be read")
            inner = found.span(2) if found[2] is not None else (found.end(1), found.end(1))
            self._add(Node(INSTRUCTION, "", -1, at, found.end(), *inner, self._lines(found[2] or "")),
                      f"processing-instruction({found[1]})")  # fmt: skip
            return found.end()
        if following != "!":
            return self._start(at)
        if found := _COMMENT.match(text, at):
            self._add(Node(COMMENT, "", -1, at, found.end(), *found.span(1), self._lines(found[1])), "comment()")
            return found.end()
        if len(self._open) > 1 and (found := _CDATA.match(text, at)):
            self._open[-1].pieces.append(self._lines(found[1]))
            return found.end()
        if self._root < 0 and not any(self.doctype) and (found := _DOCTYPE.match(text, at)):
            end = self._subset(found.end()) if found[1] else found.end()
            if text[end : end + 1] != ">":
                raise self.wrong(end, "a DOCTYPE that cannot be read")
            self.doctype = (at, end + 1)
            return end + 1
        raise self.wrong(at, "markup that cannot be read")

    def _subset(self, at: int) -> int:
        """Take the declarations of a DOCTYPE, from behind its bracket; return where its end is to be.

        Raises
        ------
        Malformed
        """
        while found := _SUBSET.match(self._text, at):
            if found.group().startswith("<!ENTITY"):
                self.entities.declare(found.group())
            at = found.end()
        if self._text[at : at + 1] == "%":
            raise Unfit("its DOCTYPE has parameter entities, which are not followed")
        if self._text[at : at + 1] != "]":
            raise self.wrong(at, "a DOCTYPE that cannot be read")
        found = re.compile(f"{_S}*").match(self._text, at + 1)
        return found.end() if found else at + 1

    def _start(self, at: int) -> int:
        found = _TAG.match(self._text, at)
        if found is None:
            raise self.wrong(at, "a tag that cannot be read")
        if len(self._open) == 1:
            if self._root >= 0:
                raise self.wrong(at, "more than one root")
            self._root = len(self.nodes)
        elif len(self._open) > _DEPTH:
            raise Malformed(f"more than {_DEPTH} elements in each other")
        else:
            self.nodes[self._open[-1].number].elements = True
        tag, end = found[1], found.end()
        number = len(self.nodes)
        node = self._add(Node(ELEMENT, "", -1, at, end, end, end), tag)
        if found[2]:
            self._attributes(number, node, found.start(2), found.end(2))
        if found[3]:
            node.holds = node.attributes
        else:
            self._open.append(_Open(number, tag))
        return end

    def _attributes(self, number: int, node: Node, at: int, end: int) -> None:
        for found in _ATTRIBUTE.finditer(self._text, at, end):
            start, stop = found.start(3) + 1, found.end() - 1
            if "&" in found[3] and self.entities and self._refers(found[3]):
                raise Unfit(f"an attribute of {node.name} refers to an entity of the DOCTYPE, which is not expanded")
            value = self._resolved(_BLANKS.sub(" ", self._lines(self._text[start:stop])), start)
            prefix, _, local = found[2].rpartition(":")
            if found[2] == "xmlns" or prefix == "xmlns":
                self.declarations.append(value)
                continue
            name = self._named(node.name, f"@{local}")
            self._count()
            self.nodes.append(Node(ATTRIBUTE, name, number, found.start("blank"), found.end(), start, stop, value))
            node.attributes += 1

    def _end(self, at: int) -> int:
        found = _END.match(self._text, at)
        innermost = self._open[-1]
        if found is None or len(self._open) == 1 or found[1] != innermost.tag:
            raise self.wrong(at, "an end of another element than the one that is open")
        node = self.nodes[innermost.number]
        node.inner_end, node.end = at, found.end()
        node.text = "".join(innermost.pieces)
        node.holds = len(self.nodes) - innermost.number - 1
        self._open.pop()
        return found.end()

    def _add(self, node: Node, step: str) -> Node:
        """Add a node to the innermost element."""
        inside = self._open[-1]
        node.parent = inside.number
        node.name = self._named(self.nodes[inside.number].name if inside.number >= 0 else "", step)
        first = inside.siblings.setdefault(step, [len(self.nodes), 0])
        first[1] += 1
        if first[1] > 1:
            node.nth, self.nodes[first[0]].nth = first[1], 1
        self._count()
        self.nodes.append(node)
        return node

    def _count(self) -> None:
        if not len(self.nodes) % _TICK:
            limits.now().tick()
            limits.now().check("values", len(self.nodes))

    def _named(self, above: str, step: str) -> str:
        """Return a path by names, one text for all that have it."""
        found = self._names.get((above, step))
        if found is None:
            found = self._names[above, step] = f"{above}/{step}"
            self.spell(found)
        return found

    def _lines(self, raw: str) -> str:
        """Return text with the line ends that a reader sees (XML 1.0 §2.11)."""
        return raw.replace("\r\n", "\n").replace("\r", "\n") if self._returns else raw

    def _refers(self, raw: str) -> bool:
        return any(found[3] and found[3] not in PREDEFINED for found in _REFERENCE.finditer(raw))

    def _resolved(self, raw: str, at: int) -> str:
        """Return text with its references to letters resolved; those to entities stay.

        Raises
        ------
        Malformed
        """
        if "&" not in raw:
            return raw
        if _AMPERSAND.search(raw):
            raise self.wrong(at, "an ampersand that begins no reference")
        return _REFERENCE.sub(self._letter, raw)

    def _letter(self, found: re.Match[str]) -> str:
        if found[3] is None:
            code = int(found[1], 16) if found[1] else int(found[2])
            if not 0 < code < 0x110000 or 0xD800 <= code < 0xE000:
                raise Malformed("it is no XML: a reference to no letter")
            return chr(code)
        if found[3] in PREDEFINED:
            return PREDEFINED[found[3]]
        self.entities.use(found[3])
        for one in self._open[1:]:
            self.nodes[one.number].refers = True
        return found.group()


def read(data: bytes) -> Text:
    """Return a document as text, in the encoding that its first bytes and its declaration agree on.

    Raises
    ------
    Malformed
        They contradict each other (XML 1.0 §4.3.3, appendix F), or the bytes contradict them.
    Unfit
        An encoding that is not read.
    """
    wide = "utf-16-le" if data.startswith(b"<\0?\0") else "utf-16-be" if data.startswith(b"\0<\0?") else ""
    marked = next((name for mark, name in _MARKS if data.startswith(mark)), wide)
    if marked == "utf-32":
        raise Unfit("XML in UTF-32 is not read")
    found = _DECLARATION.match(data[:2048].decode(marked or "latin-1", "ignore").removeprefix("\ufeff"))
    declared = found[1] if found and found[1] else ""
    try:
        codec = codecs.lookup(declared or marked or "utf-8").name
    except LookupError:
        raise Unfit("its declaration names an encoding that is not known") from None
    if marked.startswith("utf-16"):
        if declared and codec not in ("utf-16", marked):
            raise Malformed("its declaration names another encoding than its first bytes tell")
        return Text(data, marked)
    if codec.startswith(("utf-16", "utf-32")) or (marked and codec != marked):
        raise Malformed("its declaration names another encoding than its first bytes tell")
    if codec not in _PLAIN:
        raise Unfit("its declaration names an encoding that is not read")
    return Text(data, codec)


_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"), (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
