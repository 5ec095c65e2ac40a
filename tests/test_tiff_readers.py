"""TIFF: results held against other readers, tifffile and Pillow: every page's pixels, and the tags that stay."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageSequence, TiffImagePlugin

from fw_gear_deid.model.errors import Unfit
from tests.test_tiff import KEEP, gone, run, section
from tests.tiff_files import rich

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
REAL = sorted(CORPUS.glob("nondicom/tiff/*")) + sorted(CORPUS.glob("planted/other/tif*"))
HOSTILE = sorted(CORPUS.glob("hostile/tiff/*")) + sorted(CORPUS.glob("hostile_built/other/*.tif*"))
TEXTS = ("Artist", "ImageDescription", "Software", "DateTime", "HostComputer", "Copyright", "PageName", "DocumentName", "XMP",
         "Make", "Model")  # fmt: skip
PLACES = {273, 324, 330, 34665, 34853}
RULES = {
    "keep": KEEP,
    "remove": gone(*TEXTS, remove_private_tags=True),
    "hash": section(*({"name": name, "hash": True} for name in TEXTS[:3])),
    "longer": section(*({"name": name, "replace-with": "something longer than before " * 3} for name in TEXTS[:3])),
}
GONE = {"keep": set(), "hash": set(), "longer": set(),
        "remove": {269, 270, 271, 272, 285, 305, 306, 315, 316, 33432, 700}}  # fmt: skip
PIXELS = np.arange(48 * 32 * 3, dtype=np.uint8).reshape(48, 32, 3)


def written(**options: Any) -> bytes:
    out = io.BytesIO()
    given = {"artist": None, "software": "s", "description": "WHAT it shows"} | options
    with tifffile.TiffWriter(out, byteorder=given.pop("byteorder", "<"), bigtiff=given.pop("bigtiff", False),
                             ome=given.pop("ome", False), imagej=given.pop("imagej", False)) as file:  # fmt: skip
        artist, subifds, pages = given.pop("artist"), given.pop("subifds", 0), given.pop("pages", 2)
        data = given.pop("data", PIXELS)
        for number in range(pages):
            more = [(315, 2, 0, artist, True)] if artist else []
            file.write(data, extratags=more, subifds=subifds or None, metadata=given.get("metadata", {}), **{
                key: value for key, value in given.items() if key != "metadata"})  # fmt: skip
            for _ in range(subifds):
                file.write(data[::2, ::2], subfiletype=1, description="WHAT below", metadata={})
            del number
    return out.getvalue()


def pillow() -> bytes:
    out = io.BytesIO()
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[315], tags[270], tags[306], tags[65000] = "DOE^JANE", "WHAT it shows", "2021:03:04 10:11:12", "private"
    exif = Image.Exif()
    exif[36867] = "2021:03:04 10:11:12"
    first, second = Image.fromarray(PIXELS), Image.fromarray(255 - PIXELS)
    first.save(out, "TIFF", save_all=True, append_images=[second], tiffinfo=tags, exif=exif, compression="tiff_lzw")
    return out.getvalue()


MADE = {
    "strips": lambda: written(artist="DOE^JANE", rowsperstrip=8),
    "tiles": lambda: written(tile=(16, 16), artist="DOE^JANE"),
    "big-endian": lambda: written(byteorder=">", rowsperstrip=5, artist="DOE^JANE"),
    "bigtiff": lambda: written(bigtiff=True, tile=(16, 16), artist="DOE^JANE"),
    "deflated": lambda: written(compression="zlib", predictor=True, artist="DOE^JANE"),
    "sub-images": lambda: written(subifds=2, tile=(16, 16)),
    "planes": lambda: written(data=PIXELS.transpose(2, 0, 1).copy(), planarconfig="separate", photometric="rgb"),
    "imagej": lambda: written(data=np.arange(5 * 16 * 16, dtype=np.uint16).reshape(5, 16, 16), imagej=True, pages=1,
                              description=None, metadata={"axes": "ZYX"}),
    "ome": lambda: written(data=np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16), ome=True, pages=1,
                           description=None, metadata={"axes": "ZYX"}),
    "series": lambda: written(data=np.arange(4 * 16 * 16, dtype=np.uint16).reshape(4, 16, 16), pages=1,
                              description=None, software=None, photometric="minisblack", metadata={"axes": "ZYX"}),
    "pillow": pillow,
    "rich": rich,
}  # fmt: skip


def pages(data: bytes) -> Iterator[tuple[dict[int, Any], Any]]:
    """Yield the tags that are no places, and the pixels, of every page and sub-image as tifffile reads them."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        for page in file.pages:
            for one in [page, *(page.pages or [])]:
                assert isinstance(one, tifffile.TiffPage)
                tags = {tag.code: tag.value for tag in one.tags if tag.code not in PLACES}
                try:
                    yield tags, one.asarray().tobytes()
                except (
                    ValueError,
                    NotImplementedError,
                ):  # packed in a way that needs another library: the pieces as they are
                    yield (
                        tags,
                        [data[at : at + size] for at, size in zip(one.dataoffsets, one.databytecounts, strict=True)],
                    )


def frames(data: bytes) -> list[bytes]:
    with Image.open(io.BytesIO(data)) as opened:
        return [frame.tobytes() for frame in ImageSequence.Iterator(opened)]


def compare(before: bytes, after: bytes, rules: str) -> None:
    touched = {"keep": set(), "hash": {270, 305, 315}, "longer": {270, 305, 315}}.get(rules, set()) | GONE[rules]
    old, new = list(pages(before)), list(pages(after))
    assert len(new) == len(old)
    for (tags, pixels), (now, there) in zip(old, new, strict=True):
        assert pixels == there
        stays = {code: value for code, value in tags.items() if code not in touched}
        if rules == "remove":
            stays = {code: value for code, value in stays.items() if code < 32768}
            assert not now.keys() & GONE[rules] and max(now) < 32768
        rest = {code: value for code, value in now.items() if code not in touched}
        assert repr(rest) == repr(stays)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("kind", MADE)
def test_other_readers_find_the_same_pixels_and_tags(kind: str, rules: str) -> None:
    data = MADE[kind]()
    if kind in ("ome", "series", "imagej") and rules not in ("keep", "remove"):
        return  # the description is rewritten: what it said of axes is gone, as was asked
    result = run(data, RULES[rules])
    compare(data, result, rules)
    assert frames(result) == frames(data)
    if rules == "keep":
        assert len(data) - len(result) <= 16, "what tifffile leaves behind the last directory"
        assert sum(one != two for one, two in zip(data, result, strict=False)) <= 32, "and behind others"


@pytest.mark.parametrize("rules", ["keep", "remove"])
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files(path: Path, rules: str) -> None:
    data = path.read_bytes()
    result = run(data, RULES[rules])
    compare(data, result, rules)
    if "webp" not in path.name:
        assert frames(result) == frames(data)


@pytest.mark.skipif(not REAL, reason="shared/corpus is not beside this checkout")
def test_preview_that_nothing_points_at_is_gone() -> None:
    data = (CORPUS / "nondicom/tiff/exifr__001.tif").read_bytes()
    hidden = data[8:22082]
    assert b"II*\0" in hidden and hidden.strip(b"\0")
    assert not run(data)[8:22082].strip(b"\0")


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: path.name)
def test_hostile_files(path: Path) -> None:
    try:
        run(path.read_bytes(), RULES["remove"])
    except Unfit:
        return
    assert path.name == "bigtiff_hdr.tif", "an empty directory; nothing in it"
