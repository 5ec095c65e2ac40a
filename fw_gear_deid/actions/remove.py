"""Values → gone."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Spec
from fw_gear_deid.model.action import GONE, REMOVE, At, Gone, Texts
from fw_gear_deid.model.frozen import frozen


@frozen
class Remove:
    """``remove: true``: the field does not exist afterwards."""

    key: str = "remove"

    def __call__(self, texts: Texts, at: At) -> Gone:
        """Return REMOVE."""
        return REMOVE


SPEC = Spec(
    key="remove",
    does="takes the field away",
    build=lambda given: Remove(),
    promise=GONE,
    words=dict.fromkeys(("delete", "drop", "erase", "strip", "exclude", "action"), "remove"),
)
