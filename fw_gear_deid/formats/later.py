"""Rows of formats that the language has a section for and that this version does not carry out, without a codec."""

from __future__ import annotations

from fw_gear_deid.formats.row import Format

_NIFTI = (b"n+1\0", b"ni1\0")

FORMATS = (
    Format("nifti", "NIfTI volume", ("*.nii", "*.nii.gz"), lambda head: head[344:348] in _NIFTI),
)  # fmt: skip
