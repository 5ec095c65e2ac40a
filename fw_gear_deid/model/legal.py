"""A text and a VR → why the VR cannot hold it (PS3.5 Table 6.2-1)."""

from __future__ import annotations

import re
from datetime import date

_RANGE = {
    "US": (0, 2**16 - 1), "SS": (-(2**15), 2**15 - 1), "UL": (0, 2**32 - 1), "SL": (-(2**31), 2**31 - 1),
    "UV": (0, 2**64 - 1), "SV": (-(2**63), 2**63 - 1), "IS": (-(2**31), 2**31 - 1),
}  # fmt: skip
# Characters at most, PS3.5 Table 6.2-1 (PN: per component group)
MAX_LENGTH = {
    "AE": 16, "AS": 4, "CS": 16, "DA": 8, "DS": 16, "DT": 26, "IS": 12, "LO": 64, "LT": 10240,
    "PN": 64, "SH": 16, "ST": 1024, "TM": 16, "UI": 64,
}  # fmt: skip
_FORM = {
    "AS": re.compile(r"\d{3}[DWMY]", re.ASCII),
    "CS": re.compile(r"[A-Z0-9 _]*", re.ASCII),
    "DA": re.compile(r"\d{8}", re.ASCII),
    "DS": re.compile(r" *[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)? *", re.ASCII),
    "DT": re.compile(r"\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?([+-]\d{4})?", re.ASCII),
    "IS": re.compile(r" *[+-]?\d+ *", re.ASCII),
    "TM": re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?", re.ASCII),
    "UI": re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", re.ASCII),
}


def problem(text: str, vr: str) -> str:
    """Say why a text is no legal value of a VR (PS3.5 Table 6.2-1); empty when it is one."""
    if not text:
        return ""
    if vr == "SQ" or (vr.startswith("O") and len(vr) == 2):
        return f"text, which VR {vr} cannot hold"
    if vr in ("FL", "FD"):
        return "" if _FORM["DS"].fullmatch(text) else f"not a number, which VR {vr} needs"
    if vr in _RANGE:
        low, high = _RANGE[vr]
        if len(text) > 40 or not _FORM["IS"].fullmatch(text) or not low <= int(text) <= high:
            return f"not a whole number from {low} to {high}, which VR {vr} needs"
    if vr == "AT":
        return "" if re.fullmatch(r"[0-9A-Fa-f]{8}", text) else "not eight hexadecimal digits, which VR AT needs"
    longest = max(len(group) for group in text.split("=")) if vr == "PN" else len(text)
    if longest > MAX_LENGTH.get(vr, longest):
        return f"longer than the {MAX_LENGTH[vr]} characters of VR {vr}"
    if vr in _FORM and not _FORM[vr].fullmatch(text.rstrip(" ")):
        return f"not in the form of VR {vr}"
    if vr == "DA" and not _is_date(text):
        return "not a date, which VR DA needs"
    if vr not in ("LT", "ST", "UT") and any(ord(char) < 32 and char != "\x1b" for char in text):
        return f"with control characters, which VR {vr} cannot hold"
    return ""


def _is_date(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return False
    return True
