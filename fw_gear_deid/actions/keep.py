"""Values → the same values."""

from __future__ import annotations

from fw_gear_deid.actions.spec import Spec
from fw_gear_deid.model.action import At, Texts
from fw_gear_deid.model.frozen import frozen


@frozen
class Keep:
    """``keep: true`` (``identity`` is its old name): protects from allow-lists, changes nothing."""

    key: str = "keep"

    def __call__(self, texts: Texts, at: At) -> Texts:
        """Return the values unchanged."""
        return texts


SPEC = Spec(
    key="keep",
    old=("identity",),
    does="leaves the value as it is, and protects it from allow-lists",
    build=lambda given: Keep(),
    keeps=True,
    words=dict.fromkeys(("retain", "preserve", "include"), "keep"),
)
