"""What ``profile check`` warns of: each warning with a profile that deserves it and one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fw_gear_deid.profile import store
from fw_gear_deid.profile.advice import lint
from fw_gear_deid.profile.advice.people import NAMES
from fw_gear_deid.profile.advice.view import Advice, View
from fw_gear_deid.profile.parse import parse_profile
from tests.test_profile import WARNINGS

TOP = "dicom:\n  recurse-sequence: true\n  date-increment: -3\n  salt: s\n  fields:\n"
STANDARD = "dicom:\n  ps3-15: {profile: basic, options: [clean-graphics]}\n  accept: [annotations]\n  fields:\n"
DATES = (
    "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "InstanceCreationDate",
    "PerformedProcedureStepStartDate", "PerformedProcedureStepEndDate", "IssueDateOfImagingServiceRequest",
    "ScheduledProcedureStepStartDate", "ScheduledProcedureStepEndDate", "DateOfSecondaryCapture",
)  # fmt: skip
MOMENTS = (
    "AcquisitionDateTime", "FrameAcquisitionDateTime", "FrameReferenceDateTime", "RadiopharmaceuticalStartDateTime",
)  # fmt: skip
FAMILY = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
REFERENCES = ("ReferencedSOPInstanceUID", "ReferencedFrameOfReferenceUID", "RelatedFrameOfReferenceUID")
AGE = """\
    - name: PatientAge
      regex-sub:
        - {input-regex: '(09|[1-9]\\d)\\dY', output: 090Y}
        - {input-regex: '(?P<age>.*)', output: '{age}'}
