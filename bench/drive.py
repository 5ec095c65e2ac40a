"""``drive.py PEER PROFILE SOURCE DEST``: a peer on an archive or a folder. Run by the peers' interpreter; imports late.

Who knows archives is asked to do one as it does them. The others get each member in memory, by ``zipfile``, and their
results are packed as theirs would be: by zlib at level 6, stored from stored, or stored when the peer's name says so.
"""

import contextlib
import importlib.util
import io
import logging
import os
import re
import struct
import sys
import warnings
import zipfile
from pathlib import Path

PIXELS = re.compile(rb"\xe0\x7f\x10\x00(?:OW|OB)\0\0")


# how members go through ------------------------------------------------------------------------------------------


def each(edit, source, dest, method=None):
    """Edit every member of an archive, or file of a folder."""
    if source.is_dir():
        for path in sorted(one for one in source.rglob("*") if one.is_file()):
            target = dest / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(edit(path.read_bytes()))
        return
    with zipfile.ZipFile(source) as opened, zipfile.ZipFile(dest, "w") as target:
        for info in opened.infolist():
            how = info.compress_type if method is None else method
            target.writestr(info.filename, edit(opened.read(info)), how, 6)


def data_set(change):
    """Return an edit of bytes from one of a pydicom data set."""
    import pydicom

    def edit(data):
        ds = pydicom.dcmread(io.BytesIO(data))
        out = io.BytesIO()
        (change(ds) or ds).save_as(out)
        return out.getvalue()

    return edit


def fields(profile):
    """Return the rules on named fields: (keyword, text to put there, None to remove it)."""
    import yaml

    section = yaml.safe_load(profile.read_text())["dicom"]["fields"]
    named = [one for one in section if one.get("name", "(").isalnum()]
    return [(one["name"], one.get("replace-with")) for one in named if "replace-with" in one or one.get("remove")]


# peers that edit what they are given -----------------------------------------------------------------------------


def fw_file_rs(profile):
    """Their library does headers; the pixels are ours to append."""
    import yaml
    from fw_file_rs.dcm import Context

    section = {"version": 1, "name": "bench", "dicom": yaml.safe_load(profile.read_text())["dicom"]}
    header = Context().deid_profile(yaml.safe_dump(section)).deid_header

    def edit(data):
        cut = PIXELS.search(data).start()
        return header(data[:cut]) + data[cut:]

    return edit


def pydicom_deid(profile):
    """Recipe of the same fields; BLANK makes no missing ones."""
    from deid.config import DeidRecipe
    from deid.dicom.parser import DicomParser

    recipe = Path(f"recipe.{os.getpid()}.dicom")
    lines = ["FORMAT dicom", "%header"]
    for name, value in fields(profile):
        lines.append({None: f"REMOVE {name}", "": f"BLANK {name}"}.get(value, f"REPLACE {name} {value}"))
    recipe.write_text("\n".join(lines) + "\n")
    read = DeidRecipe(deid=str(recipe))
    recipe.unlink()

    def change(ds):
        parser = DicomParser(ds, recipe=read, force=True)
        parser.parse(strip_sequences=False, remove_private=False)
        return parser.dicom

    return data_set(change)


def dicognito(_profile):
    """Rules of its own."""
    from dicognito.anonymizer import Anonymizer

    return data_set(Anonymizer(seed="bench").anonymize)


def dicom_anonymizer(_profile):
    """Rules of its own (PS3.15), without the removal of private elements that the site's profile has not, either."""
    from dicomanonymizer import anonymize_dataset

    return data_set(lambda ds: anonymize_dataset(ds, delete_private_tags=False))


def pydicom_loop(_profile):
    """Read and write, nothing changed."""
    return data_set(lambda ds: None)


# peers that do whole sources ---------------------------------------------------------------------------------------


def flywheel_migration(profile, source, dest):
    """The reference, as its users call it: an archive, or every file of a folder."""
    from flywheel_migration import deidentify
    from fs.osfs import OSFS

    loaded = deidentify.load_profile(str(profile))
    if source.is_file():
        dest.mkdir()
        with OSFS(str(source.parent)) as read, OSFS(str(dest)) as written:
            loaded.process_file(src_fs=read, src_file=source.name, dst_fs=written)
    else:
        rules = loaded.get_file_profile("dicom")
        rules.get_dest_path = lambda state, record, path: path  # else names collide in a folder
        for folder in sorted({path.parent for path in source.rglob("*") if path.is_file()}):
            target = dest / folder.relative_to(source)
            target.mkdir(parents=True, exist_ok=True)
            with OSFS(str(folder)) as read, OSFS(str(target)) as written:
                rules.process_files(read, written, sorted(one.name for one in folder.iterdir() if one.is_file()))
    loaded.finalize()


