"""Masks on pixels: what is blank, what stays, and what the header says of it; results are read by pydicom."""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.pixels import get_encoder  # type: ignore[attr-defined]
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from fw_gear_deid.deid import Context, Result, deidentify
from fw_gear_deid.deid import masks as carried
from fw_gear_deid.formats.dicom.pixels.image import Image
from fw_gear_deid.formats.dicom.pixels.native import Native
from fw_gear_deid.keys import Keyring
from fw_gear_deid.model.boxes import Box, bands
from fw_gear_deid.model.errors import Unfit
from fw_gear_deid.model.outcome import Edit
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.verify import pixels
from tests.desk import Desk, edits_of

ROWS, COLUMNS = 40, 64
PROFILE = """\
dicom:
  alter_pixels:
    pixels:
    - when: contains Modality US
      remove: [5, 2, 21, 11]
    - when: contains Modality US
      keep: [9, 4, 12, 99]
  fields:
  - name: PatientComments
    remove: true
"""
HERE = np.zeros((ROWS, COLUMNS), bool)
HERE[2:11, 5:21] = True
HERE[4:, 9:12] = False
Array = np.ndarray[Any, Any]


def pattern(frames: int = 3, samples: int = 1, allocated: int = 8, stored: int = 0, *, signed: bool = False) -> Array:
    """Return frames of noise, without a zero."""
    rng = np.random.default_rng(frames * 100 + samples * 10 + allocated)
    stored = stored or allocated
    if allocated == 1:
        return rng.integers(0, 2, (frames, ROWS, COLUMNS), np.uint8)
    low, high = (-(1 << stored - 1), 0) if signed else (1, 1 << stored)
    shape = (frames, ROWS, COLUMNS) if samples == 1 else (frames, ROWS, COLUMNS, samples)
    return rng.integers(low, high, shape).astype(f"{'i' if signed else 'u'}{allocated // 8}")


def image(found: Array, photometric: str = "MONOCHROME2", stored: int = 0, **more: Any) -> Dataset:
    """Return a data set without pixels for some frames."""
    ds = Dataset()
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.3.1"
    ds.SOPInstanceUID = "1.2.3.4"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.3.1", "1.2.3.2"
    ds.Modality, ds.PatientID, ds.PatientName = "US", "P1", "Doe"
    ds.NumberOfFrames, ds.Rows, ds.Columns = found.shape[:3]
    ds.SamplesPerPixel = 1 if found.ndim == 3 else 3
    ds.PhotometricInterpretation = photometric
    ds.BitsAllocated = found.dtype.itemsize * 8
    ds.BitsStored = stored or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(found.dtype.kind == "i")
    if ds.SamplesPerPixel == 3:
        ds.PlanarConfiguration = 0
    for name, value in more.items():
        setattr(ds, name, value)
    return ds


def saved(ds: Dataset, syntax: str) -> bytes:
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    implicit, little = syntax == ImplicitVRLittleEndian, syntax != ExplicitVRBigEndian
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds.save_as(out, implicit_vr=implicit, little_endian=little, enforce_file_format=True)
    return out.getvalue()


def native(found: Array, syntax: str = ExplicitVRLittleEndian, photometric: str = "MONOCHROME2", **more: Any) -> bytes:
    """Return a file with uncompressed frames."""
    ds = image(found, photometric, **more)
    if ds.get("PlanarConfiguration") == 1:
        found = np.moveaxis(found, -1, 1)
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    raw = found.astype(found.dtype.newbyteorder(order)).tobytes()
    if ds.BitsAllocated == 1:
        raw = np.packbits(found.ravel(), bitorder="little").tobytes()
    ds.PixelData = raw + b"\0" * (len(raw) % 2)
    ds["PixelData"].VR = "OW" if ds.BitsAllocated > 8 else "OB"
    return saved(ds, syntax)