"""


def fields(action: str, *keywords: str) -> str:
    return "".join(f"    - {{name: {keyword}, {action}}}\n" for keyword in keywords)


ALL_DATES = fields("increment-date: true", *DATES) + fields("increment-datetime: true", *MOMENTS)
ALL_UIDS = fields("hashuid: true", *FAMILY, *REFERENCES)
# what is told of: the piece of the message, where, what brings it, and what does not
CASES = {
    "private": ("private elements stay", "2:3", TOP + fields("remove: true", "PatientID"),
                TOP.replace("  fields", "  remove-private-tags: true\n  fields") + fields("remove: true", "PatientID")),
    "sequences": ("sequences stay", "2:3", TOP.replace("recurse-sequence: true", "recurse-sequence: false") + fields("remove: true", "PatientID"),
                  TOP + fields("remove: true", "PatientID")),
    "text": ("text that no field names", "2:3", TOP + fields("remove: true", "PatientID"),
             TOP.replace("recurse-sequence", "remove-undefined") + fields("keep: true", "Modality")),
    "pixels": ("text drawn into the pixels", "2:3", TOP.replace("recurse-sequence", "remove-undefined") + fields("keep: true", "Modality"),
               TOP + fields("remove: true", "PixelData")),
    "names": ("names of persons stay in PatientName, OperatorsName", "2:3", TOP + fields("remove: true", "ReferringPhysicianName"),
              TOP + fields("remove: true", *NAMES)),
    "one name": ("names of persons stay in OperatorsName: remove", "2:3", TOP + fields("remove: true", *(set(NAMES) - {"OperatorsName"})),
                 TOP.replace("  recurse-sequence: true\n", "") + "    - {regex: '.*Name.*', remove: true}\n" + fields("remove: true", *(one for one in NAMES if "Name" not in one))),
    "a name in a keep-list": ("names of persons stay in OperatorsName: remove", "2:3",
                              TOP.replace("recurse-sequence", "remove-undefined") + fields("keep: true", "OperatorsName"),
                              TOP.replace("recurse-sequence", "remove-undefined") + fields("hash: true", "OperatorsName")),
    "age from the birth date": ("ages above 89", "2:3", "dicom:\n  patient-age-from-birthdate: true\n  fields:\n    - name: PatientID\n",
                                "dicom:\n  patient-age-from-birthdate: true\n  fields:\n" + AGE),
    "a code": ("do not get 113100 (Basic Application Confidentiality Profile) nor PatientIdentityRemoved", "5:7",
               STANDARD + fields("keep: true", "PatientName"), STANDARD + fields("remove: true", "PatientName")),
    "a risk": ("the option clean-graphics takes the risk away", "3:3", STANDARD + fields("remove: true", "PatientName"),
               STANDARD.replace("annotations", "raw") + fields("remove: true", "PatientName")),
    "an age that tells by how much": (
        "StudyDate moves, and PatientBirthDate stays beside PatientAge: they tell by how much", "7:7",
        TOP + fields("remove: true", "PatientID") + fields("increment-date: true", "StudyDate"),
        TOP + fields("remove: true", "PatientID", "PatientAge") + fields("increment-date: true", "StudyDate")),
    "an age that is made tells by how much": (
        "PatientBirthDate stays beside PatientAge", "8:7",
        TOP.replace("  fields", "  patient-age-from-birthdate: true\n  fields") + fields("remove: true", "PatientID") + fields("increment-date: true", "StudyDate"),
        TOP.replace("  fields", "  patient-age-from-birthdate: true\n  fields") + fields("remove: true", "PatientBirthDate") + fields("increment-date: true", "StudyDate")),
    "age": ("ages above 89 years stay", "2:3", TOP + fields("remove: true", "PatientID"), TOP + AGE),
    "age in a keep-list": ("ages above 89 years stay", "6:7", TOP.replace("recurse-sequence", "remove-undefined") + fields("keep: true", "PatientAge"),
                           TOP.replace("recurse-sequence", "remove-undefined") + fields("keep: true", "PatientSex")),
    "date": ("StudyDate moves, and SeriesDate stays: it tells the true day", "6:7",
             TOP + ALL_DATES.replace("{name: SeriesDate, increment-date: true}", "{name: SeriesDate, keep: true}"), TOP + ALL_DATES),
    "dates": ("StudyDate moves, and PerformedProcedureStepStartDate and PerformedProcedureStepEndDate stay: they tell", "6:7",
              TOP + ALL_DATES.replace("PerformedProcedureStepStartDate", "CurveDate").replace("PerformedProcedureStepEndDate", "OverlayDate"), TOP + ALL_DATES),
    "UIDs beside dates": ("StudyDate moves, and StudyInstanceUID and SeriesInstanceUID stay: scanners", "6:7",
                          TOP + ALL_DATES + fields("hashuid: true", "SOPInstanceUID", "FrameOfReferenceUID"), TOP + ALL_DATES + ALL_UIDS),
    "UIDs without dates": ("scanners write the day", "6:7", TOP + ALL_DATES, TOP + fields("remove: true", *DATES)),
    "UIDs": ("StudyInstanceUID is hashed, and SeriesInstanceUID, SOPInstanceUID and FrameOfReferenceUID stay: they tell the source", "6:7",
             TOP + fields("hashuid: true", "StudyInstanceUID"), TOP + ALL_UIDS),
    "references": ("FrameOfReferenceUID is hashed, and RelatedFrameOfReferenceUID stays: it still tells the original", "9:7",
                   TOP + fields("hashuid: true", *FAMILY, *REFERENCES[:2]), TOP + ALL_UIDS),
    "references at the top alone": ("SOPInstanceUID is hashed, and ReferencedSOPInstanceUID stays: it still tells the original inside sequences; hash as well, with", "8:7",
                                    TOP.replace("recurse-sequence: true", "recurse-sequence: false") + ALL_UIDS, TOP + ALL_UIDS),
    "a private tag": ("keep protects nothing here", "7:7", TOP.replace("  fields", "  remove-private-tags: true\n  fields") + fields("keep: true", "'(0019,100C)'"),
                      TOP.replace("  fields", "  remove-private-tags: true\n  fields") + "    - {name: '(0019, \"SIEMENS MR HEADER\", 0C)', keep: true}\n"),
    "folder names": ("folder names hashed without a salt", "8:3", TOP + fields("remove: true", "PatientID") + "zip:\n  hash-subdirectories: true\n",
                     TOP + fields("remove: true", "PatientID") + "zip:\n  hash-subdirectories: true\n  salt: s\n"),
    "folder names that stay": ("folder names hashed without a salt", "8:3", TOP + fields("remove: true", "PatientID") + "zip:\n  hash-subdirectories: true\n",
                               TOP + fields("remove: true", "PatientID") + "zip:\n  hash-subdirectories: false\n"),
    "comment": ("a hash without a salt", "9:7", TOP + fields("remove: true", "PatientID") + "zip:\n  fields:\n    - {name: comment, hash: true}\n",
                TOP + fields("remove: true", "PatientID") + "zip:\n  salt: s\n  fields:\n    - {name: comment, hash: true}\n"),
}  # fmt: skip


def told(text: str, piece: str, file: str = "p.yaml") -> list[str]:
    """Return the places of the warnings with a piece."""
    found = parse_profile(text, file).warnings
    return [f"{one.line}:{one.column}" for one in found if piece in one.message]


@pytest.mark.parametrize(("piece", "place", "bad", "good"), CASES.values(), ids=CASES)
def test_warning(piece: str, place: str, bad: str, good: str) -> None:
    assert told(bad, piece) == [place]
    assert told(good, piece) == []


@pytest.mark.parametrize("ask", lint.DICOM, ids=lambda ask: ask.__name__)
def test_every_question_has_a_case(ask: Callable[[View], Iterator[Advice]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a question some case misses its warning: here, or among those of test_profile.py."""
    cases = [(bad, piece) for piece, _, bad, _ in CASES.values()] + list(WARNINGS.values())
    monkeypatch.setattr(lint, "DICOM", tuple(one for one in lint.DICOM if one is not ask))
    # another name of the file, since what is checked is remembered
    assert [text for text, piece in cases if not told(text, piece, f"{ask.__name__}.yaml")]


@pytest.mark.parametrize("name", [name for name in store.shipped() if name not in ("minimal", "starter")])
def test_shipped_profiles_are_warned_of_little(name: str) -> None:
    """What is left is what their headings say, and hashuid's own."""
    warnings = parse_profile(store.shipped()[name].read_text(encoding="utf-8"), name).warnings
    left = {one.message.split(":")[0] for one in warnings if not one.message.startswith("hashuid keeps")}
    said = {"text that no field names stays as it is", "text drawn into the pixels is not looked at"}
    said |= {
        "bids": {"copies files as they are", "{name} is taken over from the name of the source as it is"},
        "block-list": {"ages above 89 years stay"},
        "stored-archives": {
            "ages above 89 years stay",
            "folder names hashed without a salt can be found by trying all likely names",
        },
    }.get(name, set())
    assert left <= said
