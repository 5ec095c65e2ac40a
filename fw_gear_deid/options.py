"""The options of ``run``: one field each, from which command line, gear and documentation are made.

A new option is one field here and, where a gear can have it, one entry of ``manifest.json``; a test holds the two
together.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from fw_gear_deid.model import limits
from fw_gear_deid.model.frozen import frozen


@frozen
class Word:
    """How an option is written and read.

    Attributes
    ----------
    help : str
    metavar : str
        What its value is called; empty for a switch.
    choices : tuple of str
    read : callable
        Text → value.
    many : bool
        Takes several values, and may be given more than once.
    bare : bool
        May be given without a value, and is true then.
    gear : str
        Name in ``manifest.json``: empty where a gear cannot have it.
    """

    help: str
    metavar: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[str], object] = str
    many: bool = False
    bare: bool = False
    gear: str = ""


def count(text: str) -> int:
    """Read a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number from 1")
    return int(text)


def a_limit(text: str) -> tuple[str, int]:
    """Read ``NAME=VALUE``."""
    try:
        return limits.read(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@frozen
class Options:
    """What a run is asked for.

    Attributes
    ----------
    source : str
        A folder, one file, or ``fw://GROUP/PROJECT...``; never written to.
    dest : str
        A folder, or ``fw://GROUP/PROJECT``.
    """

    source: str
    dest: str
    profile: Annotated[
        str | None, Word("path or shipped name; a platform DEST may have one of its own", "P", gear="deid_profile")
    ] = None
    mapping: Annotated[
        Path | None,
        Word(
            "values for {{ variables }}, by subject.label, PatientID, AccessionNumber or StudyInstanceUID",
            "CSV",
            read=Path,
            gear="mapping_csv",
        ),
    ] = None
    session_level_profile: Annotated[
        bool, Word("mapping rows by session.label as well", gear="session_level_profile")
    ] = False
    allow_shared_ids: Annotated[bool, Word("two subjects may get one new id", gear="allow_shared_ids")] = False
    ids: Annotated[
        Path | bool | None,
        Word(
            "write an id-table, old and new, usable as a mapping: identifiers (default REPORTS/private/ids.csv)",
            "FILE",
            read=Path,
            bare=True,
        ),
    ] = None
    uid_map: Annotated[
        Path | bool | None,
        Word(
            "write every UID that was hashed, id_old,id_new: identifiers (default REPORTS/private/uids.csv)",
            "FILE",
            read=Path,
            bare=True,
        ),
    ] = None
    include: Annotated[
        tuple[str, ...], Word("only files whose name or path matches (* ? [..])", "PATTERN", many=True)
    ] = ()
    exclude: Annotated[tuple[str, ...], Word("no files whose name or path matches", "PATTERN", many=True)] = ()
    only: Annotated[tuple[str, ...], Word("only these first folders of SOURCE, or subjects", "SUBJECT", many=True)] = ()
    identity: Annotated[
        str,
        Word("what people who contradict are: refused, or a warning", choices=("strict", "warn"), gear="identity"),
    ] = "strict"
    reports: Annotated[
        Path | None,
        Word("audit.csv and summary.json, to hand on; private/ is not (default DEST-report)", "DIR", read=Path),
    ] = None
    ledger: Annotated[
        Path | None,
        Word("ledger, lock, key and workspace, on a local disk (default REPORTS/private)", "DIR", read=Path),
    ] = None
    audit_originals: Annotated[
        bool,
        Word("a second audit in private/ with the 'before' column: identifiers, in clear", gear="audit_originals"),
    ] = False
    exists: Annotated[
        str, Word("when DEST has the file", choices=("skip", "replace", "fail"), gear="overwrite_files")
    ] = "skip"
    prune: Annotated[bool, Word("take back what stands in DEST of sources that are gone", gear="prune")] = False
    check: Annotated[bool, Word("compare what stands in DEST by SHA-256, not by size and time")] = False
    new_key: Annotated[bool, Word("make everything in DEST anew with another key")] = False
    verify: Annotated[
        str, Word("checks before release", choices=("strict", "full", "report", "off"), gear="verify")
    ] = "strict"
    strict_rules: Annotated[
        bool, Word("refuse a file in which a rule of its section finds nothing", gear="strict_rules")
    ] = False
    labels: Annotated[str, Word("folder names at DEST", choices=("rules", "keep"), gear="labels")] = "rules"
    compression: Annotated[
        str, Word("how members are deflated: quickly, or well", choices=("fast", "small"), gear="compression")
    ] = "fast"
    workers: Annotated[
        int | None, Word("processes (default: the cores it may use)", "N", read=count, gear="workers")
    ] = None
    scheduler: Annotated[
        str | None,
        Word("work on the dask cluster at this address; SOURCE and reports on a shared disk", "ADDRESS"),
    ] = None
    scheduler_file: Annotated[
        Path | None, Word("the same, by what 'dask scheduler --scheduler-file FILE' wrote", "FILE", read=Path)
    ] = None
    key_file: Annotated[
        Path | None,
        Word("the secret behind pseudonyms and keyed actions; 'once': one for this run alone, forgotten behind it", "F",
             read=Path, gear="key_file"),
    ] = None  # fmt: skip
    secret_key: Annotated[
        str | None,
        Word("file, or fw://..., of the key behind {{ SECRET_KEY }}: encrypt, decrypt", "F", gear="secret_key"),
    ] = None
    public_key: Annotated[
        tuple[str, ...],
        Word("the same of certificates behind {{ PUBLIC_KEY }}: who may decrypt", "F", many=True, gear="public_key"),
    ] = ()
    private_key: Annotated[
        str | None, Word("the same of the key behind {{ PRIVATE_KEY }}, which decrypts", "F", gear="private_key")
    ] = None
    limit: Annotated[
        tuple[tuple[str, int], ...],
        Word("let a file take more, or less: elements, inflated, seconds ...", "NAME=VALUE", read=a_limit, many=True,
             gear="limits"),
    ] = ()  # fmt: skip
    log_db: Annotated[
        str | None,
        Word("the de-id log: sqlite:///FILE or postgresql://USER@HOST/DATABASE (else FW_DEID_LOG_DB)", "URL"),
    ] = None
    log_key: Annotated[
        Path | None, Word("the key that originals in the log are encrypted with", "F", read=Path, gear="log_key")
    ] = None
    dry_run: Annotated[bool, Word("everything but writing; the reports are written", gear="dry_run")] = False
    quiet: Annotated[bool, Word("no progress; the last line only when something was refused or failed")] = False


def words() -> Iterator[tuple[str, Word, object]]:
    """Yield name, word and default of every option, in the order of the help."""
    hints = get_type_hints(Options, include_extras=True)
    for one in dataclasses.fields(Options):
        for word in getattr(hints[one.name], "__metadata__", ()):
            yield one.name, word, one.default


def add(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add options to a parser: all of them, or those that are named."""
    for name, word, default in words():
        if names and name not in names:
            continue
        more: dict[str, Any] = {"help": word.help, "default": default}
        if default is False:
            more["action"] = "store_true"
        elif word.choices:
            more["choices"] = word.choices
        else:
            more |= {"metavar": word.metavar, "type": word.read}
        if word.bare:
            more |= {"nargs": "?", "const": True}
        if word.many:
            more |= {"nargs": "+", "action": "extend", "default": None}
        parser.add_argument(f"--{name.replace('_', '-')}", **more)


def read(arguments: argparse.Namespace) -> Options:
    """Return what a command line asks for."""
    given: dict[str, Any] = {one.name: getattr(arguments, one.name) for one in dataclasses.fields(Options)}
    given |= {name: tuple(given[name] or ()) for name, word, _ in words() if word.many}
    return Options(**given)


def made(values: Mapping[str, object]) -> Options:
    """Return options from Python values; paths may be text, several values any sequence of text.

    Raises
    ------
    TypeError
        An option that does not exist.
    ValueError
        A value that an option cannot have.
    """
    known = {name: word for name, word, _ in words()}
    unknown = values.keys() - known.keys() - {"source", "dest"}
    if unknown:
        raise TypeError(f"no such option: {', '.join(sorted(unknown))}")
    out: dict[str, Any] = {}
    for name, value in values.items():
        word = known.get(name)
        if word is not None and word.choices and value not in word.choices:
            raise ValueError(f"{name}: must be one of {', '.join(word.choices)}")
        if word is not None and word.read is count and value is not None and (type(value) is not int or value < 1):
            raise ValueError(f"{name}: must be a whole number from 1")
        if isinstance(value, os.PathLike | str) and word is not None and word.read is Path:
            value = Path(value)
        elif name in ("source", "dest", "profile") and value is not None:
            value = os.fspath(value)  # type: ignore[call-overload]
        elif word is not None and word.read is a_limit:
            value = _limits(name, value)
        elif word is not None and word.many:
            value = (value,) if isinstance(value, str) else tuple(_texts(value))
        out[name] = value
    return Options(**out)


def _limits(name: str, value: object) -> tuple[tuple[str, int], ...]:
    """Return limits from a mapping of numbers or texts, or from texts as of the command line."""
    if isinstance(value, Mapping):
        value = [f"{key}={number}" for key, number in value.items()]
    try:
        return tuple(limits.read(one) for one in _texts((value,) if isinstance(value, str) else value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _texts(value: object) -> Sequence[str]:
    if not isinstance(value, Sequence) or not all(isinstance(one, str) for one in value):
        raise ValueError("several values must be a sequence of text")
    return value
