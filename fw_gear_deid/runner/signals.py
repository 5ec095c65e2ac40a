"""Ctrl-C, SIGTERM, SIGHUP → one KeyboardInterrupt, where there is something to interrupt.

What a run does before and after its work is short and must be whole: there a signal waits. The first one during the
work raises, and none does after it, so that nothing tears what is cleaned up and reported.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType

SENT = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""What ends a run early: from a keyboard, from a scheduler, from a terminal that is closed."""
_Handler = Callable[[int, FrameType | None], None]


class Interrupts:
    """Notes that somebody wants the run to end, and raises where it may.

    Attributes
    ----------
    asked : bool
        Somebody does.
    """

    def __init__(self) -> None:
        self.asked = False
        self._allowed = True

    @contextmanager
    def listening(self) -> Iterator[Interrupts]:
        """Take signals from now on."""
        with _handled(self._note):
            yield self

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let signals wait: what is done here is whole."""
        self._allowed = False
        try:
            yield
        finally:
            self._allowed = True

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """Let the first signal raise in the midst of ``held``, also one that came before.

        Raises
        ------
        KeyboardInterrupt
        """
        self._allowed = True
        try:
            self.check()
            yield
            self.check()  # one that was raised where exceptions do not count
        finally:
            self._allowed = False

    def check(self) -> None:
        """Raise if somebody asked.

        Raises
        ------
        KeyboardInterrupt
        """
        if self.asked:
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        first, self.asked = not self.asked, True
        if first and self._allowed:
            raise KeyboardInterrupt


def ignore() -> None:
    """Take no signal any more: the program is about to end."""
    if current_thread() is main_thread():
        for number in SENT:
            signal.signal(number, signal.SIG_IGN)


@contextmanager
def _handled(handler: _Handler) -> Iterator[None]:
    """Set a handler, but not for what is ignored: ``nohup`` and shells do so on purpose."""
    if current_thread() is not main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SENT}
    taken = [number for number, was in before.items() if was is not signal.SIG_IGN and was is not None]
    for number in taken:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, before[number])