def deid_export():
    """Load the module of its functions; the package itself wants the platform's client."""
    place = Path(importlib.util.find_spec("fw_gear_deid_export").origin).parent / "deid_file.py"
    spec = importlib.util.spec_from_file_location("deid_file", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def deid_export_file(profile, source, dest):
    """Its function for a file, which the reference's rules for archives take."""
    from flywheel_migration import deidentify

    dest.mkdir()
    deid_export().deidentify_file(deidentify.load_profile(str(profile)), str(source), str(dest))


def deid_export_archive(profile, source, dest):
    """Its function for an archive: unpacks, does the files, packs them stored."""
    dest.mkdir()
    deid_export().deid_archive(str(source), str(profile), str(dest))


def gdcmanon(profile, source, dest):
    """A program of C++ that does folders; it refuses fields that hold sequences or numbers."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    command = ["gdcmanon", "--dumb", "--recursive", "-i", str(source), "-o", str(dest)]
    for name, value in fields(profile):
        tag = tag_for_keyword(name)
        if tag is None or dictionary_VR(name) in ("SQ", "US", "UL", "SS", "FD", "FL"):
            continue
        at = f"{tag >> 16:x},{tag & 0xFFFF:x}"
        command += ["--remove", at] if value is None else ["--replace", f"{at}={value}"] if value else ["--empty", at]
    os.execvp(command[0], command)


# floors: what a copy costs -----------------------------------------------------------------------------------------


def floor(source, dest, *, pack):
    """Copy an archive by the codec that we use: read, unpack, sum, pack, write, and nothing else."""
    try:
        from isal import isal_zlib as codec
    except ImportError:
        import zlib as codec
    directory = []
    with zipfile.ZipFile(source) as opened, source.open("rb") as read, dest.open("wb") as written:
        for info in opened.infolist():
            read.seek(info.header_offset + 26)
            read.seek(sum(struct.unpack("<HH", read.read(4))), 1)
            data = read.read(info.compress_size)
            packed = info.compress_type == zipfile.ZIP_DEFLATED
            if packed:
                data = codec.decompress(data, -15)
            crc, size = codec.crc32(data), len(data)
            if packed and pack:
                data = codec.compress(data, 1, -15)
            name, at = info.filename.encode(), written.tell()
            fixed = struct.pack("<HHHHHLLLHH", 20, 0, 8 * (packed and pack), 0, 33, crc, len(data), size, len(name), 0)
            written.write(b"PK\3\4" + fixed + name)
            written.write(data)
            directory.append(b"PK\1\2\24\0" + fixed + struct.pack("<HHHLL", 0, 0, 0, 0, at) + name)
        begin = written.tell()
        written.writelines(directory)
        size = written.tell() - begin
        written.write(b"PK\5\6" + struct.pack("<HHHHLLH", 0, 0, len(directory), len(directory), size, begin, 0))


EDITS = {
    "fw-file-rs": fw_file_rs,
    "pydicom/deid": pydicom_deid,
    "dicognito": dicognito,
    "dicom-anonymizer": dicom_anonymizer,
    "pydicom-loop": pydicom_loop,
}
WHOLE = {
    "flywheel-migration": flywheel_migration,
    "deid-export-file": deid_export_file,
    "deid-export-archive": deid_export_archive,
    "gdcmanon": gdcmanon,
}
COPIES = {
    "floor": lambda source, dest: floor(source, dest, pack=True),
    "floor-stored": lambda source, dest: floor(source, dest, pack=False),
    "copy-zlib-6": lambda source, dest: each(lambda data: data, source, dest, zipfile.ZIP_DEFLATED),
}


def main(peer, profile, source, dest):
    """Carry out one peer."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    if peer in COPIES:
        COPIES[peer](source, dest)
    elif peer in WHOLE:
        with contextlib.redirect_stdout(None):
            WHOLE[peer](profile, source, dest)
    else:
        name, _, stored = peer.partition(" ")
        each(EDITS[name](profile), source, dest, zipfile.ZIP_STORED if stored else None)


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:5]))
