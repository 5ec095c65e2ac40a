"""Rows of formats that the language has a section for and that this version does not carry out, without a codec."""

from __future__ import annotations

from fw_gear_deid.formats.row import Format

_NIFTI = (b"n+1\0", b"ni1\0")

FORMATS = (
    Format("jpg", "picture", ("*.jpg", "*.jpeg", "*.JPG", "*.JPEG"), lambda head: head.startswith(b"\xff\xd8\xff"),
           options={"remove-exif": "bool", "remove-gps": "bool"}),
    Format("png", "picture", ("*.png", "*.PNG"), lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
           options={"remove-private-chunks": "bool"}),
    Format("tiff", "picture", ("*.tif", "*.tiff", "*.TIF", "*.TIFF"),
           lambda head: head.startswith((b"II*\0", b"MM\0*")), options={"remove-private-tags": "bool"}),
    Format("nifti", "NIfTI volume", ("*.nii", "*.nii.gz"), lambda head: head[344:348] in _NIFTI),
)  # fmt: skip
