"""NIfTI: what rules and habits change, what stays bit for bit, what is refused; results read with nibabel."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
import yaml
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header

from fw_gear_deid.cli import main
from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.formats import FORMATS
from fw_gear_deid.formats.nifti import layout
from fw_gear_deid.formats.nifti.document import Document, number_text
from fw_gear_deid.formats.nifti.second import Again
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Skipped
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from tests.desk import edits_of
from tests.nifti_files import DATA, put, volume, zipped

TEXTS = ("descrip", "aux_file", "intent_name", "db_name", "data_type")
CODEC = FORMATS["nifti"].codec
assert CODEC is not None
MRS = {
    "SpectrometerFrequency": [123.2], "ResonantNucleus": ["1H"], "PatientName": "DOE", "dim_5": "DIM_COIL", "EchoTime": 0.03,
    "dim_6": "DIM_DOE", "dim_5_header": {"EchoTime": {"start": 0, "increment": 0.1}}, "dim_6_header": {"EchoTime": ["DOE"]},
    "dim_5_info": "of DOE", "ProcessingApplied": [{"Program": "DOE", "Deep": {"x": [1, None]}}], "kSpace": [False, False],
    "RepetitionTime": "DOE", "PatientWeight": 71, "InversionTime": [[1], {"DOE": 1}],
}  # fmt: skip


class Bench:
    """Carries out a section on bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.edits: list[str] = []
        self.name = ""

    def deid(self, data: bytes, section: Any, name: str = "x.nii", more: Any = None) -> bytes:
        source, out = self._folder / "in", self._folder / "out"
        source.write_bytes(data)
        done = self.run(source, section, name, more)
        self.name = done.released.name
        self.edits = [f"{edit.path} {edit.action}" for _, edit in edits_of(done.trail)]
        return out.read_bytes()

    def run(self, source: Path, section: Any, name: str = "x.nii", more: Any = None) -> Result:
        if isinstance(section, str):
            section = {"fields": [{"name": field, "remove": True} for field in section.split()]}
        profile = parse_profile(yaml.safe_dump({"nifti": section, **(more or {})}), "p.yaml")
        ctx = Context(profile, Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
        done = deidentify(source, name, ctx, self._folder / "out")
        assert isinstance(done, Result), done
        return done


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def fields(*entries: Any) -> dict[str, Any]:
    return {"fields": list(entries)}


def test_layout_is_nibabels() -> None:
    for version, kind in ((1, Nifti1Header), (2, Nifti2Header)):
        known = kind.template_dtype.fields
        slots = layout.SLOTS[version]
        assert {name: (slot.at, slot.size) for name, slot in slots.items()} == {
            name: (at, dtype.itemsize) for name, (dtype, at) in known.items()
        }
    others = {1: 1, 1536: 128, 2048: 256}  # numpy has none of them here
    sizes = {code: nib.nifti1.data_type_codes.dtype[code].itemsize * 8 for code in layout._BITS.keys() - others.keys()}
    assert sizes | others == layout._BITS


FULL = {
    "descrip": b"Time=1;DOE\0old: DOE", "aux_file": b"DOE\0DOE", "intent_name": b"DOE", "db_name": b"DOE^J\0\0x", "data_type": b"DOE",
    "scl_slope": np.nan,
}  # fmt: skip


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_texts_go_to_their_last_byte(bench: Bench, version: int, order: str) -> None:
    texts = {name: text for name, text in FULL.items() if version == 1 or name not in ("db_name", "data_type")}
    section = fields({"name": "DESCRIP", "replace-with": "none"}, *({"name": one, "remove": True} for one in TEXTS[1:]))
    result = bench.deid(volume(version=version, order=order, **texts), section)
    assert result == volume(version=version, order=order, descrip=b"none", scl_slope=np.nan)


def test_what_stands_behind_the_end_goes_whatever_rules_say(bench: Bench) -> None:
    source = volume(descrip=b"5.0.11\0DOE", version=2, unused_str=b"DOE", aux_file=b"\0DOE")
    assert bench.deid(source, fields({"name": "descrip", "keep": True})) == volume(descrip=b"5.0.11", version=2)
    assert sorted(bench.edits) == [
        "aux_file behind its end remove",
        "descrip behind its end remove",
        "unused_str remove",
    ]


def test_odd_bits_stay(bench: Bench) -> None:
    """NaN with a payload, a header size that is none, a flag's spare bytes: nobody asked for them."""
    source = put(volume(descrip=b"x"), 112, b"\x01\x02\xc0\x7f")  # scl_slope
    source = put(put(source, 0, b"\0\0\0\0"), 349, b"\1\2\3")
    assert bench.deid(source, "descrip") == put(source, 148, b"\0")
    assert bench.edits == ["descrip remove"]


def test_nothing_to_do_is_nothing_done(bench: Bench) -> None:
    source = volume(descrip=b"FSL", intent_name=b"t-map", toffset=0.1, cal_max=3e38, srow_x=[1, 2, 3, -0.0])
    assert bench.deid(source, fields(*({"name": name, "keep": True} for name in layout.NAMES))) == source
    assert bench.deid(source, "aux_file db_name slice_end") == source
    assert bench.edits == []


HASHED = hashlib.sha256(b"DOE").hexdigest()[:16].encode()
RULED = [
    ({"name": "descrip", "hash": True}, {"descrip": b"DOE"}, {"descrip": HASHED}),
    ({"name": "intent_name", "hash": True}, {"intent_name": b"DOE"}, {"intent_name": HASHED}),
    ({"name": "descrip", "replace-with": ""}, {"descrip": b"DOE"}, {}),
    ({"name": "descrip", "replace-with": "é"}, {"descrip": b"D\xe9"}, {"descrip": "é".encode()}),
    ({"name": "descrip", "replace-with": 80 * "x"}, {"descrip": b"DOE"}, {"descrip": 80 * b"x"}),
    ({"name": "descrip", "replace-with": "new"}, {}, {"descrip": b"new"}),
    ({"name": "db_name", "increment-date": True, "date-increment-override": 1}, {"db_name": b"20200229"}, {"db_name": b"20200301"}),
    ({"name": "descrip", "regex-sub": [{"input-regex": "^(?P<a>TE=[0-9]+).*$", "output": "{a}"}]}, {"descrip": b"TE=2;DOE"}, {"descrip": b"TE=2"}),
    ({"name": "toffset", "remove": True}, {"toffset": 3.5}, {}),
    ({"name": "glmax", "remove": True}, {"glmax": 7}, {}),
    ({"name": "slice_duration", "replace-with": 0.1}, {"slice_duration": 3}, {"slice_duration": 0.1}),
    ({"name": "cal_max", "replace-with": "0"}, {"cal_max": 7}, {}),
    ({"name": "srow_x", "replace-with": ["1", "0", "0", "-7.25"]}, {}, {"srow_x": [1, 0, 0, -7.25]}),
    ({"name": "qform_code", "replace-with": "1"}, {}, {"qform_code": 1}),
    ({"name": "pixdim", "keep": True}, {"pixdim": [1, 2, 3, 4, 5, 6, 7, 8]}, {"pixdim": [1, 2, 3, 4, 5, 6, 7, 8]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "before", "after"), RULED, ids=[f"{i}-{one[0]['name']}" for i, one in enumerate(RULED)]
)
def test_rule(bench: Bench, entry: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> None:
    assert bench.deid(volume(**before), fields(entry)) == volume(**after)


UNFIT = [
    ({"name": "data_type", "hash": True}, {"data_type": b"DOE"}, "field has 10 bytes"),
    ({"name": "descrip", "replace-with": 81 * "x"}, {}, "field has 80 bytes"),
    ({"name": "descrip", "replace-with": ["a", "b"]}, {}, "one text"),
    ({"name": "pixdim", "remove": True}, {}, "read by"),
    ({"name": "DIM", "replace-with": "1"}, {}, "takes 8 numbers"),
    ({"name": "scl_slope", "replace-with": "2"}, {}, "read by"),
    ({"name": "magic", "remove": True}, {}, "read by"),
    ({"name": "datatype", "jitter": True, "jitter-range": 3, "jitter-type": "int"}, {}, "read by"),
    ({"name": "srow_x", "remove": True}, {"srow_x": [1, 0, 0, 0]}, "would move the volume"),
    ({"name": "srow_x", "replace-with": "1"}, {}, "takes 4 numbers"),
    ({"name": "toffset", "hash": True}, {"toffset": 3}, "takes 1 number"),
    ({"name": "toffset", "replace-with": "1.00"}, {}, "fewer digits"),
    ({"name": "glmax", "replace-with": "99999999999"}, {}, "takes 1 number"),
    ({"name": "glmin", "remove": True}, {"dim": [3, -1, 1, 1, 1, 1, 1, 1], "glmin": 8}, "read by"),
    ({"name": "descrip", "increment-date": True, "date-increment-override": 1}, {"descrip": b"DOE"}, "date"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("entry", "before", "told"), UNFIT, ids=[f"{i}-{one[0]['name']}" for i, one in enumerate(UNFIT)]
)
def test_what_a_field_cannot_hold_refuses(
    bench: Bench, entry: dict[str, Any], before: dict[str, Any], told: str
) -> None:
    with pytest.raises(Unfit, match=told) as caught:
        bench.deid(volume(**before), fields(entry))
    assert "DOE" not in str(caught.value)


def test_field_of_the_other_version_is_nothing(bench: Bench) -> None:
    section = fields({"name": "db_name", "replace-with": "x"}, {"name": "unused_str", "remove": True})
    assert bench.deid(volume(version=2), section) == volume(version=2)


@pytest.mark.parametrize("name", ["descripp", "", "srow_w", "vox"])
def test_unknown_name_is_an_error_of_the_profile(name: str) -> None:
    with pytest.raises(ProfileError, match=r"NIfTI|name"):
        parse_profile(yaml.safe_dump({"nifti": fields({"name": name, "remove": True})}), "p.yaml")


def warnings(section: Any) -> str:
    return " ".join(one.message for one in parse_profile(yaml.safe_dump({"nifti": section}), "p.yaml").warnings)


def test_profile_check_tells_what_stays() -> None:
    assert "text in descrip, db_name stays" in warnings(fields({"name": "AUX_FILE", "remove": True}))
    assert "descrip" in warnings(fields({"name": "descrip", "keep": True}))
    assert not warnings(fields(*({"name": one, "remove": True} for one in TEXTS)))
    assert "keep-extensions" in warnings({"keep-extensions": True, **fields({"name": "descrip", "remove": True})})
    assert "pixdim is what a volume is read by" in warnings(fields({"name": "PixDim", "remove": True}))


# -- extensions ----------------------------------------------------------------------------------------

NOTES = (
    (2, b"\x10\0\x10\0DOE"),
    (4, b"<AFNI_attributes>DOE"),
    (6, b"DOE"),
    (0, b'{"a": "DOE"}'),
    (32, b"<CIFTI DOE/>"),
)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_extensions_go(bench: Bench, version: int, order: str) -> None:
    source = volume(*NOTES, version=version, order=order, gap=bytes(32), intent_name=b"kept")
    assert bench.deid(source, "descrip") == volume(version=version, order=order, intent_name=b"kept")
    assert bench.edits == [f"extension {code} remove" for code, _ in NOTES]
    kept = bench.deid(source, {"keep-extensions": True, **fields({"name": "intent_name", "keep": True})})
    assert kept == source


def test_what_lies_between_header_and_volume_is_blanked(bench: Bench) -> None:
    source = volume(gap=b"DOE" + bytes(13))
    assert bench.deid(source, "descrip") == volume(gap=bytes(16))
    assert bench.edits == ["bytes in front of the volume remove"]
    keeps = {"keep-extensions": True, **fields({"name": "descrip", "remove": True})}
    assert bench.deid(volume((6, b"x"), gap=bytes(5) + b"DOE"), keeps) == volume((6, b"x"), gap=bytes(8))


def test_mrs_keeps_the_measurement(bench: Bench) -> None:
    source = volume((6, b"DOE"), (44, json.dumps(MRS).encode()), version=2, intent_name=b"mrs_v0_9")
    result = bench.deid(source, "descrip")
    [extension] = nib.Nifti2Image.from_bytes(result).header.extensions
    assert json.loads(extension.get_content()) == {
        "SpectrometerFrequency": [123.2], "ResonantNucleus": ["1H"], "dim_5": "DIM_COIL", "EchoTime": 0.03,
        "dim_5_header": {"EchoTime": {"start": 0, "increment": 0.1}}, "kSpace": [False, False],
    }  # fmt: skip
    assert b"DOE" not in result and result.endswith(DATA)
    assert bench.edits[:2] == ["extension 6 remove", "extension 44 $.PatientName remove"]
    assert bench.deid(result, "descrip") == result


@pytest.mark.parametrize(
    "content", [b"[1]", b'{"a": DOE}', b"\xff", b"", b"{}{}", b'{"PatientName": 1}', 600 * b"[", b"5"]
)
def test_mrs_of_another_kind_goes(bench: Bench, content: bytes) -> None:
    assert bench.deid(volume((44, content)), "descrip") == volume()


def test_mrs_is_one_and_not_endless(bench: Bench) -> None:
    one = (44, b'{"EchoTime": 1}')
    assert bench.deid(volume(one, one), "descrip") == volume(one)
    assert bench.deid(volume((44, b'{"kSpace": [%s1]}' % (b"1," * (1 << 16)))), "descrip") == volume()


def test_cifti_cannot_be_cleaned_and_is_nothing_without(bench: Bench) -> None:
    source = volume((32, b"<CIFTI/>"), version=2, intent_code=3006)
    with pytest.raises(Unfit, match="keep-extensions"):
        bench.deid(source, "descrip")
    assert bench.deid(source, {"keep-extensions": True, **fields({"name": "descrip", "remove": True})}) == source


def test_what_stands_beside_the_fields() -> None:
    result = volume((6, b"DOE"), descrip=b"x", intent_name=b"y")
    assert [(place, data.rstrip(b"\0")) for place, data in CODEC.beside(result, {})] == [("extension 6", b"DOE")]
    assert list(CODEC.risks(result, {"keep-extensions": True})) == [
        "text in descrip",
        "text in intent_name",
        "extension 6",
    ]
    assert list(CODEC.risks(volume(), {})) == []
    assert list(CODEC.beside(volume((44, b'{"EchoTime": 1}')), {})) == [], "its members are fields"


def test_a_value_that_a_rule_took_away_is_found_in_an_extension_that_stays(bench: Bench) -> None:
    section = {"keep-extensions": True, **fields({"name": "descrip", "remove": True})}
    with pytest.raises(Unfit, match="extension 6"):
        bench.deid(volume((6, b"of Mustermann"), descrip=b"Mustermann"), section)
    bench.deid(volume((6, b"of Mustermann"), descrip=b"Mustermann"), {"fields": section["fields"]})


# -- as a whole ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "f4", "c8", "f8", "i1", "u2", "u4", "i8", "u8", "c16"])
def test_nibabel_reads_the_same(bench: Bench, dtype: str) -> None:
    made = nib.Nifti1Image(np.arange(24).reshape(2, 3, 4).astype(dtype), np.diag([2, 3, 4, 1]), dtype=dtype)
    made.header["descrip"] = "DOE"
    made.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"DOE"))
    image = nib.Nifti1Image.from_bytes(made.to_bytes())
    result = nib.Nifti1Image.from_bytes(bench.deid(made.to_bytes(), "descrip"))
    assert np.array_equal(np.asanyarray(result.dataobj), np.asanyarray(image.dataobj))
    assert np.array_equal(result.affine, image.affine)
    image.header["descrip"] = ""
    image.header.extensions.clear()
    image.header["vox_offset"] = result.header["vox_offset"]
    assert result.header == image.header


def test_bytes_behind_the_volume_go(bench: Bench) -> None:
    assert bench.deid(volume() + b"DOE", "descrip") == volume()
    assert bench.edits == ["bytes behind the volume remove"]
    packed = bench.deid(zipped(volume() + b"DOE"), "descrip", "x.nii.gz")
    assert gzip.decompress(packed) == volume()
    assert bench.edits == ["gzip header remove", "bytes behind the volume remove"]


def test_row_of_freesurfer(bench: Bench) -> None:
    source = volume(dim=[3, -1, 1, 1, 1, 1, 1, 1], glmin=8)
    assert bench.deid(source, "descrip") == source
    with pytest.raises(Unfit, match="shorter"):
        bench.deid(source[:-1], "descrip")


WRONG = {
    "empty": (b"", "begin with the header"),
    "head": (volume()[:100], "begin with the header"),
    "flag": (volume()[:350], "cut off"),
    "volume": (volume()[:-1], "shorter than its header"),
    "inside": (volume(vox_offset=100), "vox_offset"),
    "nan": (volume(vox_offset=np.nan), "vox_offset"),
    "infinite": (volume(vox_offset=np.inf), "vox_offset"),
    "half": (volume(vox_offset=352.5), "vox_offset"),
    "negative": (volume(version=2, vox_offset=-1), "vox_offset"),
    "far": (volume(vox_offset=1 << 30), "larger than any real"),
    "beyond": (volume(vox_offset=4096), "cut off in front"),
    "extension": (put(volume((6, b"")), 352, struct.pack("<i", 1 << 30)), "longer than"),
    "extension of no length": (put(volume((6, b"")), 352, struct.pack("<i", 0)), "no length"),
    "extension before": (put(volume((6, b"")), 352, struct.pack("<i", -16)), "no length"),
    "dimensions": (volume(dim=[0] * 8), "dimensions"),
    "eight": (volume(dim=[8] * 8), "dimensions"),
    "below": (volume(dim=[3, 2, -2, 2, 1, 1, 1, 1]), "negative"),
    "huge": (volume(dim=[7] + 7 * [32767]), "shorter"),
    "kind": (volume(datatype=5), "datatype"),
    "analyze": (volume(magic=""), "Analyze"),
    "many": (volume(*(1001 * [(6, b"")])), "more than"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "told"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("packs", [False, True])
def test_damaged_is_refused(bench: Bench, data: bytes, told: str, packs: bool) -> None:
    with pytest.raises(Unfit, match=told):
        bench.deid(zipped(data) if packs else data, "descrip", "x.nii.gz" if packs else "x.nii")


@pytest.mark.parametrize("data", [volume(magic=""), volume(magic="", order=">")])
def test_analyze_is_never_copied(bench: Bench, tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Unfit, match="Analyze"):
        bench.deid(data[:348], "descrip", "x.hdr")
    profile = parse_profile("filename: {filenames: [{input-regex: .*, output: y}]}\n", "p.yaml")
    (tmp_path / "in").write_bytes(data[:540])
    ctx = Context(profile, Keyring(b"k" * 32), "id:1", date(2026, 1, 1), "strict")
    assert isinstance(deidentify(tmp_path / "in", "x.hdr", ctx, tmp_path / "out"), Skipped)


# -- packed --------------------------------------------------------------------------------------------

BARE = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"


@pytest.mark.parametrize("source", [
    zipped(volume(descrip=b"DOE"), "DOE.nii"),
    zipped(volume(descrip=b"DOE")[:200], "DOE") + zipped(volume(descrip=b"DOE")[200:], "DOE") + bytes(7),
])  # fmt: skip
@pytest.mark.parametrize("name", ["x.nii.gz", "x.gz", "x.bin.GZ"])
def test_packed_comes_out_packed_with_nothing_in_its_header(bench: Bench, source: bytes, name: str) -> None:
    result = bench.deid(source, "descrip", name)
    assert (bench.name, gzip.decompress(result)) == (name, volume())
    assert result.startswith(BARE)
    assert bench.edits == ["descrip remove", "gzip header remove"]


def test_packed_under_a_plain_name_comes_out_plain(bench: Bench) -> None:
    assert bench.deid(zipped(volume(descrip=b"DOE")), "descrip", "x.nii") == volume()
    section = {
        **fields({"name": "descrip", "remove": True}),
        "filenames": [{"input-regex": r"^(?P<n>.)\.nii\.gz$", "output": "{n}y.nii"}],
    }
    assert bench.deid(zipped(volume(descrip=b"DOE")), section, "x.nii.gz") == volume()
    assert bench.name == "xy.nii"


def test_packed_otherwise_comes_out_plain(bench: Bench) -> None:
    import bz2

    assert bench.deid(bz2.compress(volume(descrip=b"DOE")), "descrip", "x.nii.bz2") == volume()
    assert bench.name == "x.nii"


GZ = zipped(volume())
CUT = {
    "cut": (GZ[:-20], "cut off"), "end": (GZ[:-1], "cut off"), "crc": (GZ[:-8] + bytes(8), "damaged"), "behind": (GZ + b"DOE", "follows"),
    "flipped": (put(GZ, len(GZ) // 2, b"\xff\xff\xff"), "damaged|cut off"), "twice": (zipped(GZ), "begin with the header"),
    "bomb": (zipped(volume() + bytes(80 << 20)), "beyond the limit 'inflated'"), "head": (GZ[:12], "cut|damaged"),
}  # fmt: skip


@pytest.mark.parametrize(("data", "told"), CUT.values(), ids=CUT)
def test_damaged_packing_is_refused(bench: Bench, data: bytes, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        bench.deid(data, "descrip", "x.nii.gz")


def test_member_of_an_archive_as_if_alone(bench: Bench, tmp_path: Path) -> None:
    members = {
        "S/a.nii.gz": zipped(volume(descrip=b"DOE"), "DOE"),
        "S/b": zipped(volume(descrip=b"DOE")),
        "S/c.nii": volume(descrip=b"DOE"),
    }
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    done = bench.run(tmp_path / "x.zip", fields({"name": "descrip", "remove": True}), "x.zip")
    with zipfile.ZipFile(tmp_path / "out") as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    assert {name: data if name == "S/c.nii" else gzip.decompress(data) for name, data in found.items() if name != "S/b"} == {
        "S/a.nii.gz": volume(), "S/c.nii": volume(),
    }  # fmt: skip
    assert found["S/a.nii.gz"].startswith(BARE)
    assert found["S/b"] == volume(), "a name without .gz"
    assert [f"{where} {edit.path}" for where, edit in edits_of(done.trail) if edit.path == "gzip header"] == [
        "S/a.nii.gz gzip header", "S/b gzip header",
    ]  # fmt: skip


def large(path: Path, size: int) -> None:
    """Write a volume of zeros, with holes."""
    with path.open("wb") as stream:
        stream.write(volume(data=b"", dim=[3, 256, 256, size // 131072, 1, 1, 1, 1], descrip=b"DOE"))
        stream.truncate(352 + size)


def test_large_volume_is_never_in_memory(bench: Bench, tmp_path: Path) -> None:
    size = 96 << 20
    large(tmp_path / "x", size)
    tracemalloc.start()
    try:
        bench.run(tmp_path / "x", fields({"name": "descrip", "remove": True}))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20
    assert (tmp_path / "out").stat().st_size == 352 + size


def test_large_mask_is_no_bomb(bench: Bench, tmp_path: Path) -> None:
    """It packs to a thousandth, and its header says how long it is."""
    large(tmp_path / "x", 80 << 20)
    data = gzip.compress((tmp_path / "x").read_bytes(), 6)
    assert len(data) * 200 + (64 << 20) < 80 << 20
    result = bench.deid(data, "descrip", "x.nii.gz")
    assert len(result) < 2 << 20 and len(gzip.decompress(result)) == 352 + (80 << 20)


# -- pairs ---------------------------------------------------------------------------------------------


def header(*ext: tuple[int, bytes], version: int = 1, skip: int = 0, **more: Any) -> bytes:
    """Return the header of a pair."""
    return volume(*ext, version=version, data=b"", magic=f"ni{version}", vox_offset=skip, **more)


PLACE = "S/V/A"
GOOD = {"a.hdr": header((6, b"DOE"), descrip=b"DOE"), "a.img": DATA}


class Folder:
    """Runs on files of one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, files: dict[str, bytes], section: Any = None, more: Any = None) -> dict[str, tuple[str, str, bytes]]:
        place = self.folder / "in" / PLACE
        place.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (place / name).write_bytes(data)
        profile = self.folder / "p.yaml"
        profile.write_text(
            yaml.safe_dump({"nifti": section or fields({"name": "descrip", "remove": True}), **(more or {})})
        )
        out, reports = self.folder / "out", self.folder / "reports"
        main(
            [
                "run",
                str(self.folder / "in"),
                str(out),
                "--profile",
                str(profile),
                "--reports",
                str(reports),
                "--workers",
                "1",
            ]
        )
        found = {}
        with next(reports.rglob("files.csv")).open(newline="") as stream:
            for row in csv.DictReader(stream):
                data = (out / row["destination"]).read_bytes() if row["state"] == "released" else b""
                found[row["source"].removeprefix(f"{PLACE}/")] = row["state"], row["reason"], data
        return found

    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "out").glob("*/*/*/*"))


@pytest.fixture
def runs(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("order", "<>")
def test_pair_comes_out_as_a_pair(runs: Folder, version: int, order: str) -> None:
    source = header((6, b"DOE"), descrip=b"x\0DOE", version=version, order=order)
    found = runs.run({"a.hdr": source, "a.img": DATA + b"DOE"})
    assert found["a.hdr"] == ("released", "", header(version=version, order=order))
    assert found["a.img"] == ("released", "", DATA)
    image = (nib.Nifti1Pair if version == 1 else nib.Nifti2Pair).load(next((runs.folder / "out").rglob("*.img")))
    assert list(np.asanyarray(image.dataobj).ravel(order="F")) == list(np.frombuffer(DATA, f"{order}i2"))


def test_pair_packed_and_with_room_in_front(runs: Folder) -> None:
    source = zipped(header(descrip=b"DOE", skip=16), "DOE")
    found = runs.run({"a.hdr.gz": source, "a.img.gz": zipped(b"DOE" + bytes(13) + DATA, "DOE")})
    assert gzip.decompress(found["a.hdr.gz"][2]) == header(skip=16)
    assert gzip.decompress(found["a.img.gz"][2]) == bytes(16) + DATA
    assert all(data.startswith(BARE) for _, _, data in found.values())


def test_short_header_of_a_pair(runs: Folder) -> None:
    found = runs.run({"a.hdr": header(descrip=b"DOE")[:348], "a.IMG": DATA})
    assert (found["a.hdr"][2], found["a.IMG"][2]) == (header()[:348], DATA)


NOT_TOGETHER = {
    "no header": {"a.img": DATA},
    "no volume": {"a.hdr": header()},
    "another stem": {"a.hdr": header(), "b.img": DATA},
    "short": GOOD | {"a.img": DATA[:-1]},
    "cut": {"a.hdr": header(), "a.img.gz": zipped(DATA)[:-1]},
    "damaged": GOOD | {"a.hdr": put(header((6, b"")), 352, struct.pack("<i", 999))},
    "offset": GOOD | {"a.hdr": header(skip=-1)},
    "text": {"a.hdr": b"ENVI", "a.img": DATA},
    "single": {"a.hdr": volume(), "a.img": DATA},
    "analyze": {"a.hdr": volume(magic="")[:348], "a.img": DATA},
    "rule": GOOD | {"a.hdr": header(db_name=b"no date")},
}


@pytest.mark.parametrize("files", NOT_TOGETHER.values(), ids=NOT_TOGETHER)
def test_pair_goes_together_or_not_at_all(runs: Folder, files: dict[str, bytes]) -> None:
    found = runs.run(files, fields({"name": "db_name", "increment-date": True, "date-increment-override": 1}))
    alone = {"a.hdr"} if files.get("a.hdr") == volume() else set()
    assert {name for name, (state, reason, _) in found.items() if state == "refused" and reason} == files.keys() - alone
    assert found.keys() == files.keys()
    assert len(runs.names()) == len(alone)


@pytest.mark.parametrize("more", [
    {"file-filter": "*.hdr"}, {"file-filter": "*.img"}, {"filenames": [{"input-regex": r"^(?P<n>.)\.hdr$", "output": "{n}.hdr"}]},
])  # fmt: skip
def test_profile_that_takes_half_of_a_pair_takes_none(runs: Folder, more: Any) -> None:
    """But by content: the second one takes both."""
    runs.run(GOOD, fields({"name": "descrip", "remove": True}) | more)
    assert len(runs.names()) == (2 if more.get("file-filter") == "*.img" else 0)


def test_names_of_a_pair_keep_one_stem(runs: Folder) -> None:
    files = {"Doe_T1.hdr": header(descrip=b"Doe"), "Doe_T1.img": DATA, "Doe_T1.json": b'{"x": 1}'}
    found = runs.run(files, more={"json": fields({"name": "y", "remove": True})})
    assert {state for state, _, _ in found.values()} == {"released"}
    stems, suffixes = zip(*(name.split(".") for name in runs.names()), strict=True)
    assert suffixes == ("hdr", "img", "json") and len({*stems}) == 1 and "oe" not in stems[0]


def test_preview_shows_headers_and_reads_no_more(runs: Folder, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run({"a.nii.gz": zipped(volume(descrip=b"DOE") + b"x"), "b.hdr": header(descrip=b"ROE"), "b.img": DATA})
    capsys.readouterr()
    assert main(["preview", str(runs.folder / "in"), "--profile", str(runs.folder / "p.yaml")]) == 0
    told = capsys.readouterr().out
    assert "descrip: 'DOE' -> '(removed)'" in told and "descrip: 'ROE' -> '(removed)'" in told and "b.img" not in told


def test_pair_is_made_anew_when_either_half_changes(runs: Folder) -> None:
    runs.run(GOOD)
    assert {reason for _, reason, _ in runs.run({}).values()} == {"unchanged: an earlier run released it"}
    assert {state for state, _, _ in runs.run({"a.img": DATA[:-1]}).values()} == {"refused"}


def test_pair_in_an_archive(bench: Bench, tmp_path: Path) -> None:
    def make(*members: tuple[str, bytes]) -> None:
        with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members:
                archive.writestr(name, data)

    section = fields({"name": "descrip", "remove": True})
    make(("S/a.img", DATA + b"DOE"), ("S/b.hdr", header()), ("S/a.hdr", GOOD["a.hdr"]), ("S/b.img", DATA))
    bench.run(tmp_path / "x.zip", section, "x.zip")
    with zipfile.ZipFile(tmp_path / "out") as archive:
        found = {name.rpartition("/")[2]: archive.read(name) for name in archive.namelist()}
    assert found == {"a.img": DATA, "a.hdr": header(), "b.hdr": header(), "b.img": DATA}
    make(("S/a.img", DATA), ("T/a.hdr", GOOD["a.hdr"]))
    with pytest.raises(Unfit, match="not beside it"):
        bench.run(tmp_path / "x.zip", section, "x.zip")


# -- the two readers -----------------------------------------------------------------------------------


def test_readers_agree_on_numbers() -> None:
    draw = random.Random(7)
    bits = [struct.pack("<f", 2.0**power) for power in range(-149, 128)]
    bits += [struct.pack("<I", draw.getrandbits(32)) for _ in range(3000)]
    for start in range(0, len(bits) - 12, 12):
        source = put(volume(), 280, b"".join(bits[start : start + 12]))
        one, other = Document(source[:352], {}), Again(source[:352], {})
        assert [(f.name, f.texts) for f in one.fields] == [(f.name, f.texts) for f in other.fields]
    assert number_text(float(np.float32(0.1)), "f") == "0.1"


BROKEN = {
    "leaves the text": lambda spans: [one for one in spans if one[0] != 148],
    "leaves an extension": lambda spans: [one for one in spans if one[0] < 148],
    "leaves the offset": lambda spans: [one for one in spans if one[0] != 108],
    "changes another": lambda spans: sorted([*spans, (228, 229, b"x")]),
    "hides behind the end": lambda spans: sorted([*spans, (230, 231, b"x")]),
    "moves a voxel": lambda spans: sorted([*spans, (84, 88, struct.pack("<f", 2))]),
    "writes more": lambda spans: [(a, b, new + (bytes(16) if a == 352 else b"")) for a, b, new in spans],
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_writer_is_found_by_the_check(bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: Any) -> None:
    right = Document.splices
    source = volume((6, b"DOE"), descrip=b"DOE")
    monkeypatch.setattr(Document, "splices", lambda self, changes: broken(right(self, changes)))
    with pytest.raises(Unfit):
        bench.deid(source, "descrip")


def mutants() -> Iterator[bytes]:
    draw = random.Random(11)
    seeds = [
        volume((6, b"DOE"), (44, json.dumps(MRS).encode()), descrip=b"a\0DOE", order=order, version=version)
        for order in "<>" for version in (1, 2)
    ]  # fmt: skip
    for seed in [*seeds, *map(zipped, seeds)]:
        yield from (seed[:end] for end in range(0, len(seed), 47))
        for _ in range(40):
            data = bytearray(seed)
            for _ in range(draw.choice((1, 1, 3))):
                data[draw.randrange(min(len(data), draw.choice((120, 400, 4000))))] = draw.randrange(256)
            yield bytes(data)


def test_mutants_are_refused_or_come_out_sound(bench: Bench) -> None:
    released = 0
    for data in mutants():
        try:
            result = bench.deid(data, "descrip aux_file", "x.nii.gz")
        except Unfit:
            continue
        released += 1
        assert bench.deid(result, "descrip aux_file", "x.nii.gz") == result
    assert released > 25


CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
REAL = sorted((CORPUS / "nondicom" / "nifti").glob("*.nii*"))


@pytest.mark.parametrize("path", REAL, ids=[path.name for path in REAL])
def test_real_files_come_out_as_they_were(bench: Bench, path: Path) -> None:
    source = path.read_bytes()
    section = {"keep-extensions": True, **fields({"name": "descrip", "keep": True})}
    result = bench.deid(source, section, path.name)
    plain, now = (gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one for one in (source, result))
    if "descrip behind its end remove" in bench.edits:
        end = plain.index(b"\0", 148)
        plain = put(plain, end, bytes(228 - end))
    assert now == plain
    result = bench.deid(source, " ".join(TEXTS), path.name)
    before, after = (
        nib.Nifti1Image.from_bytes(gzip.decompress(one) if one[:2] == b"\x1f\x8b" else one) for one in (source, result)
    )
    assert np.array_equal(np.asanyarray(before.dataobj), np.asanyarray(after.dataobj))
    assert np.array_equal(before.affine, after.affine) and not after.header.extensions
