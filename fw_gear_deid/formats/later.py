"""Rows of formats that the language has a section for and that this version does not carry out, without a codec."""

from __future__ import annotations

from fw_gear_deid.formats.row import Format

FORMATS: tuple[Format, ...] = ()
