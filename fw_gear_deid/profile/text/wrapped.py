"""A document that holds a profile somewhere inside → the profile, or where it stands.

Configurations of ``fw ingest`` list profiles below ``deid-profiles``; settings of a platform's project, group or site
have theirs below ``deid_profile``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fw_gear_deid.profile.language.schema import FLAGS, SECTIONS, VALUES
from fw_gear_deid.profile.text.nodes import Listing, Mapping, Node, Scalar, read
from fw_gear_deid.profile.text.problems import Problems

_INGEST = frozenset({"template", "de-identify", "deid-profile", "deid-profiles", "include-dirs", "exclude-dirs"})
_DEPTH = 6


Keyed = dict[str, tuple[Scalar, Node]]
"""Key, in lower case with hyphens, → the key as written and its node."""


def unwrap(root: Node, problems: Problems) -> Node | None:
    """Return the profile of a document: itself as a rule, else the one that stands where the platform puts it.

    Parameters
    ----------
    root : Node
    problems : Problems
        Receives a warning where the profile is taken from inside, and an error where it is not clear which.
    """
    if _is_profile(root):
        return root
    keys = _keyed(root)
    if "deid-profiles" in keys:
        return _of_ingest(keys, problems)
    settings = _keyed(keys["settings"][1]) if "settings" in keys else {}
    for place in (keys, settings):
        key, node = place.get("deid-profile", (None, None))
        if key is not None and node is not None and _is_profile(node):
            message = f"the profile is taken from below {key.text!r}; nothing else in this file counts"
            problems.warn(key.line, key.column, "", message)
            return node
    if keys.keys() & _INGEST:
        problems.error(root.line, root.column, "", _without_profiles(keys))
        return None
    inside = next(_inside(root, 0), None)
    if inside is None:
        return root
    path, node = inside
    problems.error(
        node.line,
        node.column,
        "",
        f"the profile stands below {path!r}: move it to the left margin, in a file of its own",
    )
    return None


def _of_ingest(keys: Keyed, problems: Problems) -> Node | None:
    """Return the profile that a configuration of ``fw ingest`` uses: the one of its name, or the only one."""
    key, node = keys["deid-profiles"]
    listed = [one for one in (node.items if isinstance(node, Listing) else (node,)) if _is_profile(one)]
    chosen = keys["deid-profile"][1] if "deid-profile" in keys else None
    if isinstance(chosen, Scalar):
        found = [one for one in listed if _name(one) == chosen.text]
        if len(found) != 1:
            message = f"{len(found)} profiles below {key.text!r} have the name {chosen.text!r}; there {_places(listed)}"
            problems.error(chosen.line, chosen.column, "", message)
            return None
        listed = found
    if len(listed) != 1:
        message = (
            f"a configuration of 'fw ingest' with {len(listed)} profiles: {_places(listed)}; name one in 'deid-profile'"
        )
        problems.error(key.line, key.column, "", message)
        return None
    message = (
        f"a configuration of 'fw ingest': the profile {_name(listed[0])!r} below {key.text!r} counts, nothing else"
    )
    problems.warn(key.line, key.column, "", message)
    return listed[0]


def _places(listed: list[Node]) -> str:
    return "stand " + ", ".join(f"{_name(one)!r} in line {one.line}" for one in listed) if listed else "stands none"


def _without_profiles(keys: Keyed) -> str:
    node = keys["deid-profile"][1] if "deid-profile" in keys else None
    named = f"; it names {node.text!r}: give the file of that name" if isinstance(node, Scalar) else ""
    return f"a configuration of 'fw ingest', with no profile below 'deid-profiles'{named}"


def _is_profile(node: Node) -> bool:
    return isinstance(node, Mapping) and any(key.text in SECTIONS for key, _ in node.entries)


def _keyed(node: Node) -> Keyed:
    entries = node.entries if isinstance(node, Mapping) else ()
    return {key.text.lower().replace("_", "-"): (key, value) for key, value in entries}


def _name(profile: Node) -> str:
    node = profile.get("name") if isinstance(profile, Mapping) else None
    return node.text if isinstance(node, Scalar) else ""


def _inside(node: Node, depth: int) -> Iterator[tuple[str, Node]]:
    """Yield path and node of each profile below a node; a section's name alone makes none."""
    below: list[tuple[str, Node]] = []
    if isinstance(node, Mapping):
        below = [(key.text, value) for key, value in node.entries]
    elif isinstance(node, Listing):
        below = [("- ", item) for item in node.items]
    for step, value in below if depth < _DEPTH else ():
        if (
            isinstance(value, Mapping)
            and _is_profile(value)
            and any(isinstance(one, Mapping) for _, one in value.entries)
        ):
            yield step, value
        else:
            yield from (
                (f"{step}: {path}" if step != "- " else f"- {path}", one) for path, one in _inside(value, depth + 1)
            )


def plain_values(text: str) -> dict[str, Any]:
    """Return a profile as the plain JSON object that a platform stores.

    What YAML reads as something else than it says keeps its source text, as in the profile: ``YES`` is a word where no
    option or action takes true or false, and ``1.50`` is a number with two decimals.

    The text must be one that ``read`` has found no fault with.
    """
    root = read(text, Problems(), frozenset())
    found = _plain(root and unwrap(root, Problems()))
    if not isinstance(found, dict):
        raise TypeError("a profile is a mapping")
    return found


def _plain(node: Node | None, key: str = "") -> Any:
    match node:
        case None:
            return None
        case Mapping(entries):
            return {key.text: _plain(value, key.text) for key, value in entries}
        case Listing(items):
            return [_plain(item, key) for item in items]
        case Scalar(text, "bool"):
            return node.truth if key in FLAGS else text
        case Scalar(_, "null"):
            return None
        case Scalar(text, "int" | "float" as kind):
            number = {"int": int, "float": float}[kind](text)
            return number if key not in VALUES or json.dumps(number) == text else text
        case Scalar(text):
            return text
