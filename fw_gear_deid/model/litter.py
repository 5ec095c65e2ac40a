"""Files and folders that operating systems, storage and viewers leave: nobody's data, often somebody's name."""

from __future__ import annotations

_TRASH = frozenset({
    ".trash", ".trashes", "$recycle.bin", "#recycle", "@recycle", ".recycle", ".recycle.bin", "network trash folder",
})  # fmt: skip
_OLD_TRASH = ("RECYCLER", "RECYCLED")  # Windows on FAT and before Vista; in small letters they are words
_SNAPSHOTS = frozenset({
    ".snapshot", ".snapshots", "~snapshot", "#snapshot", "@snapshot", "@recently-snapshot", ".zfs", ".ckpt",
})  # fmt: skip
_SYSTEM = frozenset({
    "system volume information", "lost+found", ".spotlight-v100", ".fseventsd", ".documentrevisions-v100",
    ".mobilebackups", ".temporaryitems", "temporary items", ".hfs+ private directory data", ".appledouble",
    ".appledb", ".appledesktop", "__macosx", "@eadir", ".@__thumb", "@__thumb", "$extend",
})  # fmt: skip
_FILES = frozenset({
    ".ds_store", ".localized", ".apdisk", "icon\r", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini",
})  # fmt: skip
_STREAMS = ("@synoeastream", "@synoresource")  # Synology: what a Mac keeps beside a file


def litter_of(path: str) -> str:
    """Return what left a file there, empty when it is somebody's.

    Parameters
    ----------
    path : str
        With ``/``; of its folders all count.

    >>> litter_of("S1/.Trashes/501/1.dcm"), litter_of("S1/._1.dcm"), litter_of("S1/1.dcm")
    ('in a trash folder', 'left by an operating system', '')
    """
    *folders, name = path.split("/")
    found = next(filter(None, map(litter_folder, folders)), "")
    if found:
        return found
    lower = name.lower()
    left = lower in _FILES or lower.startswith("._") or lower.endswith(_STREAMS)
    return "left by an operating system" if left else ""


def litter_folder(name: str) -> str:
    """Return what a folder of this name is, empty when it may hold somebody's files."""
    lower = name.lower()
    if lower in _TRASH or name in _OLD_TRASH or lower.startswith(".trash-"):
        return "in a trash folder"
    if lower in _SNAPSHOTS:
        return "in a snapshot folder"
    return "in a folder of an operating system" if lower in _SYSTEM else ""
