"""What a table says of the elements that no entry of a section reaches: asked by place, answered by actions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from fw_gear_deid.model.action import Action
from fw_gear_deid.model.frozen import frozen


@frozen
class Asked:
    """An element that no entry reaches.

    Attributes
    ----------
    tag : int
    vr : str
        The dictionary's where it knows the element (a private one by its creator), else what stands on the wire.
    creator : str
        Of a private element; of a private creator its own text, where the dictionary or the profile know it. Else
        empty.
    way : tuple of int
        Tags of the sequences around it, the outermost first; empty at the top level.
    sop_class : str
        SOPClassUID of the instance, as its top level tells it; empty where it does not.
    whole : bool
        One of its mates stands beside it and has a value, or it has none; see ``Table``.
    """

    tag: int
    vr: str
    creator: str
    way: tuple[int, ...]
    sop_class: str
    whole: bool = True


@frozen
class Ruling:
    """What is done to an element.

    Attributes
    ----------
    label : str
        Of the audit's rows: ``ps3-15 X``.
    actions : tuple of Action
        In the order in which they run. Of a sequence as a whole: ``Keep`` (what is in it is asked for by itself),
        ``Replace(())`` (no items) or ``Remove``. A private creator that is removed goes where nothing of its block
        stays in the data set.
    """

    label: str
    actions: tuple[Action, ...]


class Table(Protocol):
    """Decides about elements that neither place entries nor class entries reach.

    Its answer goes by what it is asked alone: it is remembered for all files of a SOP class. It is pickled with its
    section.
    """

    @property
    def mates(self) -> Mapping[int, frozenset[int]]:
        """Return tag → tags of which one must have a value in the same data set, or the answer is another one."""
        ...

    def rule(self, asked: Asked) -> Ruling | None:
        """Return what is done to an element, or None where the table says nothing of it."""
        ...
