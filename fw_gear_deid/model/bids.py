"""Trees in the layout of BIDS: which folders and files belong to it, and how the labels in their names are replaced.

A dataset is ``sub-LABEL/[ses-LABEL/]DATATYPE/sub-LABEL_[ses-LABEL_]..._SUFFIX.EXTENSION``, with files about a session,
a subject and the whole dataset beside (BIDS 1.10, "Common principles").
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping

from fw_gear_deid.model.frozen import frozen

DATATYPES = frozenset({
    "anat", "beh", "dwi", "eeg", "fmap", "func", "ieeg", "meg", "micr", "motion", "mrs", "nirs", "perf", "pet",
})  # fmt: skip
SUBJECT, SESSION = "sub-", "ses-"
_SUBJECT = re.compile(r"sub-[A-Za-z0-9+]+")
_SESSION = re.compile(r"ses-[A-Za-z0-9+]+")
_TOP = re.compile(r"(README|CHANGES|LICENSE)(\.[a-z]+)?|[\w+-]+\.(json|tsv|bval|bvec)")
_ENTITIES = re.compile(
    r"(?<![A-Za-z0-9])(?:(?P<subject>sub-[A-Za-z0-9+]+)(?:(?P<between>[_/\\])(?P<session>ses-[A-Za-z0-9+]+))?|(?P<alone>ses-[A-Za-z0-9+]+))"
)


def is_dataset(folder: str, inside: Collection[str]) -> bool:
    """Tell whether a folder is that of a subject of a dataset, by its name and those of the folders in it.

    >>> is_dataset("sub-01", ["anat"]), is_dataset("sub-01", ["ses-1"]), is_dataset("sub-01", ["T1"])
    (True, True, False)
    """
    return bool(_SUBJECT.fullmatch(folder)) and any(one in DATATYPES or _SESSION.fullmatch(one) for one in inside)


def depth(folders: list[str]) -> int | None:
    """Return how many folders above a file of a dataset are containers of it, None where it belongs to none.

    >>> depth(["sub-1", "ses-1", "anat"]), depth(["sub-1", "anat"]), depth(["code"]), depth(["sub-1", "x"])
    (3, 2, None, None)
    """
    if not folders or not _SUBJECT.fullmatch(folders[0]):
        return None
    rest = folders[2:] if len(folders) > 1 and _SESSION.fullmatch(folders[1]) else folders[1:]
    return len(folders) if not rest or (len(rest) == 1 and rest[0] in DATATYPES) else None


def is_about_all(name: str) -> bool:
    """Tell whether a file that lies beside the subjects' folders is about the dataset.

    >>> is_about_all("participants.tsv"), is_about_all("README"), is_about_all("IM0001")
    (True, True, False)
    """
    return bool(_TOP.fullmatch(name))


def prefix_of(label: str) -> str:
    """Return what a folder's name begins with that BIDS gives it: ``sub-``, ``ses-`` or nothing."""
    if _SUBJECT.fullmatch(label):
        return SUBJECT
    return SESSION if _SESSION.fullmatch(label) else ""


def _is_name(text: str, found: re.Match[str]) -> bool:
    """Tell whether labels stand alone, or in a path or a file's name."""
    before, behind = text[: found.start()][-1:], text[found.end() :][:1]
    return before in ("", "/", ":", "_", "\\") and behind in ("", "/", "_", ".", "\\")


@frozen
class Entities:
    """Labels of a dataset, and what becomes of them.

    Attributes
    ----------
    labels : mapping of str to str
        ``sub-01`` and ``sub-01/ses-1`` at the source → subject's and session's label at the destination.
    subject : str
        The one that a file lies below, or nothing: a session without a subject is one of it.
    """

    labels: Mapping[str, str]
    subject: str

    def replaced(self, text: str, unknown: Callable[[str], str]) -> str:
        """Return a name, a path, or another text with the labels in it replaced.

        Parameters
        ----------
        unknown : callable
            ``sub-01`` or ``sub-01/ses-1`` that has no folder → what it becomes, where it stands as a name does:
            ``sub-millimeter scan`` is none.
        """
        if "sub-" not in text and "ses-" not in text:
            return text

        def label(key: str) -> str:
            return self.labels[key] if key in self.labels else unknown(key)

        def one(found: re.Match[str]) -> str:
            subject, session = found["subject"], found["session"] or found["alone"]
            is_known = (subject or self.subject) in self.labels
            own = subject or f"{self.subject}/{session}"
            if own not in self.labels and (subject or session) in self.labels.values():
                return found.group()  # a label of the destination already: a rule has put it there
            if not is_known and not _is_name(text, found):
                return found.group()
            new = label(subject) if subject else ""
            if not session:
                return new
            if not (subject or self.subject):
                return found.group()  # of nobody
            return f"{new}{found['between'] or ''}{label(f'{subject or self.subject}/{session}')}"

        return _ENTITIES.sub(one, text)
