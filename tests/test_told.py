"""What an unexpected error tells: its kind and where it was, and nothing that it quotes."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from fw_gear_deid.runner import workers
from fw_gear_deid.sample import MARKER
from tests.desk import Desk, instance, packed

ERRORS = [
    ValueError(MARKER), KeyError(MARKER), AssertionError(MARKER), RuntimeError(MARKER), RecursionError(MARKER),
    UnicodeDecodeError("utf-8", MARKER.encode(), 0, 1, MARKER), OSError(MARKER), EOFError(MARKER), MemoryError(MARKER),
    FileNotFoundError(2, "No such file or directory", MARKER), PermissionError(13, "Permission denied", MARKER, None, MARKER),
]  # fmt: skip
FILES = {"S/V/A/1": instance(), "S/V/A/z.zip": packed({"a": instance(number=2)}), "loose": instance("P2")}
WHERE = ("deidentify", "see", "survey", "_context", "_are_still", "problem_of")


def raising(error: BaseException) -> Callable[..., Any]:
    def work(*arguments: Any, **options: Any) -> Any:
        raise error

    return work


def told(desk: Desk, *options: str) -> str:
    """Run, and return everything that is said and reported but for the names of sources."""
    done = desk.run(*options)
    reports = [path.read_text("utf-8") for path in desk.reports.rglob("*.*") if path.suffix in (".csv", ".json")]
    return "\n".join((done.out, done.err, *reports))


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_no_text_of_an_exception_is_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, where: str, error: BaseException
) -> None:
    desk.put(FILES)
    monkeypatch.setattr(workers, where, raising(error))
    text = told(desk)
    assert MARKER not in text
    if where != "problem_of":  # nothing is wrong with what is listed
        hurt = [desk.reasons()[source] for source, state in desk.states().items() if state in ("failed", "refused")]
        words = ("unexpected", "memory", "Error", "No such", "denied")
        assert hurt and all(any(word in reason for word in words) for reason in hurt), hurt


@pytest.mark.parametrize("how", ["warn", "log", "print"])
def test_what_libraries_say_is_not_heard(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], how: str
) -> None:
    """pydicom warns of the values that it reads, and quotes them; a warning is no error of the file either."""
    desk.put(FILES)
    real = workers.deidentify

    def talks(*arguments: Any, **options: Any) -> Any:
        import logging

        if how == "warn":
            warnings.warn(f"value {MARKER} is odd", UserWarning, stacklevel=1)
        elif how == "log":
            logging.getLogger("pydicom").debug("value %s is odd", MARKER)
        return real(*arguments, **options)

    monkeypatch.setattr(workers, "deidentify", talks)
    assert MARKER not in told(desk) + "".join(capfd.readouterr())
    assert set(desk.states().values()) == {"released"}