def packed(found: Array, syntax: str, photometric: str = "MONOCHROME2", **more: Any) -> bytes:
    """Return a file with compressed frames."""
    ds = image(found, photometric, **more)
    options = {
        "rows": ds.Rows, "columns": ds.Columns, "samples_per_pixel": ds.SamplesPerPixel, "number_of_frames": 1,
        "bits_allocated": ds.BitsAllocated, "bits_stored": ds.BitsStored, "planar_configuration": 0,
        "pixel_representation": ds.PixelRepresentation, "photometric_interpretation": photometric,
    }  # fmt: skip
    encoder = get_encoder(syntax)
    ds.PixelData = encapsulate([encoder.encode(frame, **options) for frame in found])
    ds["PixelData"].VR = "OB"
    return saved(ds, syntax)


def jpeg(found: Array, **more: Any) -> bytes:
    """Return a file of lossy JPEG frames, in colour with halved chroma."""
    from PIL import Image as Picture

    frames = []
    for frame in found:
        out = io.BytesIO()
        Picture.fromarray(frame).save(out, "JPEG", quality=80)
        frames.append(out.getvalue())
    ds = image(found, "MONOCHROME2" if found.ndim == 3 else "YBR_FULL_422", **more)
    ds.PixelData = encapsulate(frames)
    ds["PixelData"].VR = "OB"
    return saved(ds, JPEGBaseline8Bit)


def run(data: bytes, profile: str = PROFILE, folder: Path | None = None) -> tuple[bytes, list[Edit]]:
    """Return what a profile makes of a file."""
    import tempfile

    with tempfile.TemporaryDirectory(dir=folder) as name:
        source, out = Path(name) / "in", Path(name) / "out"
        source.write_bytes(data)
        ctx = Context(parse_profile(profile, "p.yaml"), Keyring(b"k" * 32), None, date(2026, 1, 1), "strict")
        done = deidentify(source, "a.dcm", ctx, out)
        assert isinstance(done, Result)
        return out.read_bytes(), [edit for _, edit in edits_of(done.trail)]


def decoded(data: bytes) -> Array:
    """Return all frames as they are stored, by pydicom."""
    from pydicom.pixels import get_decoder  # type: ignore[attr-defined]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ds = pydicom.dcmread(io.BytesIO(data))
        decoder = get_decoder(ds.file_meta.TransferSyntaxUID)
        return np.stack([frame for frame, _ in decoder.iter_array(ds, raw=True)])


def header(data: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(data))


def frames_of(data: bytes) -> list[bytes]:
    ds = header(data)
    return list(generate_frames(ds.PixelData, number_of_frames=int(ds.NumberOfFrames)))


def fill_of(data: bytes) -> Any:
    ds = header(data)
    if not ds.PhotometricInterpretation.startswith("YBR_FULL"):
        return 0
    middle = 1 << ds.BitsStored - 1
    return (0, middle, middle)


def check(source: bytes, result: bytes, here: Array = HERE, numbers: set[int] | None = None) -> None:
    """Hold a result to the promises: blank is blank in every masked frame, all else is the source's."""
    before, after = decoded(source), decoded(result)
    wanted = before.copy()
    for number, frame in enumerate(wanted):
        if numbers is None or number in numbers:
            frame[here] = fill_of(result)
    assert wanted.dtype == after.dtype
    assert np.array_equal(wanted, after)
    assert not np.array_equal(before, after)


NATIVE: dict[str, tuple[Array, str, dict[str, Any]]] = {
    "u8": (pattern(), "MONOCHROME2", {}),
    "one frame": (pattern(1), "MONOCHROME1", {}),
    "u12 of 16": (pattern(3, 1, 16, 12), "MONOCHROME1", {"stored": 12}),
    "signed": (pattern(3, 1, 16, 16, signed=True), "MONOCHROME2", {}),
    "u32": (pattern(2, 1, 32, 31), "MONOCHROME2", {}),
    "bits": (pattern(3, 1, 1), "MONOCHROME2", {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}),
    "rgb": (pattern(3, 3), "RGB", {}),
    "rgb, planes": (pattern(3, 3), "RGB", {"PlanarConfiguration": 1}),
    "rgb of 16": (pattern(2, 3, 16), "RGB", {}),
    "ybr": (pattern(3, 3), "YBR_FULL", {}),
    "ybr of 16, planes": (pattern(3, 3, 16), "YBR_FULL", {"PlanarConfiguration": 1}),
    "palette": (
        pattern(3),
        "PALETTE COLOR",
        {
            f"{colour}PaletteColorLookupTable{what}": value
            for colour in ("Red", "Green", "Blue")
            for what, value in (("Descriptor", [256, 0, 8]), ("Data", bytes(range(256))))
        },
    ),
}


