"""What a run is asked for → its de-identification log, open and known to take entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fw_gear_deid import keys
from fw_gear_deid.log.open import address, open_log
from fw_gear_deid.model.errors import UNLOGGED, LogDown, UsageError
from fw_gear_deid.model.logged import DeidLog


def opened(url: str, key: Path | None, outside: Sequence[Path] = (), api_key: str = "") -> DeidLog:
    """Return a log that takes entries.

    Parameters
    ----------
    url : str
    key : Path, optional
        What encrypts originals in it.
    outside : sequence of Path
        Folders that it must not lie in.
    api_key : str
        Of the platform, for its service.

    Raises
    ------
    UsageError
        It cannot be had, or takes nothing: nothing would be released.
    """
    try:
        log = open_log(url, key=None if key is None else keys.load(key), outside=outside, api_key=api_key)
        try:
            log.probe()
        except BaseException:
            log.close()
            raise
    except LogDown as error:
        text = str(error)
        raise UsageError(text if text.startswith(UNLOGGED) else f"{UNLOGGED}: {text}") from None
    return log


@contextmanager
def closing(log: DeidLog | None) -> Iterator[None]:
    """Close a log in the end, where there is one."""
    try:
        yield
    finally:
        if log is not None:
            log.close()


__all__ = ["address", "closing", "opened"]
