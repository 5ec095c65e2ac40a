"""What comes out, read by other programs of the field: DCMTK's dcmdump, and dcm2niix before and after."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from pydicom import dcmread

from tests.desk import call

NEEDED = "FW_GEAR_DEID_NEED_READERS"


def program(name: str) -> str:
    """Return a program's path; where it is missing the test is skipped, or fails where it was promised."""
    found = shutil.which(name)
    if found is None and os.environ.get(NEEDED):
        pytest.fail(f"{name} is missing, and {NEEDED} promises it")
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The sample before and after, its archives unpacked."""
    folder = tmp_path_factory.mktemp("readers")
    assert call("sample", str(folder / "in"), "--subjects", "1").code == 0
    done = call("run", str(folder / "in"), str(folder / "out"), "--profile", "research-site", "--workers", "1")
    assert done.code == 0, done.err
    return unpacked(folder / "in", folder / "before"), unpacked(folder / "out", folder / "after")


def unpacked(source: Path, target: Path) -> Path:
    for number, path in enumerate(sorted(path for path in source.rglob("*") if path.is_file())):
        place = target / str(number)
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                archive.extractall(place)
        elif path.read_bytes()[128:132] == b"DICM":
            place.mkdir(parents=True)
            shutil.copy(path, place)
    return target


def test_dcmdump_reads_every_instance(released: tuple[Path, Path]) -> None:
    dcmdump = program("dcmdump")
    files = [path for path in released[1].rglob("*") if path.is_file()]
    assert len(files) == 9
    for path in files:
        done = subprocess.run([dcmdump, "-q", str(path)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b""), path.name


def volumes(folder: Path, target: Path) -> list[bytes]:
    """Return grid and voxels of every volume that dcm2niix makes, but for the header's text."""
    target.mkdir()
    dcm2niix = program("dcm2niix")
    images = target / "images"
    for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        if (
            b"DICM" in path.read_bytes()[:132] and dcmread(path).Modality != "US"
        ):  # of RLE with frames it reads the first alone
            shutil.copytree(path.parent, images / str(number), dirs_exist_ok=True)
    subprocess.run(
        [dcm2niix, "-b", "n", "-z", "n", "-f", "%j", "-o", str(target), str(images)], capture_output=True, check=False
    )
    made = [path.read_bytes() for path in target.glob("*.nii")]
    return sorted(data[40:148] + data[352:] for data in made)


def test_dcm2niix_makes_the_same_volumes(released: tuple[Path, Path], tmp_path: Path) -> None:
    before, after = (volumes(folder, tmp_path / folder.name) for folder in released)
    assert len(before) == 3
    assert after == before
