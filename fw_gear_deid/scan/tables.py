"""Lines of what a scan found → ``findings.csv``, ``files.csv``, ``containers.csv`` and ``summary.json``.

The columns of files and containers are those of the utilities of the University of Pennsylvania, and ours behind them.
"""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fw_gear_deid.model.cells import cell
from fw_gear_deid.scan.findings import KINDS
from fw_gear_deid.system import private

HIDDEN, NONE = "REDACTED", "NA"
_FINDINGS = ("file", "kind", "place", "what", "times", "value")
_PLACE = (
    "project_id",
    "subject_id",
    "subject_label",
    "session_id",
    "session_label",
    "acquisition_id",
    "acquisition_label",
)
_FILES = (
    *_PLACE, "file_name", "file_type", "file_user", "file_created", "header_deidentification_method",
    "header_has_patient_identifiers", "header_patient_identifiers_populated", "found_fields", "found_values",
    "file_has_info", "file_has_patient_identifiers", "file_patient_identifiers_populated", "file", "instances", *KINDS,
)  # fmt: skip
_CONTAINERS = (
    "level", *_PLACE, "has_metadata", "has_patient_identifiers", "patient_identifiers_populated", "found_fields",
    "found_values", "metadata",
)  # fmt: skip
Line = Mapping[str, Any]
"""One file or container, as it is noted: ``place``, ``file`` …, plain JSON values."""


def write(folder: Path, lines: Iterable[Line], *, values: bool) -> Counter[str]:
    """Write the tables; return how many files and containers have a finding of each kind, and how many there are.

    Raises
    ------
    OSError
    """
    counts: Counter[str] = Counter()
    made = {name: folder / f"{name}.csv.partial" for name in ("findings", "files", "containers")}
    streams = {
        name: os.fdopen(private.create_anew(path), "w", encoding="utf-8", errors="backslashreplace", newline="")
        for name, path in made.items()
    }
    try:
        writers = {name: csv.writer(stream, lineterminator="\r\n") for name, stream in streams.items()}
        for name, header in (("findings", _FINDINGS), ("files", _FILES), ("containers", _CONTAINERS)):
            writers[name].writerow(header)
        for line in lines:
            counts["files" if line["kind"] == "file" else "containers"] += 1
            counts.update(kind for kind in KINDS if any(one[0] == kind for one in line["found"]))
            counts["instances"] += line.get("instances", 0)
            if line["found"]:
                counts["with findings"] += 1
            for kind, place, what, times, value in line["found"]:
                told = value if values and value else HIDDEN if value or kind in _VALUED else NONE
                _row(writers["findings"], (line["id"], kind, place, what, times, told))
            if line["kind"] == "file":
                _row(writers["files"], _file(line, values))
            else:
                _row(writers["containers"], _container(line, values))
    finally:
        for stream in streams.values():
            stream.close()
    for name, path in made.items():
        path.replace(folder / f"{name}.csv")
    return counts


_VALUED = frozenset({"identifier", "repeated", "text", "name", "metadata"})


def summary(folder: Path, counts: Mapping[str, int], asked: Mapping[str, object]) -> None:
    """Write what was asked and what came of it.

    Raises
    ------
    OSError
    """
    path = folder / "summary.json.partial"
    with os.fdopen(private.create_anew(path), "w", encoding="utf-8") as stream:
        json.dump({**asked, "counts": dict(counts), "kinds": KINDS}, stream, indent=1, ensure_ascii=True)
        stream.write("\n")
    path.replace(folder / "summary.json")


def _row(writer: Any, texts: Sequence[object]) -> None:
    writer.writerow([cell(str(text)) for text in texts])


def _file(line: Line, values: bool) -> list[object]:
    fields: Mapping[str, bool] = line["fields"]
    info: Mapping[str, bool] = line.get("info", {})
    by_kind = Counter(one[0] for one in line["found"])
    return [
        *(line["place"].get(name, "") for name in _PLACE),
        line["name"], line.get("type", ""), line.get("user", ""), line.get("created", ""),
        _method(line), bool(fields), any(fields.values()), "/".join(fields) or NONE, _values(line, fields, values),
        line.get("has_info", NONE), bool(info), any(info.values()), line["id"], line["instances"],
        *(by_kind[kind] for kind in KINDS),
    ]  # fmt: skip


def _method(line: Line) -> str:
    if not line["instances"]:
        return "NoSuitableDicomFile"
    return "; ".join(line["methods"]) or NONE


def _values(line: Line, fields: Mapping[str, bool], values: bool) -> str:
    if not fields:
        return NONE
    said = {what: value for kind, _, what, _, value in reversed(line["found"]) if kind in ("identifier", "metadata")}
    return "/".join(said.get(one, NONE) for one in fields) if values else HIDDEN


def _container(line: Line, values: bool) -> list[object]:
    fields: Mapping[str, bool] = line["fields"]
    return [
        line["level"], *(line["place"].get(name, "") for name in _PLACE),
        line["has_metadata"], bool(fields), any(fields.values()), "/".join(fields) or NONE,
        _values(line, fields, values), len(line["found"]),
    ]  # fmt: skip