@pytest.mark.parametrize(
    "syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
@pytest.mark.parametrize("name", NATIVE)
def test_uncompressed(name: str, syntax: str) -> None:
    found, photometric, more = NATIVE[name]
    source = native(found, syntax, photometric, **more)
    result, edits = run(source)
    check(source, result)
    if syntax != DeflatedExplicitVRLittleEndian:
        assert len(header(result).PixelData) == len(header(source).PixelData)
    assert [edit.action for edit in edits if edit.keyword == "PixelData"] == ["mask"]


def test_chroma_of_two_pixels_goes_with_both() -> None:
    found = pattern(2)
    halved = np.stack([found, found], -1).reshape(2, ROWS, COLUMNS // 2, 4)
    ds = image(np.zeros((2, ROWS, COLUMNS, 3), np.uint8), "YBR_FULL_422")
    ds.PixelData = halved.tobytes()
    ds["PixelData"].VR = "OB"
    source = saved(ds, ExplicitVRLittleEndian)
    result, _ = run(source, PROFILE.split("    - when: contains Modality US\n      keep")[0] + "  fields: []\n")
    here = np.zeros((ROWS, COLUMNS), bool)
    here[2:11, 4:22] = True
    pairs = halved.reshape(2, ROWS, COLUMNS // 2, 4).copy()
    pairs[:, here[:, ::2]] = (0, 0, 128, 128)
    assert header(result).PixelData == pairs.tobytes()


@pytest.mark.parametrize("little", [True, False])
def test_bytes_in_words_of_big_endian(*, little: bool) -> None:
    found = pattern(3)
    ds = image(found)
    raw = found.tobytes()
    ds.PixelData = raw if little else b"".join(raw[at + 1 : at + 2] + raw[at : at + 1] for at in range(0, len(raw), 2))
    ds["PixelData"].VR = "OW"
    source = saved(ds, ExplicitVRLittleEndian if little else ExplicitVRBigEndian)
    result, _ = run(source)
    check(source, result)


# -- compressed ----------------------------------------------------------------------------------------

PACKED = {
    "rle": (RLELossless, pattern(), "MONOCHROME2", {}),
    "rle, signed": (RLELossless, pattern(2, 1, 16, 16, signed=True), "MONOCHROME2", {}),
    "rle, rgb": (RLELossless, pattern(2, 3), "RGB", {"PlanarConfiguration": 1}),
    "rle, ybr": (RLELossless, pattern(2, 3), "YBR_FULL", {}),
    "rle, palette": (RLELossless, pattern(2), "PALETTE COLOR", NATIVE["palette"][2]),
    "jpeg-ls": (JPEGLSLossless, pattern(3, 1, 16, 12), "MONOCHROME1", {"stored": 12}),
    "jpeg-ls, rgb": (JPEGLSLossless, pattern(2, 3), "RGB", {}),
    "near jpeg-ls": (JPEGLSNearLossless, pattern(), "MONOCHROME2", {}),
    "jpeg 2000": (JPEG2000Lossless, pattern(3, 1, 16, 12), "MONOCHROME2", {"stored": 12}),
    "jpeg 2000, signed": (JPEG2000Lossless, pattern(2, 1, 16, 16, signed=True), "MONOCHROME2", {}),
    "jpeg 2000, rgb": (JPEG2000Lossless, pattern(2, 3), "RGB", {}),
    "jpeg 2000, rct": (JPEG2000Lossless, pattern(2, 3), "YBR_RCT", {}),
}
SOME = PROFILE.replace("remove: [5, 2, 21, 11]", "remove: [5, 2, 21, 11]\n      frames: ['2-']")


def has_encoder(syntax: str) -> bool:
    try:
        return bool(get_encoder(syntax).is_available)
    except NotImplementedError:
        return False


@pytest.mark.parametrize("name", PACKED)
def test_compressed_stays_what_it_is(name: str) -> None:
    syntax, found, photometric, more = PACKED[name]
    if not has_encoder(syntax):
        pytest.skip("no encoder for it here")
    source = packed(found, syntax, photometric, **more)
    alone, _ = run(source, PROFILE.replace("Modality US", "Modality CT"))  # without comments in its frames
    for profile, numbers in ((PROFILE, None), (SOME, set(range(1, len(found))))):
        result, _ = run(source, profile)
        check(source, result, numbers=numbers)
        assert header(result).file_meta.TransferSyntaxUID == syntax
        assert header(result).PhotometricInterpretation == photometric
        pairs = zip(*(frames_of(one) for one in (alone, result)), strict=True)
        same = {number for number, (before, after) in enumerate(pairs) if before == after}
        assert same == set(range(len(found))) - (set(range(len(found))) if numbers is None else numbers)


@pytest.mark.parametrize("samples", [1, 3])
def test_without_an_encoder_all_is_decompressed(samples: int) -> None:
    source = jpeg(pattern(2, samples), BurnedInAnnotation="YES")
    result, edits = run(source)
    check(source, result)
    ds = header(result)
    assert ds.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert ds.PhotometricInterpretation == ("MONOCHROME2" if samples == 1 else "YBR_FULL")
    assert (ds.LossyImageCompression, ds.BurnedInAnnotation) == ("01", "NO")
    assert "decompressed" in next(edit.after for edit in edits if edit.keyword == "PixelData")


def test_without_wheels_rle_stays_and_others_are_decompressed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carried.codec, "encode", lambda *given: None)
    source = packed(pattern(), RLELossless)
    result, _ = run(source)
    check(source, result)
    assert header(result).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert "LossyImageCompression" not in header(result)


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("table", [True, False])
def test_frames_of_fragments(fragments: int, *, table: bool) -> None:
    ds = header(packed(pattern(), RLELossless))
    frames = list(generate_frames(ds.PixelData, number_of_frames=3))
    ds.PixelData = encapsulate(frames, fragments_per_frame=fragments, has_bot=table)
    ds["PixelData"].VR = "OB"
    source = saved(ds, RLELossless)
    if fragments == 2 and not table:
        with pytest.raises(Unfit, match="other frames than"):
            run(source)
        return
    result, _ = run(source)
    check(source, result)


def test_what_cannot_be_decoded_is_refused() -> None:
    ds = image(pattern(1))
    ds.PixelData = encapsulate([b"\xff\xd8\xff\xd9not a picture"])
    ds["PixelData"].VR = "OB"
    with pytest.raises(Unfit, match="cannot be decoded, so it cannot be masked"):
        run(saved(ds, JPEGBaseline8Bit))


def test_offsets_of_frames_are_written_anew() -> None:
    ds = header(packed(pattern(), RLELossless))
    ds.PixelData, ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = encapsulate_extended(
        list(generate_frames(ds.PixelData, number_of_frames=3))
    )
    source = saved(ds, RLELossless)
    result, _ = run(source)
    check(packed(pattern(), RLELossless), result)
    assert "ExtendedOffsetTable" not in header(result)


def test_more_frames_than_any_file_has() -> None:
    for frames in (SOME, SOME.replace("2-", "999999999-")):
        ds = header(packed(pattern(), RLELossless))
        ds.NumberOfFrames = 2_000_000_000
        with pytest.raises(Unfit, match="other frames than"):
            run(saved(ds, RLELossless), frames)


def test_bytes_behind_the_last_frame_are_masked_like_a_frame() -> None:
    ds = header(native(pattern(3)))
    ds.NumberOfFrames = 2
    source = saved(ds, ExplicitVRLittleEndian)
    result, _ = run(source)
    wanted = pattern(3)
    wanted[:, HERE] = 0
    assert header(result).PixelData == wanted.tobytes()


def test_odd_padding_does_not_refuse() -> None:
    found = pattern(1, 3)[:, :39, :63]
    ds = image(found, "RGB")
    ds.PixelData = found.tobytes() + b"\xff"
    ds["PixelData"].VR = "OB"
    source = saved(ds, ExplicitVRLittleEndian)
    everything = PROFILE.replace("[5, 2, 21, 11]", "[0, 0, 63, 39]")
    check(source, run(source, everything.replace("[9, 4, 12, 99]", "[9, 4, 12, 39]"))[0], _but(HERE[:39, :63]))


def _but(there: Array) -> Array:
    here = np.ones_like(there)
    here[4:, 9:12] = False
    return here


# -- what shows the pixels once more ---------------------------------------------------------------------


def test_overlays_and_icons_go() -> None:
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.PixelData = b"ICON"
    icon["PixelData"].VR = "OB"
    nested = Dataset()
    nested.IconImageSequence = [icon]
    ds = header(native(pattern(), BurnedInAnnotation="YES"))
    ds.IconImageSequence = [icon]
    ds.ReferencedImageSequence = [nested]
    ds.add_new(0x60020010, "US", 8)
    ds.add_new(0x60023000, "OW", b"OVERLAY!")
    source = saved(ds, ExplicitVRLittleEndian)
    result, edits = run(source)
    check(source, result)
    assert b"ICON" not in result
    assert b"OVERLAY!" not in result
    assert header(result).BurnedInAnnotation == "NO"
    assert {edit.path for edit in edits} >= {
        "(0088,0200)", "(0008,1140)[0](0088,0200)", "(6002,3000)", "(7FE0,0010)", "(0028,0301)",
    }  # fmt: skip
    assert b"ICON" in run(source, PROFILE.replace("Modality US", "Modality CT"))[0]


def test_with_the_standard_a_masked_file_says_so() -> None:
    profile = PROFILE.split("  fields:")[0] + "  ps3-15: basic\n  fields:\n  - requires: fw-gear-deid\n"
    source = native(pattern())
    assert header(run(source, profile)[0]).BurnedInAnnotation == "NO"
    with pytest.raises(Unfit, match="burned-in"):
        run(source, profile.replace("Modality US", "Modality CT"))


def test_what_is_excluded_goes_by_what_it_said() -> None:
    profile = PROFILE + '  exclude:\n  - BurnedInAnnotation: "YES"\n'
    with pytest.raises(AssertionError):
        run(native(pattern(), BurnedInAnnotation="YES"), profile)
    check(native(pattern()), run(native(pattern()), profile)[0])


def test_pixels_twice_are_refused() -> None:
    ds = header(native(pattern()))
    ds.FloatPixelData = np.ones(pattern().size, np.float32).tobytes()
    with pytest.raises(Unfit, match="pixels twice"):
        run(saved(ds, ExplicitVRLittleEndian))


def test_overlay_in_bits_of_pixels_goes() -> None:
    found = pattern(2, 1, 16, 12)
    ds = header(native(found | np.uint16(0x8000), stored=12))
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    source = saved(ds, ExplicitVRLittleEndian)
    result, _ = run(source)
    wanted = found.copy()
    wanted[:, HERE] = 0
    assert header(result).PixelData == wanted.tobytes()


def test_a_file_that_no_mask_meets_is_as_it_was() -> None:
    source = native(pattern(), BurnedInAnnotation="YES")
    result, edits = run(source, PROFILE.replace("Modality US", "Modality CT"))
    assert header(result).PixelData == header(source).PixelData
    assert header(result).BurnedInAnnotation == "YES"
    assert "mask" not in {edit.action for edit in edits}


def test_regions() -> None:
    ds = header(native(pattern()))
    region = Dataset()
    region.RegionLocationMinX0, region.RegionLocationMinY0 = 3, 4
    region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 30, 20
    ds.SequenceOfUltrasoundRegions = [region]
    source = saved(ds, ExplicitVRLittleEndian)
    profile = PROFILE.split("    - when: contains Modality US\n      keep")[0].replace(
        "[5, 2, 21, 11]", "outside-regions"
    )
    here = np.ones((ROWS, COLUMNS), bool)
    here[4:21, 3:31] = False
    check(source, run(source, profile)[0], here)
    del ds.SequenceOfUltrasoundRegions
    with pytest.raises(Unfit, match="no ultrasound regions"):
        run(saved(ds, ExplicitVRLittleEndian), profile)


def test_a_rectangle_beside_the_image_refuses() -> None:
    with pytest.raises(Unfit, match="lies outside of the image"):
        run(native(pattern()), PROFILE.replace("[5, 2, 21, 11]", "[64, 2, 90, 11]"))


def test_a_large_file_passes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from fw_gear_deid.deid import incoming

    monkeypatch.setattr(incoming, "_LARGE", 1 << 12)
    monkeypatch.setattr(incoming, "_FIRST", 1 << 10)
    for name, (found, photometric, more) in NATIVE.items():
        source = native(np.concatenate([found] * 20), ExplicitVRLittleEndian, photometric, **more)
        result, _ = run(source)
        assert np.array_equal(decoded(result), decoded(run(source)[0])), name
        check(source, result)


# -- parts -----------------------------------------------------------------------------------------------


def test_bands_are_what_painting_gives() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        boxes = []
        for _ in range(rng.integers(1, 6)):
            x0, y0 = rng.integers(0, 12, 2)
            boxes.append(Box(bool(rng.integers(0, 3)), int(x0), int(y0), int(x0 + rng.integers(1, 9)), int(y0 + 3)))
        painted, found = np.zeros((10, 11), bool), np.zeros((10, 11), bool)
        for blank, x0, y0, x1, y1 in boxes:
            painted[y0:y1, x0:x1] = blank
        for y0, y1, columns in bands(boxes, 10, 11):
            for start, stop in columns:
                assert not found[y0:y1, start:stop].any()
                found[y0:y1, start:stop] = True
        assert np.array_equal(painted, found)


@pytest.mark.parametrize("allocated", [1, 8, 16])
def test_pieces_of_any_size(allocated: int) -> None:
    shape = Image(5, 7, 3, 1, False, allocated, allocated, False, "MONOCHROME2")
    boxes = (Box(True, 1, 1, 6, 4),)
    data = bytes([255]) * (-(-shape.frame_bits * 3 // 8))
    whole = Native(shape, lambda _: boxes).put(data, 0)
    assert whole != data
    for size in (1, 2, 3, 16):
        pieces = [Native(shape, lambda _: boxes).put(data[at : at + size], at) for at in range(0, len(data), size)]
        assert b"".join(pieces) == whole
        watch = pixels.Passing(carried._shape(shape), lambda _: boxes)
        for at in range(0, len(data), size):
            watch.see(data[at : at + size], whole[at : at + size])
        watch.end()


def test_the_check_finds_each_byte_that_is_wrong() -> None:
    shape = Image(5, 7, 2, 3, True, 8, 8, False, "YBR_FULL")
    boxes = (Box(True, 1, 1, 6, 4), Box(False, 2, 2, 3, 3))
    data = np.random.default_rng(3).integers(1, 120, 210, np.uint8).tobytes()
    good = Native(shape, lambda _: boxes).put(data, 0)
    for at in range(len(good)):
        wrong = bytearray(good)
        wrong[at] ^= 1
        watch = pixels.Passing(carried._shape(shape), lambda _: boxes)
        with pytest.raises(Unfit, match="verification"):
            watch.see(data, bytes(wrong))


def test_the_check_of_frames_finds_what_is_wrong() -> None:
    boxes = (Box(True, 5, 2, 21, 11), Box(False, 9, 4, 12, 99))
    source = packed(pattern(), RLELossless)
    result, _ = run(source)
    assert pixels.check(source, result, lambda _: boxes) == 0
    assert pixels.check(source, source, lambda _: ()) == 3
    for found in (source, packed(pattern() + np.uint8(1), RLELossless), result[:-50]):
        with pytest.raises(Unfit, match="verification"):
            pixels.check(source, found, lambda _: boxes)


# -- the language ----------------------------------------------------------------------------------------

MET = {
    "contains Modality US": True,
    "contains modality u": True,
    "contains Modality CT|US": True,
    "contains Modality CT": False,
    "notcontains Modality CT": True,
    "equals Modality us": True,
    "equals Modality U": False,
    "notequals Modality CT": True,
    "notequals Manufacturer CT": True,
    "equals ImageType SECONDARY": True,
    "missing Manufacturer": True,
    "present Manufacturer": False,
    "present (0018,6011)": False,
    "present ReferencedImageSequence": True,
    "empty ReferencedImageSequence": False,
    "empty StationName": True,
    "missing StationName": False,
    "not present Manufacturer": True,
    "contains Modality CT + missing Manufacturer": False,
    "contains Modality CT || missing Manufacturer": True,
    "contains Modality US + missing Manufacturer + equals Rows 40": True,
    "missing Manufacturer || contains Modality US + contains Modality CT": False,
    "contains Modality US\n+ contains ImageType second\n|| present Manufacturer": True,
    "contains Modality US  # the site's\ncontains ImageType none": False,
    "equals SeriesDescription a + b || c": True,
}


@pytest.mark.parametrize("when", MET)
def test_conditions(when: str) -> None:
    ds = header(native(pattern(1)))
    ds.ImageType = ["DERIVED", "SECONDARY"]
    ds.StationName = ""
    ds.SeriesDescription = "A + B || C"
    ds.ReferencedImageSequence = [Dataset()]
    lines = "\n".join("        " + line for line in when.splitlines())
    profile = (
        f"dicom:\n  alter_pixels:\n    pixels:\n    - when: |\n{lines}\n      remove: [0, 0, 4, 2]\n  fields: []\n"
    )
    _, edits = run(saved(ds, ExplicitVRLittleEndian), profile)
    assert ("mask" in {edit.action for edit in edits}) == MET[when]


RECTANGLES = """\
dicom:
  alter_pixels:
    rectangles: |
      FORMAT dicom
      %filter graylist
      LABEL ACME
        contains Modality US
        + notequals Manufacturer OTHER  # a comment
        coordinates 5,2,21,11
        keepcoordinates 9,4,12,99
      LABEL another
        contains Modality CT
        ctpcoordinates 0,0,10,10
  fields: []
"""


def test_lines_of_rectangles() -> None:
    source = native(pattern())
    check(source, run(source, RECTANGLES)[0])
    wide = RECTANGLES.replace("coordinates 5,2,21,11", "ctpcoordinates 5,2,16,9")
    check(source, run(source, wide)[0])
    every = RECTANGLES.replace("coordinates 5,2,21,11", "coordinates all").replace(
        "        keepcoordinates 9,4,12,99\n", ""
    )
    check(source, run(source, every)[0], np.ones_like(HERE))


WRONG = {
    "alter_pixels: {}": "it masks nothing",
    "alter_pixels: []": "a mapping",
    "alter_pixels: {pixels: []}": "it masks nothing",
    "alter_pixels: {pixel: []}": "did you mean 'pixels'",
    "alter_pixels: {detect: [dicom.ultrasound]}": "recipes of other programs",
    "alter_pixels: {pixels: [{when: contains Modality US}]}": "one of 'remove' and 'keep'",
    "alter_pixels: {pixels: [{remove: [0, 0, 1, 1]}]}": "one of 'remove' and 'keep'",
    "alter_pixels: {pixels: [{when: contains Modality US, keep: [0, 0, 1, 1]}]}": "mask nothing",
    "alter_pixels: {pixels: [{when: contains Modality US, remove: [0, 0, 1]}]}": "must be 4 values",
    "alter_pixels: {pixels: [{when: contains Modality US, remove: regions}]}": "must be 4 values",
    "alter_pixels: {pixels: [{when: contains Modality US, remove: [4, 0, 1, 1]}]}": "x0 less than x1",
    "alter_pixels: {pixels: [{when: contains Modality US, remove: [-1, 0, 1, 1]}]}": "x0 less than x1",
    "alter_pixels: {pixels: [{when: contains Modalty US, remove: [0, 0, 1, 1]}]}": "did you mean 'Modality'",
    "alter_pixels: {pixels: [{when: has Modality US, remove: [0, 0, 1, 1]}]}": "not a condition",
    "alter_pixels: {pixels: [{when: contains Modality, remove: [0, 0, 1, 1]}]}": "a keyword and a value",
    "alter_pixels: {pixels: [{when: missing Modality US, remove: [0, 0, 1, 1]}]}": "nothing behind it",
    "alter_pixels: {pixels: [{when: 'contains Modality (', remove: [0, 0, 1, 1]}]}": "not a regular expression",
    "alter_pixels: {pixels: [{when: missing Modality, remove: [0, 0, 1, 1], frames: [0]}]}": "numbers from 1",
    "alter_pixels: {pixels: [{when: missing Modality, remove: [0, 0, 1, 1], frames: ['5-2']}]}": "numbers from 1",
    "alter_pixels: {pixels: [{when: missing Modality, remove: [0, 0, 1, 1], frames: []}]}": "no frames",
    "alter_pixels: {rectangles: 'contains Modality US'}": "LABEL",
    "alter_pixels: {rectangles: \"LABEL a\\ncontains Modality US\"}": "no coordinates",
    "alter_pixels: {rectangles: \"LABEL a\\nmissing Modality\\ncoordinates 1,2,3\"}": "x0 less than x1",
    "alter_pixels: {rectangles: \"LABEL a\\nmissng Modality\\ncoordinates 1,2,3,4\"}": "not a condition",
}  # fmt: skip


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_in_a_profile(text: str) -> None:
    with pytest.raises(ProfileError) as caught:
        parse_profile(f"dicom:\n  {text}\n  fields:\n  - name: PatientName\n    remove: true\n", "p.yaml")
    assert WRONG[text] in str(caught.value)


def test_masks_that_meet_nothing_are_told(desk: Desk) -> None:
    desk.put({"S/V/A/1.dcm": native(pattern())})
    desk.rules(
        PROFILE.replace(
            "keep: [9, 4, 12, 99]", "remove: [0, 0, 1, 1]\n    - when: contains Modality CT\n      remove: [0, 0, 2, 2]"
        )
    )
    assert desk.run().code == 0
    assert "alter_pixels (profile.yaml:8)" in desk.summary()["rules_without_a_match"]
    assert not [one for one in desk.summary()["rules_without_a_match"] if one.endswith((":4)", ":6)"))]
    (result,) = desk.there().values()
    here = np.zeros_like(HERE)
    here[2:11, 5:21] = here[0, 0] = True
    check(native(pattern()), result, here)


def test_the_page_shows_a_profile_that_is_right() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "pixels.md").read_text(encoding="utf-8")
    profile = parse_profile(page.split("```yaml\n")[1].split("```")[0], "p.yaml")
    assert len(profile.masks) == 4
    assert not [one for one in profile.warnings if "known to this program only" in one.message]


# -- hostile ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: native(pattern(2)), lambda: packed(pattern(2), RLELossless)])
def test_damage_is_refused_or_masked(make: Any) -> None:
    source = make()
    rng = np.random.default_rng(5)
    at_pixels = source.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    for number in range(250):
        broken = bytearray(source)
        for at in rng.integers(132, min(at_pixels + 200, len(source)), 3):
            broken[at] = rng.integers(0, 256)
        if number % 5 == 0:
            broken = broken[: rng.integers(200, len(broken))]
        with contextlib.suppress(Unfit):  # nothing else comes out
            run(bytes(broken))
