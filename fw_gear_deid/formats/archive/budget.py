"""How large an archive may be and grow: limits that real ones do not meet, and bombs do."""

from __future__ import annotations

from dataclasses import dataclass, field

from fw_gear_deid.model import limits

_MANY = 4  # times what one may grow to beyond its ratio, of all members together


@dataclass(slots=True)
class Tally:
    """What the members of one archive have taken so far."""

    budget: limits.Budget = field(default_factory=limits.now)
    members: int = 0
    size: int = 0
    packed: int = 0

    def add(self, position: int, size: int, packed: int) -> None:
        """Count a member by what the archive says of it.

        Raises
        ------
        Beyond
            There are too many, or it would grow too much.
        """
        self.members += 1
        self.size, self.packed = self.size + size, self.packed + packed
        self.budget.check("members", self.members)
        self.budget.check("member", size, f"member {position}")
        self.budget.check_room(size, packed, f"member {position}")

    def close(self) -> None:
        """Judge the members together: many small ones may be a bomb as well.

        Raises
        ------
        Beyond
        """
        free = self.budget.most("inflated")
        self.budget.check_room(self.size - (_MANY - 1) * free, self.packed)
