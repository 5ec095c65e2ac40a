"""Rows of sections whose files have no fields: archives, which are opened before any section, and mere copies."""

from __future__ import annotations

from fw_gear_deid.formats.row import Format

ZIP = Format(
    "zip",
    patterns=("*.zip", "*.ZIP"),
    options={"hash-subdirectories": "bool", "validate-zip-members": "bool", "allow-unmatched-files": "bool"},
)
FILENAME = Format("filename", patterns=("*",))
"""Last: a copy under another name never wins over a section that de-identifies."""
