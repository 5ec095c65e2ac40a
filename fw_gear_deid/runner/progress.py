"""Finished files → a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from fw_gear_deid.model.cells import shown


class Progress:
    """Tells a person how far a run is. Names of destinations only: source names may be identifiers."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._done = 0
        self._quiet = quiet
        self._bar = None if quiet or not sys.stderr.isatty() else tqdm(total=total, unit="file", file=sys.stderr)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def step(self, state: str, text: str, files: int = 1) -> None:
        """Note that one more source (or a series of them) is done."""
        self._done += files
        if self._quiet:
            return
        try:
            self._tell(state, shown(text), files)
        except OSError:
            self._quiet = True  # whoever read this went away; the work goes on

    def _tell(self, state: str, text: str, files: int) -> None:
        if self._bar is not None:
            self._bar.update(files)
            if state in ("refused", "failed"):
                self._bar.write(f"{self._done}/{self._total} {state}: {text}", file=sys.stderr)
            return
        print(f"{self._done}/{self._total} {state}: {text}", file=sys.stderr, flush=True)  # noqa: T201
