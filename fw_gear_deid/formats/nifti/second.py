"""NIfTI file up to its volume → its fields once more: nibabel reads the header, and nothing of ours its extensions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from fw_gear_deid.formats import json_text
from fw_gear_deid.formats.row import Field, Options
from fw_gear_deid.model.errors import Malformed

_MRS = 44
_MRS_MOST = 128 * 1024
_TEXTS = {"descrip", "aux_file", "db_name", "intent_name", "data_type", "unused_str"}


class Again:
    """The fields of a NIfTI file as nibabel has them; as ``formats.row.Listing``."""

    def __init__(self, data: bytes, options: Options) -> None:
        header = _header(data)
        self.fields: list[Field] = []
        alone = header["magic"].item()[1:2] == b"+"
        for name in header.dtype.names:
            if name != "vox_offset" or not alone:
                self._add(name, header[name])
        if alone and int(header["vox_offset"]) != len(data):
            raise Malformed("its volume does not begin where vox_offset says")
        self._read_extensions(data, header.dtype.itemsize, "big" if header["dim"].dtype.byteorder == ">" else "little")

    def find(self, name: str) -> Sequence[int]:
        """Return the field of the header that a name points at, in any case."""
        return [number for number, one in enumerate(self.fields) if one.name == name.casefold()]

    def _add(self, name: str, value: Any) -> None:
        if value.dtype.kind != "S":
            numbers = value.reshape(-1)
            self.fields.append(Field(name, "", tuple(_told(one) for one in numbers)))
            return
        raw = bytes(value.item())
        end = raw.find(b"\0")
        self.fields.append(Field(name, "", (_text(raw if end < 0 else raw[:end]),)))
        if name in _TEXTS and end >= 0 and any(raw[end:]):
            width = value.dtype.itemsize
            self.fields.append(Field(f"{name} behind its end", "", (_text(raw.ljust(width, b"\0")[end + 1 :]),)))

    def _read_extensions(self, data: bytes, length: int, order: Any) -> None:
        seen: set[int] = set()
        at = length + 4 if len(data) >= length + 4 else length
        while any(data[length : length + 1]) and at + 16 <= len(data):
            size = int.from_bytes(data[at : at + 4], order, signed=True)
            code = int.from_bytes(data[at + 4 : at + 8], order, signed=True)
            if size <= 0:
                break
            content = data[at + 8 : at + size]
            opens = code == _MRS and code not in seen and size <= _MRS_MOST
            seen.add(code)
            if not opens or not self._add_json(content):
                self.fields.append(Field(f"extension {code}", "", (sha256(content).hexdigest(),)))
            at += size
        if any(data[at:]):
            self.fields.append(Field("bytes in front of the volume", "", (sha256(data[at:]).hexdigest(),)))

    def _add_json(self, content: bytes) -> bool:
        payload = content.rstrip(b"\0")
        try:
            inner = json_text.Again(payload, {})
        except Malformed:
            return False
        if not json_text.read(payload).text.lstrip().startswith("{"):
            return False
        self.fields += [replace(one, name=f"extension 44 {one.name}") for one in inner.fields]
        return True


def _header(data: bytes) -> Any:
    """Return nibabel's structure of the header.

    Raises
    ------
    Malformed
    """
    from nibabel import nifti1, nifti2

    kinds: tuple[Any, ...] = (nifti1.Nifti1Header, nifti2.Nifti2Header)
    for kind in kinds:
        if kind.may_contain_header(data):
            return kind(data[: kind.sizeof_hdr], check=False).structarr
    raise Malformed("it is no NIfTI to a second reader")


def _text(raw: bytes) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError:
        return str(raw, "latin-1")


def _told(value: Any) -> str:
    """Return a number of numpy's with the fewest digits that tell it from its neighbours."""
    import numpy as np

    if value.dtype.kind != "f":
        return str(int(value))
    if value.dtype.itemsize == 4 and np.isfinite(value):
        fewest = (np.format_float_scientific(value, precision=digits, unique=False) for digits in range(12))
        value = next(text for text in fewest if np.float32(text) == value)
    return repr(float(value)).removesuffix(".0")
