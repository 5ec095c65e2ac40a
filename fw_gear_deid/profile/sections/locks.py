"""Options of sections that name keys → which keys a section works with, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fw_gear_deid.actions import Decrypt, Encrypt
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.model.locks import OPTIONS, PUBLIC, Lock, is_key, written
from fw_gear_deid.model.selectors import TagAt
from fw_gear_deid.profile.compiled import NO_LOCK
from fw_gear_deid.profile.language.entries import Entry
from fw_gear_deid.profile.language.section import Section
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Scalar
from fw_gear_deid.profile.text.problems import Problems

_SECRET, _PUBLIC, _PRIVATE = OPTIONS
_WRITTEN = (
    "the key stands in the profile, which others read: write '{{ SECRET_KEY }}' and name its file in the run; "
    "this one works all the same"
)


def inherit(root: Mapping, sections: dict[str, Section]) -> None:
    """Give the key at the left margin to every section that has none (profile language §2)."""
    node = root.get(_SECRET)
    if node is None:
        return
    for name, section in sections.items():
        if section.options.get(_SECRET) is None and (name == "dicom" or FORMATS[name].codec is not None):
            entries = (*section.options.entries, (root.key(_SECRET), node))
            sections[name] = replace(section, options=replace(section.options, entries=entries))


def warn(root: Mapping, sections: dict[str, Section], problems: Problems) -> None:
    """Warn of keys that stand in the profile itself."""
    for options in (root, *(section.options for section in sections.values())):
        node = options.get(_SECRET)
        if isinstance(node, Scalar) and written(_name(node)):
            problems.warn(node.line, node.column, _SECRET, _WRITTEN)


def lock_of(section: Section, entries: Sequence[Entry]) -> Lock:
    """Return the keys of a DICOM section, or complain about those that its entries lack."""
    encrypts = [entry for entry in entries if isinstance(entry.action, Encrypt)]
    decrypts = [entry for entry in entries if isinstance(entry.action, Decrypt)]
    by_certificate, retains = section.flag("asymmetric-encryption"), section.flag("retain")
    _check(section, [*encrypts, *decrypts])
    if not (encrypts or decrypts or retains):
        return NO_LOCK
    lock = Lock(
        secret="" if by_certificate else _first(section, _SECRET),
        public=_names(section, _PUBLIC) if by_certificate and (encrypts or retains) else (),
        private=_first(section, _PRIVATE) if by_certificate else "",
        opens=bool(decrypts),
    )
    problems, at = section.problems, section.options
    if not by_certificate and not lock.secret:
        more = f", or {_PUBLIC} and asymmetric-encryption: true"
        problems.error(at.line, at.column, section.key, f"no key: write {_SECRET}: '{{{{ SECRET_KEY }}}}'{more}")
    elif by_certificate and not lock.public and (encrypts or retains):
        problems.error(at.line, at.column, section.key, f"no key: write {_PUBLIC}: '{{{{ {PUBLIC} }}}}'")
    elif by_certificate and not lock.private and decrypts:
        problems.error(at.line, at.column, section.key, f"no key: write {_PRIVATE}: '{{{{ PRIVATE_KEY }}}}'")
    return lock


def _check(section: Section, entries: Sequence[Entry]) -> None:
    for entry in entries:
        if isinstance(entry.selector, TagAt) and entry.selector.tag >> 16 == 2:
            what = "the file meta information cannot be encrypted: it tells how to read the file"
            section.problems.error(entry.line, entry.column, entry.where, what)
    if section.options.get("force-nonce") is not None:
        key = section.options.key("force-nonce")
        what = "does nothing for DICOM, whose elements go into an envelope"
        section.problems.warn(key.line, key.column, f"{section.key}.force-nonce", what)


def _first(section: Section, option: str) -> str:
    return next(iter(_names(section, option)), "")


def _names(section: Section, option: str) -> tuple[str, ...]:
    """Return the names of keys: variables, or paths of files as the profile has them."""
    node = section.options.get(option)
    nodes = node.items if isinstance(node, Listing) else (node,)
    found = [one for one in nodes if isinstance(one, Scalar) and one.kind == "str" and one.text.strip()]
    if node is not None and len(found) < len(nodes):
        section.complain(option, "must be the path of a file in PEM, a list of them, or the variable of a key")
    return tuple(map(_name, found))


def _name(node: Scalar) -> str:
    inside = node.text.strip("{} ")
    return inside if is_key(inside) else node.text.strip()
