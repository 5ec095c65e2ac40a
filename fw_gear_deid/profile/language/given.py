"""An entry of a profile with one action, as the action's builder looks at it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from fw_gear_deid.actions.spec import KEYED, Spec, Template, Value
from fw_gear_deid.model.selectors import AnySelector
from fw_gear_deid.profile.language import templates
from fw_gear_deid.profile.language.addresses import vr_of
from fw_gear_deid.profile.language.naming import ELEMENTS
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar


def is_keyed(value: Node | None) -> bool:
    """Tell whether a value is the word ``keyed``."""
    return isinstance(value, Scalar) and value.kind == "str" and value.text == KEYED


@dataclass(frozen=True, slots=True)
class FromEntry:
    """The ``Given`` of an entry: its options first, then those of its section, then defaults.

    Attributes
    ----------
    spec : Spec
    section : Section
    item : Mapping
    where : str
        Place of the entry in the profile.
    key : str
        The action's key as written.
    name : str
        The field as written.
    selector : AnySelector, optional
    references : dict
        Filled with the other fields that the action reads.
    """

    spec: Spec
    section: Section
    item: Mapping
    where: str
    key: str
    name: str = ""
    selector: AnySelector | None = None
    references: dict[str, AnySelector] = field(default_factory=dict)
    _asked: set[str] = field(default_factory=set)

    @property
    def vr(self) -> str | None:
        """VR of the field, as far as the dictionaries know."""
        return None if self.selector is None else vr_of(self.selector)

    @property
    def keyed(self) -> bool:
        """Whether the action's value is the word ``keyed``."""
        return is_keyed(self.item.get(self.key))

    @property
    def multiple(self) -> bool:
        """Whether a backslash separates several values."""
        return self.section.naming.multiple

    @property
    def elements(self) -> bool:
        """Whether the fields of the section are elements of DICOM."""
        return self.section.naming is ELEMENTS

    def text(self, option: str) -> str:
        """Return a text option."""
        default = self.section.naming.defaults.get(option, self.spec.options[option].default)
        found = next((node.text for node in self._scalars(option) if node.kind in ("str", "date")), default)
        return found if isinstance(found, str) else ""

    def number(self, option: str) -> float | None:
        """Return a number option."""
        found = next((float(node.text) for node in self._scalars(option) if node.kind in ("int", "float")), None)
        default = self.spec.options[option].default
        return default if found is None and isinstance(default, int | float) else found

    def flag(self, option: str) -> bool:
        """Return a boolean option."""
        return next((node.truth for node in self._scalars(option)), bool(self.spec.options[option].default))

    def written(self, option: str) -> str | None:
        """Return the text of an option of the entry itself, whatever its kind."""
        node = self.item.get(option) if self.spec.options[option].entry else None
        return node.text if isinstance(node, Scalar) and node.kind != "null" else None

    def is_unknown(self, option: str) -> bool:
        """Tell whether an option holds a variable without a value."""
        return any(node.unknown for node in self._scalars(option))

    def values(self) -> Iterator[Value]:
        """Yield the values behind the action's key: one, or those of a list."""
        value = self._value()
        for node in value.items if isinstance(value, Listing) else (value,):
            yield node if isinstance(node, Scalar) else Scalar("", node.kind, node.line, node.column)

    def templates(self) -> tuple[Template, ...] | None:
        """Return the list of templates behind the action's key, or complain and return None."""
        return templates.parse_templates(self.section, self._value(), f"{self.where}.{self.key}", self.references)

    def complain(self, message: str, at: str | Value = "") -> None:
        """Note an error at an option, at a value, or at the entry."""
        if not isinstance(at, str):
            self.section.problems.error(at.line, at.column, f"{self.where}.{self.key}", message)
        elif at and not self.spec.options[at].entry:
            self.section.complain(at, message)
        else:
            node = next(iter(self._nodes(at)), self.item) if at else self.item
            self.section.problems.error(node.line, node.column, f"{self.where}.{at}" if at else self.where, message)

    def from_section(self) -> list[Node]:
        """Return the options of the section that the builder has asked for: what the action depends on."""
        options = self.section.options
        asked = [name for name in self.spec.shared if name in self._asked]
        return [node for name in asked if (node := options.get(name)) is not None]

    def _value(self) -> Node:
        node = self.item.get(self.key)
        assert node is not None  # noqa: S101 -- key comes from the entries of item
        return node

    def _nodes(self, option: str) -> list[Node]:
        declared = self.spec.options[option]
        self._asked.add(option)
        places = [self.item] * declared.entry + [self.section.options] * declared.section
        return [node for place in places if (node := place.get(option)) is not None]

    def _scalars(self, option: str) -> list[Scalar]:
        return [node for node in self._nodes(option) if isinstance(node, Scalar)]
