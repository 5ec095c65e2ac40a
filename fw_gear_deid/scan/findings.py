"""What a scan finds: the kinds, and one finding."""

from __future__ import annotations

from fw_gear_deid.model.frozen import frozen

KINDS = {
    "identifier": "an element or field that holds a name, an id, an address or the like",
    "repeated": "what an identifier of the file says stands in another place, too",
    "text": "a text with a date, a telephone number, an address, a long number or what looks like a name",
    "name": "the name of a file, a folder or a member says one of these",
    "private": "elements of a maker, by creator",
    "risk": "what may tell whose it is though no element says so: burned-in text, documents, GPS position …",
    "metadata": "the platform's own fields of a container or file",
    "unread": "what was not looked at, and why",
}
"""Kind → what it means."""


@frozen
class Finding:
    """One thing that was found in a file.

    Attributes
    ----------
    kind : str
        Of ``KINDS``.
    place : str
        Path of the element or field without the numbers of items, ``file name``, ``comment of the archive`` …
    what : str
        What it is: a keyword, a word for what a text tells, a reason. Never a value.
    value : str
        As it stands there; only where values were asked for.
    """

    kind: str
    place: str
    what: str
    value: str = ""
