"""An XML file, open: elements, attributes, comments and instructions by XPath, changed where they stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from fw_gear_deid.formats.row import Changes, Field, Options, Splice
from fw_gear_deid.formats.xml.scan import ATTRIBUTE, COMMENT, ELEMENT, INSTRUCTION, Node, Scan, read
from fw_gear_deid.formats.xml.tree import Tree, tree_of
from fw_gear_deid.model.action import Gone
from fw_gear_deid.model.errors import Malformed, Unfit

_NO_LETTER = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0 §2.2
_LETTER = re.compile(r"&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,8}));")
_ESCAPED: dict[str, str | int | None] = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}
_IN_VALUES: dict[str, str | int | None] = {"\t": "&#9;", "\n": "&#10;", '"': "&quot;", "'": "&apos;"}
_HARMLESS = ("/processing-instruction(xml-stylesheet)", "/processing-instruction(xml-model)")


class Document:
    """An XML file, open; as ``formats.row.Document``."""

    def __init__(self, data: bytes, options: Options) -> None:
        self._data = data
        self._scan = Scan(data)
        self._nodes = self._scan.nodes
        self._paths: list[str] = []
        self.fields: Sequence[Field] = [self._field(node) for node in self._nodes]
        self._tree: Tree | None = None
        self.gone: dict[int, str] = {}

    def _field(self, node: Node) -> Field:
        step = node.name.rpartition("/")[2]
        if node.kind == ATTRIBUTE:
            step = "@" + self._scan.file.text[node.start : node.inner - 1].partition("=")[0].strip()
        above = self._paths[node.parent] if node.parent >= 0 else ""
        path = f"{above}/{step}" + (f"[{node.nth}]" if node.nth else "")
        self._scan.spell(path)
        self._paths.append(path)
        holds, is_value = node.holds or -1, node.kind == ELEMENT and not node.elements
        return Field(node.name, path, (node.text,), holds, stay=node.attributes, is_value=is_value)

    def find(self, name: str) -> Sequence[int]:
        """Return which of the fields an XPath points at.

        Raises
        ------
        Unfit
        """
        if self._tree is None:
            self._tree = tree_of(self._data)
            if [one.name for one in self._tree.fields] != [one.name for one in self.fields]:
                raise Malformed("two readers of XML find different elements in it")
        return self._tree.find(name)

    def splices(self, changes: Changes) -> Sequence[Splice]:
        """Return what is to be done to the bytes.

        Raises
        ------
        Unfit
            XML cannot hold it, or what stands there refers to an entity of the DOCTYPE, whose text would stay.
        """
        edits, gone = list[tuple[int, int, str]](), range(0)
        for number, texts in sorted(changes.texts.items()):
            node = self._nodes[number]
            if node.start in gone:
                continue  # it goes with what it is in
            path = self.fields[number].path
            if node.refers:
                raise Unfit(f"{path} refers to an entity of the DOCTYPE, whose text would stay there")
            if isinstance(texts, Gone):
                if node.kind == ELEMENT and node.parent < 0:
                    raise Unfit(f"{path} is the root, which cannot go; replace it or name what is in it")
                edits.append((node.start, node.end, ""))
            elif len(texts) != 1:
                raise Unfit(f"{path} holds one value")
            else:
                edits += self._edit(node, texts[0], path)
            if node.kind == ELEMENT:
                gone = range(node.start if isinstance(texts, Gone) else node.inner, node.end)
        return self._scan.file.splices(sorted(edits))

    def _edit(self, node: Node, text: str, path: str) -> Iterator[tuple[int, int, str]]:
        """Yield the change of a value.

        Raises
        ------
        Unfit
        """
        if _NO_LETTER.search(text):
            raise Unfit(f"{path}: XML has no letter for a control character")
        if node.kind == COMMENT:
            if "--" in text or text.endswith("-"):
                raise Unfit(f"{path}: a comment holds no two hyphens")
            yield node.inner, node.inner_end, text
        elif node.kind == INSTRUCTION:
            if "?>" in text:
                raise Unfit(f"{path}: an instruction holds no '?>'")
            blank = " " if node.inner == node.inner_end and text else ""
            yield node.inner, node.inner_end, blank + text
        elif node.kind == ATTRIBUTE:
            yield node.inner, node.inner_end, self._written(text, _ESCAPED | _IN_VALUES)
        elif node.inner < node.end:
            yield node.inner, node.inner_end, self._written(text, _ESCAPED)
        elif text:  # <a/>
            tag = node.name.rpartition("/")[2]
            yield node.end - 2, node.end, f">{self._written(text, _ESCAPED)}</{tag}>"

    def _written(self, text: str, escaped: dict[str, str | int | None]) -> str:
        """Return a text as XML; a letter that its encoding has not as a reference."""
        codec = self._scan.file.encoding
        return text.translate(str.maketrans(escaped)).encode(codec, "xmlcharrefreplace").decode(codec)


def beside(data: bytes, options: Options) -> Iterable[tuple[str, bytes]]:
    """Yield what stands beside elements and attributes, in UTF-8: DOCTYPE, comments, instructions, namespaces."""
    if _is_bare(text := read(data).text) and "xmlns" not in text:
        return
    scan = Scan(data)
    doctype = scan.file.text[slice(*scan.doctype)]
    if doctype:
        yield "the DOCTYPE", _utf8(doctype)
        if "&#" in doctype:
            yield "the DOCTYPE", _utf8(_LETTER.sub(_letter, doctype))
    for node in scan.nodes:
        if node.kind in (COMMENT, INSTRUCTION):
            yield "a comment" if node.kind == COMMENT else "an instruction", _utf8(node.text)
    for name in scan.declarations:
        yield "a namespace", _utf8(name)


def risks(data: bytes, options: Options) -> Sequence[str]:
    """Return what may tell whose a document is: comments, instructions for programs, texts of entities."""
    if _is_bare(read(data).text):
        return []
    scan = Scan(data)
    told = []
    if any(node.kind == COMMENT for node in scan.nodes):
        told.append("comments")
    if any(node.kind == INSTRUCTION and not node.name.endswith(_HARMLESS) for node in scan.nodes):
        told.append("processing instructions")
    return [*told, "entities of the DOCTYPE"] if scan.entities else told


def _is_bare(text: str) -> bool:
    """Tell whether there is nothing but elements, their attributes and texts, and a declaration at most."""
    return "<!" not in text and text.find("<?", 1) < 0


def _letter(found: re.Match[str]) -> str:
    code = int(found[1], 16) if found[1] else int(found[2])
    return chr(code) if code < 0x110000 else found.group()


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
