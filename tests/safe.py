"""``standard/safe.tsv``, made from two lists of private attributes: ``make safe ARGS="E3.10-1.csv TCIA-KB.csv"``.

The first is Table E.3.10-1 of PS3.15 (columns ``group``, ``element``, ``private_creator``, ``vr_pydicom``), the second
the private tag knowledge base of The Cancer Imaging Archive (``element_sig_pattern``, ``vr``, ``private_disposition``,
``tag_name``); the edition of each stands in its file's name. Where they differ the careful one counts:

- What the standard lists is safe, unless the archive's curators keep it nowhere (delete, hash, not applicable).
- What the curators keep in all places, and the standard does not list, is safe when it is a number, a code or a
  sequence; text only when its name tells of no person, place, thing with a number, or words that somebody typed.
- What converters need is safe: numbers, codes, short texts that a scanner writes.
- Bytes of no known form are safe only where the standard says so: nobody can clean them.
"""

from __future__ import annotations

import csv
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fw_gear_deid.standard import safe

Key = tuple[str, int, int]
_STEP = re.compile(r'\(([0-9a-fA-F]{4}),"*([^"()]*?)"*,([0-9a-fA-F]{2})"*\)$')
_EDITION = re.compile(r"20\d\d(?:[a-e]|-\d\d-\d\d)")
NUMBERS = ("CS", "DS", "FD", "FL", "IS", "SL", "SS", "UL", "US", "SQ")
TEXTS = ("LO", "SH")
TYPED = re.compile(
    r"name|owner|\bid\b|ident|code|annotat|marker|label|site|depart|descri|comment|protocol|station|user|serial|date|"
    r"time\b|birth|patient|physician|radiograph|operat|exam|study|institut|address|uid|sum|unknown|text string|title|"
    r"project|trial|batch|host|path|file|destination|diagnos|visibil|history|overlay|legend|prefix|postfix|slop|governing|"
    r"sequencei|param\w* value|processing string|deferred|stripped|additional|extended",
    re.IGNORECASE,
)
CONVERTERS = {
    "GEMS_ACQU_01": {0x0019: "9CLO"},
    "GEMS_PARM_01": {
        0x0043: "01SS 02SS 03SS 04SS 06SS 07SS 08SS 09SS 0ASS 1CSS 1DSS 2ESH 7CFL 84LO 95LO B2LO B3DS B6LO B7LO B8DS BADS BCIS C0DS"
    },
    "GEMS_IMAG_01": {0x0027: "33UL 35SS 40SH"},
    "Image Private Header": {
        0x0065: "05SH 09FD 0AFD 13FD 14DS 16UL 25DS 2CIS 2FFL 37FD 38FD 50DS 51SQ",
    },
    "Philips MR Imaging DD 001": {0x2005: "33FL 35CS 60IS 81CS 85SQ"},
    "Philips MR Imaging DD 005": {0x2005: "0ESQ 0FSQ 28IS 29CS 2ACS 2BCS 2CCS 2DCS 92FL"},
    "SIEMENS MR SDI 02": {0x0021: "75CS 76LO 88DS 8AIS FESQ"},
    "SIEMENS MR SDS 01": {0x0021: "5ACS 5BCS 5CCS 5DSL FESQ"},
}
"""What converters (dcm2niix) read of volumes, slice times, diffusion and phase encoding, and neither source keeps, or
its name says name: the pulse sequence. Group → last bits of elements and VR."""


class Told(NamedTuple):
    """What the knowledge base says of an attribute, over all places in which it was met."""

    words: set[str]
    vrs: set[str]
    names: set[str]


def table(path: Path) -> dict[Key, str]:
    """Return attribute → VR of Table E.3.10-1, empty where none is known."""
    found: dict[Key, str] = {}
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            found[row["private_creator"].strip(), int(row["group"], 16), int(row["element"][-2:], 16)] = row[
                "vr_pydicom"
            ]
    return found


def base(path: Path) -> dict[Key, Told]:
    """Return attribute → what the knowledge base says; patterns with public attributes at their end say nothing."""
    found: dict[Key, Told] = defaultdict(lambda: Told(set(), set(), set()))
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            last = re.split(r"\[<\d+>\]", row["element_sig_pattern"].strip())[-1]
            if match := _STEP.match(last):
                told = found[match[2].strip(), int(match[1], 16), int(match[3], 16)]
                told.words.add(row["private_disposition"].strip().lower())
                told.vrs.add(row["vr"].strip())
                told.names.add(row["tag_name"].rpartition(":")[2])
    return found


def chosen(standard: dict[Key, str], curators: dict[Key, Told]) -> dict[Key, str]:
    """Return the attributes that are safe, with the VR that is known of them."""
    kept: dict[Key, str] = {}
    for key, vr in standard.items():
        told = curators.get(key)
        if told is None or "k" in told.words:
            kept[key] = vr or _vr(told)
    for key, told in curators.items():
        vr = _vr(told)
        if key in standard or told.words != {"k"} or key[0] in ("", "CTP"):  # the archive's own
            continue
        telling = any(map(TYPED.search, told.names))
        if vr in NUMBERS or (vr in TEXTS and not telling):
            kept[key] = vr
    for creator, groups in CONVERTERS.items():
        for group, elements in groups.items():
            kept |= {(creator, group, int(one[:2], 16)): one[2:] for one in elements.split()}
    return kept


def _vr(told: Told | None) -> str:
    """Return the one VR besides those of bytes under which an attribute was met; empty for none, or several."""
    vrs = set() if told is None else told.vrs - {"UN", "OB", "OW", ""}
    return vrs.pop() if len(vrs) == 1 else ""


def lines(paths: list[Path]) -> Iterator[str]:
    """Yield the lines of the file: creator, group, and each element with its VR."""
    editions = [found[0] for path in paths if (found := _EDITION.search(path.name))]
    if len(editions) != 2:
        raise SystemExit("the names of the two lists must tell their editions")
    yield (
        "# generated by make safe, do not edit: PS3.15 Table E.3.10-1, edition "
        f"{editions[0]}, and TCIA's private tag knowledge base of {editions[1]}"
    )
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    for (creator, group, element), vr in sorted(chosen(table(paths[0]), base(paths[1])).items()):
        groups[creator, group].append(f"{element:02X}{vr}")
    for (creator, group), elements in groups.items():
        yield f"{creator}\t{group:04X}\t{' '.join(elements)}"


def main(arguments: list[str]) -> None:
    """Write the file."""
    target = Path(safe.__file__).with_name(safe.SAFE)
    target.write_text("\n".join(lines([Path(one) for one in arguments])) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
