"""The words of the profile language: sections, their options, actions and theirs, each with its type."""

from __future__ import annotations

from fw_gear_deid import actions

# type names: bool · int · number · str · list · any; "x|y" either
COMMON = {
    "fields": "list",
    "file-filter": "str|list",
    "enforce-file-filter": "bool",
    **{name: option.kind for spec in actions.TABLE for name, option in spec.shared.items()},
    "filenames": "list",
    "alter_pixels": "any",
    "alter-pixels": "any",
}
SECTIONS: dict[str, dict[str, str]] = {
    "dicom": COMMON
    | {
        "remove-private-tags": "bool",
        "remove-undefined": "bool",
        "recurse-sequence": "bool",
        "decode": "bool",
        "patient-age-from-birthdate": "bool",
        "patient-age-units": "str",
        "retain": "bool",
        "asymmetric-encryption": "bool",
        "public-key": "any",
        "private-key": "any",
    },
    "filename": COMMON,
    "json": COMMON | {"separator": "str"},
    "key-value-text-file": COMMON | {"delimiter": "str", "encoding": "str", "ignore-bad-lines": "bool"},
    "nifti": COMMON,
    "zip": COMMON | {"hash-subdirectories": "bool", "validate-zip-members": "bool", "allow-unmatched-files": "bool"},
    "jpg": COMMON | {"remove-exif": "bool", "remove-gps": "bool"},
    "png": COMMON | {"remove-private-chunks": "bool"},
    "csv": COMMON | {"reader": "str", "delimiter": "str"},
    "tsv": COMMON | {"reader": "str", "delimiter": "str"},
    "table": COMMON | {"reader": "str", "delimiter": "str"},
    "tiff": COMMON | {"remove-private-tags": "bool"},
    "xml": COMMON,
}
TOP = {
    "name": "str",
    "description": "str",
    "version": "any",
    "deid-log": "str",
    "map-subjects": "str",
    "secret-key": "str",
    "only-config-profiles": "bool",
    "flywheel": "any",
}
LEVELS = ("project", "subject", "session", "acquisition", "file")
FLYWHEEL = {"date-increment": "number"} | dict.fromkeys(LEVELS, "any")
LEVEL = {
    key: COMMON[key]
    for key in COMMON
    if key not in ("file-filter", "enforce-file-filter", "filenames", "alter_pixels", "alter-pixels")
} | {"all": "bool", "include-info-header": "bool", "separator": "str"}

ACTIONS = {name: {option: found.kind for option, found in spec.own.items()} for name, spec in actions.SPECS.items()}
BOOLEAN_ACTIONS = frozenset(name for name, spec in actions.SPECS.items() if spec.alone)
OPTIONS = {name: option for spec in actions.TABLE for name, option in spec.options.items()}
"""What actions work with; one name means one kind of value everywhere."""
OURS = frozenset(name for name, option in OPTIONS.items() if option.ours)
"""Options that other engines do not know."""
ZIP_FIELDS = frozenset({"comment"})
FILENAME_KEYS = {"output": "str", "input-regex": "str", "groups": "list"}
SECTION_OPTIONS = frozenset(key for options in SECTIONS.values() for key in options) - TOP.keys()

# section → default patterns, and the bytes its files start with (offset, signatures); profile language §2.1
FILTERS: dict[str, tuple[tuple[str, ...], int, tuple[bytes, ...]]] = {
    "dicom": (("*.dcm", "*.DCM", "*.ima", "*.IMA"), 128, (b"DICM",)),
    "json": (("*.json", "*.JSON"), 0, ()),
    "key-value-text-file": (("*.MHD", "*.mhd"), 0, ()),
    "nifti": (("*.nii", "*.nii.gz"), 0, ()),
    "jpg": (("*.jpg", "*.jpeg", "*.JPG", "*.JPEG"), 0, (b"\xff\xd8\xff",)),
    "png": (("*.png", "*.PNG"), 0, (b"\x89PNG\r\n\x1a\n",)),
    "csv": (("*.csv", "*.CSV"), 0, ()),  # the reference's default lacks the star and matches nothing
    "tsv": (("*.tsv", "*.TSV"), 0, ()),
    "table": ((), 0, ()),
    "tiff": (("*.tif", "*.tiff", "*.TIF", "*.TIFF"), 0, (b"II*\0", b"MM\0*")),
    "xml": (("*.XML", "*.xml"), 0, (b"<?xml ",)),
    "zip": (("*.zip", "*.ZIP"), 0, (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")),
    "filename": (("*",), 0, ()),  # last: a copy under another name never wins over a section that de-identifies
}
BUILT = frozenset({"dicom", "zip", "filename"})
"""Sections that this version carries out; files of the others are refused, never copied."""
