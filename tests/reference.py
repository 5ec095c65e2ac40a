"""The examples of tests/vectors/examples, run; and docs/reference.md, made of them and of the tables of the language."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pydicom
import yaml
from nibabel.nifti1 import Nifti1Header
from PIL import Image, TiffTags
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from fw_gear_deid.actions import TABLE as ACTIONS
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.formats import TABLE as FORMATS
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.locks import SECRET
from fw_gear_deid.profile.language.schema import SECTIONS
from fw_gear_deid.profile.parse import parse_profile
from tests import pictures
from tests.nifti_files import volume
from tests.tiff_files import page as page_of
from tests.tiff_files import tiff

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
FOLDER = ROOT / "tests" / "vectors" / "examples"
KEYS = {"title", "text", "profile", "file", "archive", "before", "after", "written"}
Example = dict[str, Any]


def _tiff(before: Mapping[str, str]) -> bytes:
    """Return a TIFF file of a page with texts by the names of their tags."""
    tags = {number: info.name for number, info in TiffTags.TAGS_V2.items()}
    return tiff(page_of(**{f"t{number}": (2, before[name]) for number, name in tags.items() if name in before}))


def _tags(result: bytes) -> dict[str, str]:
    with Image.open(io.BytesIO(result)) as opened:
        found = {TiffTags.lookup(number).name: value for number, value in opened.getexif().items()}
    return {name: value for name, value in found.items() if isinstance(value, str)}


def _volume(before: Mapping[str, str]) -> bytes:
    """Return a NIfTI file with texts by the names of its fields."""
    return volume(**{name: text.encode() for name, text in before.items()})


def _header(result: bytes) -> dict[str, str]:
    header = Nifti1Header(result[:348])
    return {name: header[name].item().decode() for name in ("descrip", "aux_file", "db_name", "intent_name")}


PICTURES = {
    ".jpg": (pictures.photo, pictures.photo_fields),
    ".png": (pictures.chunked, pictures.chunk_fields),
    ".tif": (_tiff, _tags),
    ".nii": (_volume, _header),
}
"""Ending of a name → how a file is made of what an example shows, and what is shown of it."""
_SECRET = b"000102030405060708090a0b0c0d0e0f"
"""What the examples encrypt with."""
_BASE = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SOPInstanceUID": "1.2.3.4.5"}


def examples() -> dict[str, list[Example]]:
    """Return the examples by the name of their file."""
    return {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.yaml"))}


def ran(example: Example) -> tuple[Any, str]:
    """Return what an example comes out as, in the form of its ``after``, and under which name."""
    name = example.get("archive") or example.get("file") or "1.dcm"
    data = (
        PICTURES[Path(name).suffix][0](example["before"])
        if Path(name).suffix in PICTURES
        else _bytes(example["before"])
    )
    if "archive" in example:
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr(name, data)
        name, data = "a.zip", stream.getvalue()
    keyring = Keyring(b"k" * 32, {SECRET: _SECRET})
    ctx = Context(parse_profile(example["profile"], "p.yaml"), keyring, "id:1", date(2026, 1, 1), "strict")
    with tempfile.TemporaryDirectory() as folder:
        source, out = Path(folder, "in"), Path(folder, "out")
        source.write_bytes(data)
        done = deidentify(source, name, ctx, out)
        assert isinstance(done, Result), done
        result, written = out.read_bytes(), done.released.name
    if "archive" in example:
        with zipfile.ZipFile(io.BytesIO(result)) as archive:
            (written,) = archive.namelist()
            result = archive.read(written)
    if Path(name).suffix in PICTURES:
        return PICTURES[Path(name).suffix][1](result), written
    return _texts(example["before"], result), written


def _bytes(before: str | Mapping[str, Any]) -> bytes:
    if isinstance(before, str):
        return before.encode()
    ds = _dataset(_BASE | before)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = io.BytesIO()
    ds.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _dataset(fields: Mapping[str, Any]) -> Dataset:
    ds = Dataset()
    for name, value in fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            value = [_dataset(one) for one in value]
        if name.startswith("("):
            tag = int(name[1:5] + name[6:10], 16)
            ds.add_new(tag, "LO", value)
        else:
            setattr(ds, name, value)
    return ds


def _texts(before: str | Mapping[str, Any], result: bytes) -> Any:
    if isinstance(before, str):
        return result.decode()
    shown = _fields(pydicom.dcmread(io.BytesIO(result)))
    return {name: value for name, value in shown.items() if name in before or name not in _BASE}


def _fields(ds: Dataset) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for element in ds:
        name = element.keyword if element.keyword and not element.tag.is_private else ""
        name = (
            name
            if name and element.tag.group >> 8 not in (0x50, 0x60)
            else f"({element.tag.group:04X},{element.tag.elem:04X})"
        )
        if element.VR == "SQ":
            out[name] = [_fields(item) for item in element.value]
        elif element.VM > 1:
            out[name] = [str(one) for one in element.value]
        else:
            out[name] = "" if element.value is None else str(element.value)
    return out


# -- the page ------------------------------------------------------------------------------------------

_HEAD = """\
# The profile language, by example

