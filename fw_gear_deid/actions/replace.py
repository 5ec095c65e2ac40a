"""Values → a constant."""

from __future__ import annotations

from fw_gear_deid.model.action import At, Texts
from fw_gear_deid.model.frozen import frozen


@frozen
class Replace:
    """``replace-with: VALUE``: a constant, several values, or none (empty).

    Attributes
    ----------
    values : tuple of str
    insert : bool
        Create the field where it is absent (``replace-with-insert``).
    """

    values: Texts
    insert: bool = True
    key: str = "replace-with"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the constant."""
        return self.values
