"""What a first look at a source file found: whose it is, and which instance it is. Sealed, small, kept between runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fw_gear_deid.model.frozen import frozen
from fw_gear_deid.model.person import Identity


@frozen
class Seen:
    """The outcome of a look; texts are stamps by the run's secret.

    Attributes
    ----------
    kind : str
        ``instance``, ``unnamed`` (an instance that the profile's names leave out), ``archive``, or ``other`` for what
        has no DICOM header.
    identities : tuple of Identity
        The distinct ones: of an instance one, of an archive those of the members that were looked at.
    study, series, instance : str
        UIDs of the instance, or of an archive's first one; empty where absent.
    sha256 : str
        Of the bytes, where it was asked for.
    row : str
        Of whom the mapping's row says it is, where the mapping has one.
    number : int
        Of that row; 0 without one.
    """

    kind: str
    identities: tuple[Identity, ...] = ()
    study: str = ""
    series: str = ""
    instance: str = ""
    sha256: str = ""
    row: str = ""
    number: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "kind": self.kind,
            "identities": [[one.id, list(one.born), one.name] for one in self.identities],
            "uids": [self.study, self.series, self.instance],
            "sha256": self.sha256,
            "row": [self.row, self.number],
        }

    @staticmethod
    def from_json(value: Mapping[str, Any]) -> Seen:
        """Return what ``as_json`` was made of."""
        identities = tuple(Identity(one, tuple(born), name) for one, born, name in value["identities"])
        study, series, instance = value["uids"]
        return Seen(value["kind"], identities, study, series, instance, value["sha256"], *value["row"])
