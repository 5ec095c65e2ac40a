"""What ``ps3-15`` leaves of identifiers that were planted: ``python -m tests.truth FOLDER [OPTION...]``.

FOLDER is a corpus with ``phi_truth.csv.gz``: columns ``path`` (below FOLDER), ``layer``, ``where`` (an element's path, or
``preamble``, ``filename``…), ``phi`` and ``search_hex`` (what to look for), ``category``, ``vr``, ``e11``, ``note``. Each DICOM file of
its layer ``planted`` goes through engine and check. What is told are places alone, by what they are and how many.
"""

from __future__ import annotations

import csv
import gzip
import re
import sys
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from fw_gear_deid.deid import dataset
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Draws, Keyring
from fw_gear_deid.model.errors import DeidError
from fw_gear_deid.profile.compiled import DicomSection
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.standard import tables
from fw_gear_deid.standard.risks import COUNTED, WORDS

Rows = dict[str, list[dict[str, str]]]
_UNSEEN = ("filename", "pixel", "overlay_bits")
"""Places that are named, or drawn: bytes do not tell them."""
TECHNICAL = frozenset({"00080008", "00080070", "00081090", "00180015", "00180024", "00181160", "00280A02"})
"""Attributes that the table leaves out on purpose, and so do we: kind of image, maker, model, body part, filter."""
ACCEPTED = ", ".join(word for word in WORDS if word not in COUNTED | {"documents"})


def section_of(options: list[str]) -> DicomSection:
    """Return the basic profile with options; no file is refused for its class but documents, which would stay."""
    text = f"dicom:\n  ps3-15: {{profile: basic, options: [{', '.join(options)}]}}\n  accept: [{ACCEPTED}]\n"
    section = parse_profile(f"{text}  fields:\n    - requires: fw-gear-deid\n", "truth.yaml").dicom
    assert section is not None
    return section


def planted(folder: Path) -> Rows:
    """Return the rows of each DICOM file that something was planted in, but for what cannot be looked for."""
    csv.field_size_limit(1 << 30)
    found: Rows = defaultdict(list)
    with gzip.open(folder / "phi_truth.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            drawn = row["where"].startswith(_UNSEEN) or "pixel[" in row["where"]
            if row["layer"] == "planted" and row["path"].startswith(("planted/dicom/", "planted/series/")):
                found[row["path"]] += [] if drawn or "weak" in row["note"] else [row]
    return found


def deidentified(data: bytes, section: DicomSection) -> bytes:
    """Return a file as it would leave, checked."""
    parts = dataset.open_file(data, section)
    done = dataset.edit(parts, section, Draws(Keyring(b"k" * 32), "somebody"), "somebody", date(2026, 1, 1))
    pieces, meta = part10.write(parts, done.meta, done.body)
    written = b"".join(pieces)
    dataset.check(done, written, meta, part10.behind(parts, done.body))
    return written


def left(written: bytes, rows: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    """Yield the rows whose identifier is still there."""
    inflated = [written]
    if b"1.2.840.10008.1.2.1.99" in written[:1000]:
        start = 144 + int.from_bytes(written[140:144], "little")
        inflated.append(zlib.decompress(written[start:], -15))
    for row in rows:
        spelt = [row["phi"].encode(encoding) for encoding in ("utf-8", "utf-16-le", "utf-16-be")]
        spelt += [bytes.fromhex(row["search_hex"])] if row["search_hex"] else []
        if any(one in data for one in spelt if one for data in inflated):
            yield row


def place_of(row: dict[str, str]) -> str:
    """Return where something was planted: the element, and how deep."""
    tags = re.findall(r"\(([0-9A-F]{4}),([0-9A-F]{4})\)", row["where"])
    depth = "nested" if len(tags) > 1 else "top"
    return f"{depth} {''.join(tags[-1])}" if tags else row["where"]


def count(folder: Path, options: list[str]) -> tuple[Counter[str], Counter[str], int]:
    """Return what is left by place, why files were refused, and how many identifiers were looked for."""
    section, places, refused, sought = section_of(options), Counter[str](), Counter[str](), 0
    for path, rows in planted(folder).items():
        try:
            written = deidentified((folder / path).read_bytes(), section)
        except DeidError as error:
            refused[str(error)] += 1
            continue
        sought += len(rows)
        places.update(f"{place_of(row)} {row['category']}" for row in left(written, rows))
    return places, refused, sought


if __name__ == "__main__":
    unknown = set(sys.argv[2:]) - {*tables.OPTIONS}
    if len(sys.argv) < 2 or unknown:
        raise SystemExit(f"usage: python -m tests.truth FOLDER [OPTION...]; options are {', '.join(tables.OPTIONS)}")
    places, refused, sought = count(Path(sys.argv[1]), sys.argv[2:])
    print(f"{sum(places.values())} of {sought} left")
    for place, number in places.most_common():
        print(f"{number:6} {place}")
    for reason, number in refused.items():
        print(f"refused {number}: {reason}")
