"""How large an archive may be and grow: limits that real ones do not meet, and bombs do."""

from __future__ import annotations

from dataclasses import dataclass

from fw_gear_deid.model.errors import Malformed

MAX_MEMBERS = 1_000_000
MAX_MEMBER = 8 << 30  # bytes; the largest single DICOM object is 4 GiB of pixels
RATIO = 200  # what grows more than this, beyond FREE bytes, is a bomb
FREE = 64 << 20


@dataclass(slots=True)
class Budget:
    """What the members of one archive have taken so far."""

    members: int = 0
    size: int = 0
    packed: int = 0

    def add(self, position: int, size: int, packed: int) -> None:
        """Count a member by what the archive says of it.

        Raises
        ------
        Malformed
            There are too many, or it would grow too much.
        """
        self.members += 1
        if self.members > MAX_MEMBERS:
            raise Malformed(f"the archive has more than {MAX_MEMBERS} members")
        self.size, self.packed = self.size + size, self.packed + packed
        if size > MAX_MEMBER or grown(size, packed):
            raise Malformed(f"member {position}: it would grow beyond any real one")

    def close(self) -> None:
        """Judge the members together: many small ones may be a bomb as well.

        Raises
        ------
        Malformed
        """
        if self.size > 4 * FREE + RATIO * self.packed:
            raise Malformed("the archive would grow beyond any real one")


def room(packed: int) -> int:
    """Return how many bytes a packed file can honestly hold."""
    return FREE + RATIO * packed


def grown(size: int, packed: int) -> bool:
    """Tell whether data is larger than its packed form can honestly hold."""
    return size > room(packed)
