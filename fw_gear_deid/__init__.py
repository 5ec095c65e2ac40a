"""De-identification of stored imaging projects: a profile and files in, clean files and an audit out."""

__version__ = "0.1.0"

RESULTS = 3
"""Raised when, and only when, the same source, profile and key give other output bytes than before.

How members are packed does not count: with another codec there are other bytes around the same ones."""


def __getattr__(name: str) -> object:
    """Load ``deidentify`` when it is asked for: most commands do not need all that it brings."""
    if name == "deidentify":
        from fw_gear_deid.api import deidentify

        return deidentify
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