Made from the program's own tables and from examples that the tests run (`tests/vectors/examples`, `make reference`): what stands here is what happens. What is stricter than elsewhere, and why: [profiles](profiles.md).

A profile is a YAML mapping: a section for each kind of file, in it `fields`, a list of entries: where, and what to do there. An entry has a `name` (or, in `dicom` and `json`, a `regex`; in `dicom`, a `vr`) and one action. Entries run in the order of the file,
`regex-sub` before all others; those by `vr` last, on what no other one reaches.
"""
_NOT_YET = {"alter_pixels", "alter-pixels"}
_WORDS = {".jpg": "tag", ".png": "chunk", ".nii": "field"}
_TITLES = {
    "1-fields": "Where: DICOM",
    "2-actions": "What",
    "3-names": "Names, other files, archives",
    "4-formats": "Other kinds of files",
    "5-pictures": "Pictures",
    "6-volumes": "Volumes",
}


def page() -> str:
    """Return the text of docs/reference.md."""
    parts = [_HEAD, "\n".join(_sections()), "\n".join(_actions())]
    for stem, listed in examples().items():
        parts.append(f"## {_TITLES[stem]}")
        parts += ["\n".join(_example(one)) for one in listed]
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _sections() -> Iterator[str]:
    yield "## Sections\n"
    yield "| section | files, where no `file-filter` says otherwise | options of its own |"
    yield "|---|---|---|"
    common = set.intersection(*(set(options) for options in SECTIONS.values()))
    for row in FORMATS:
        files = ", ".join(f"`{pattern}`" for pattern in row.patterns) or "none"
        own = ", ".join(f"`{option}`" for option in SECTIONS[row.key] if option not in common)
        yield f"| `{row.key}` | {files} | {own} |"
    yield ""
    yield "What a file is its content says, where that says anything; the name counts for the others. `enforce-file-filter: true`: only files whose name matches."
    yield f"All sections know {', '.join(f'`{option}`' for option in sorted(common - _NOT_YET))}."


def _actions() -> Iterator[str]:
    yield "## Actions and their options\n"
    yield "| action | option | kind | default | stands in |"
    yield "|---|---|---|---|---|"
    for spec in ACTIONS:
        if spec.build is None:
            continue
        if not spec.options:
            yield f"| `{spec.key}` |  |  |  |  |"
        for name, option in spec.options.items():
            places = " or ".join(filter(None, ("entry" if option.entry else "", "section" if option.section else "")))
            default = "" if option.default is None else f"`{json.dumps(option.default)}`"
            yield f"| `{spec.key}` | `{name}` | {option.kind.replace('|', ' or ')} | {default} | {places} |"


def _example(one: Example) -> Iterator[str]:
    yield f"### {one['title']}\n"
    yield one["text"].strip() + "\n"
    yield "```yaml"
    yield one["profile"].rstrip("\n")
    yield "```\n"
    if isinstance(one["before"], str):
        yield f"`{one['file']}` before, and after:\n"
        for text in (one["before"], one["after"]):
            yield "```"
            yield text.rstrip("\n")
            yield "```\n"
    else:
        yield f"| {_WORDS.get(Path(one.get('file', '')).suffix, 'element')} | before | after |"
        yield "|---|---|---|"
        for name in dict.fromkeys((*one["before"], *one["after"])):
            cells = [_cell(one[when][name]) if name in one[when] else "" for when in ("before", "after")]
            yield f"| `{name}` | {cells[0]} | {cells[1]} |"
        yield ""
    if "written" in one:
        source = one.get("archive") or one["file"]
        yield f"`{source}` becomes `{one['written']}`.\n"


def _cell(value: Any) -> str:
    return f"`{json.dumps(value) if isinstance(value, list) else value}`" if value != "" else "empty"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
