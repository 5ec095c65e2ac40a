"""Made-up archives → milliseconds per slice and where they go. Run by ``make bench``; times nothing in the tests."""

from __future__ import annotations

import io
import sys
import time
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pydicom
from pydicom.uid import generate_uid

from fw_gear_deid.deid import Context, deidentify, dicom
from fw_gear_deid.formats.archive import open_archive, zips
from fw_gear_deid.formats.dicom import part10
from fw_gear_deid.keys import Keyring
from fw_gear_deid.profile import store
from fw_gear_deid.profile.compiled import Profile
from fw_gear_deid.profile.values.mapping import plan_profiles
from fw_gear_deid.sample import make_sample
from fw_gear_deid.verify import dicom as verify


def series(source: Path, count: int) -> list[bytes]:
    """Slices with new instance UIDs, from the DICOM files of a folder over and over."""
    originals = [path.read_bytes() for path in sorted(source.rglob("*.dcm"))]
    slices = []
    for number in range(count):
        ds = pydicom.dcmread(io.BytesIO(originals[number % len(originals)]))
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["bench", str(number)])
        out = io.BytesIO()
        ds.save_as(out)
        slices.append(out.getvalue())
    return slices


def archive(slices: list[bytes], path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for number, data in enumerate(slices):
            target.writestr(f"{number:04d}.dcm", data)


def seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The least CPU time of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        begin = time.process_time()
        work()
        best = min(best, time.process_time() - begin)
    return best


def profile_of(name: str) -> Profile:
    path = store.path_of(name)
    book = plan_profiles(store.read_text(path), path.name, None, [])
    return book.for_file((), pseudonyms={"subject.pseudonym": "sub-bench", "session.pseudonym": "ses-bench"})


def main(folder: Path, profile_name: str, count: int = 208) -> None:
    slices = series(folder, count)
    profile = profile_of(profile_name)
    assert profile.dicom is not None
    ctx = Context(profile, Keyring(bytes(32)), "bench", date(2026, 1, 1), "strict")
    with TemporaryDirectory() as temporary:
        path, out = Path(temporary, "a.zip"), Path(temporary, "b.zip")
        archive(slices, path)
        whole = seconds(lambda: deidentify(path, "a.zip", ctx, out))
        with open_archive(path) as opened:
            inflate = seconds(lambda: [member.read() for member in opened.members()])
        section = profile.dicom

        def edit() -> list[tuple[part10.Draft, list[bytes | memoryview]]]:
            done = []
            for data in slices:
                draft = part10.read(data)
                dicom.edit(draft, section, ctx)
                done.append((draft, part10.write(draft)))
            return done

        header = seconds(edit)
        edited = [(draft, b"".join(pieces)) for draft, pieces in edit()]
        check = seconds(lambda: [verify.check(draft, data) for draft, data in edited])

        def deflate() -> None:
            with zips.Target(out) as target:
                for number, (_, data) in enumerate(edited):
                    zips.write_member(target, f"{number}.dcm", data, zipfile.ZIP_DEFLATED)

        packed = seconds(deflate)
        count = len(slices)
        print(f"{count} slices of {sum(map(len, slices)) / count / 1000:.0f} kB, profile {profile.name}")
        print(f"{'whole archive':14} {whole / count * 1e3:7.3f} ms/slice")
        for name, part in (("inflate", inflate), ("header", header), ("verification", check), ("deflate", packed)):
            print(f"{name:14} {part / count * 1e3:7.3f} ms/slice  {part / whole:4.0%}")


def made_up(profile_name: str, count: int = 208) -> None:
    """Measure with an archive of the sample."""
    with TemporaryDirectory() as made:
        make_sample(Path(made, "in"), 1)
        instances = Path(made, "dicom")
        instances.mkdir()
        for zipped in Path(made, "in").rglob("T1*.zip"):
            with zipfile.ZipFile(zipped) as opened:
                for number, name in enumerate(n for n in opened.namelist() if "IM" in n and "__" not in n):
                    (instances / f"{number}.dcm").write_bytes(opened.read(name))
        main(instances, profile_name, count)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "research-site")
    else:
        made_up("research-site")
