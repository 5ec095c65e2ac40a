"""What may tell whose an object is though no rule for its elements does: the table, reports, and ``accept``."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary

from fw_gear_deid.model.dictionary import tag_of
from fw_gear_deid.profile.parse import parse_profile
from fw_gear_deid.profile.text.problems import ProfileError
from fw_gear_deid.standard import risks
from tests.desk import PROFILE, Desk, instance, packed

STORAGE = "1.2.840.10008.5.1.4.1.1."
MR, CT, SC, US, PDF, SR, KO, PR = (
    f"{STORAGE}{end}" for end in ("4", "2", "7", "6.1", "104.1", "88.11", "88.59", "11.1")
)
HEAD = {"SliceThickness": "1", "BodyPartExamined": "HEAD"}
NO = {"BurnedInAnnotation": "NO"}
CASES: list[tuple[str, dict[str, str], str]] = [
    # SOP class, attributes, words
    (MR, {}, ""),
    (CT, {"BurnedInAnnotation": "YES"}, "burned-in"),
    (CT, {"BurnedInAnnotation": "yes "}, "burned-in"),
    (SC, {}, "burned-in"),
    (SC, NO, ""),
    (f"{STORAGE}7.4", {"BurnedInAnnotation": ""}, "burned-in"),
    (US, {}, "burned-in"),
    (US, NO, ""),
    (f"{STORAGE}3", {}, "burned-in"),
    (f"{STORAGE}3.1", {}, "burned-in"),
    (f"{STORAGE}77.1.1.1", {}, "burned-in"),
    (f"{STORAGE}77.1.4", {}, "burned-in"),
    (f"{STORAGE}77.1.5.4", {}, ""),
    (CT, {"ImageType": "DERIVED\\SECONDARY\\SCREEN SAVE", "Rows": "9"}, "burned-in"),
    (CT, {"ImageType": "DERIVED\\SECONDARY\\SCREEN SAVE", "Rows": "9"} | NO, ""),
    (CT, {"ImageType": "ORIGINAL\\PRIMARY\\AXIAL", "Rows": "9"}, ""),
    (f"{STORAGE}1", {"ConversionType": "DF", "Rows": "9"}, "burned-in"),
    (f"{STORAGE}1", {"ConversionType": "WSD", "Rows": "9"}, ""),
    (PDF, {}, "documents"),
    (PDF, {"BurnedInAnnotation": "YES"}, "burned-in documents"),
    (f"{STORAGE}104.2", NO, "documents"),
    (f"{STORAGE}104.3", NO, "documents faces"),
    (f"{STORAGE}9.4.1", {}, "documents"),
    (SR, {}, "reports"),
    (KO, {}, "reports"),
    (f"{STORAGE}88.67", {}, "reports"),
    (PR, {}, "annotations"),
    (f"{STORAGE}9.1.1", {}, ""),
    (f"{STORAGE}9.1.1", {"WaveformAnnotationSequence": ""}, "annotations"),
    (f"{STORAGE}66", {}, "raw"),
    (f"{STORAGE}66.4", {}, ""),
    (f"{STORAGE}4.2", {}, ""),
    ("1.3.12.2.1107.5.9.1", {}, "raw private-sop"),
    ("1.2.3.4", {}, "private-sop"),
    ("", {}, "private-sop"),
    (f"{STORAGE}77.1.6", {"ImageType": "ORIGINAL\\PRIMARY\\VOLUME\\NONE"}, ""),
    (f"{STORAGE}77.1.6", {"ImageType": "ORIGINAL\\PRIMARY\\LABEL\\NONE"}, "slides"),
    (f"{STORAGE}77.1.6", {"ImageType": "ORIGINAL\\PRIMARY\\OVERVIEW\\NONE"}, "slides"),
    (f"{STORAGE}77.1.6", {"ImageType": "DERIVED\\PRIMARY\\THUMBNAIL", "SpecimenLabelInImage": "YES"}, "slides"),
    (CT, HEAD, "faces"),
    (MR, HEAD | {"SliceThickness": "5"}, ""),
    (MR, HEAD | {"SliceThickness": ""}, "faces"),
    (CT, HEAD | {"BodyPartExamined": "CHEST"}, ""),
    (CT, HEAD | {"BodyPartExamined": "CHEST", "StudyDescription": "HEAD"}, ""),
    (MR, HEAD | {"BodyPartExamined": "", "ProtocolName": "t1_mprage_sag"}, "faces"),
    (MR, HEAD | {"BodyPartExamined": "", "SeriesDescription": "heart surface"}, ""),
    (f"{STORAGE}4.1", {"BodyPartExamined": "BRAIN"}, "faces"),
    (f"{STORAGE}128", HEAD, "faces"),
    (f"{STORAGE}66.5", {}, "faces"),
    (f"{STORAGE}1", HEAD, ""),
]  # fmt: skip


@pytest.mark.parametrize(("sop_class", "said", "words"), CASES)
def test_the_table(sop_class: str, said: dict[str, str], words: str) -> None:
    texts = {tag_of(keyword): tuple(text.split("\\")) for keyword, text in said.items()}
    found = risks.risks_of({tag: text for tag, text in texts.items() if tag is not None}, sop_class)
    assert " ".join(found) == words


def test_every_word_and_class_of_the_table_is_one() -> None:
    told = risks._table().lines
    assert {line.word for line in told} == set(risks.WORDS) == risks.MEANT.keys()
    named = {uid for line in told for uid in line.classes if uid not in ("*", "?")}
    private = {uid for uid in named if not uid.startswith("1.2.840.10008.")}
    known = {uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "SOP Class"}
    assert {uid for uid in named - private if not any(one.startswith(uid.rstrip("*")) for one in known)} == set()


@pytest.mark.parametrize(
    ("options", "accepted", "left"),
    [
        ((), (), ["reports", "annotations", "raw"]),
        (("clean-structured-content",), (), ["annotations", "raw"]),
        (("clean-graphics",), ("raw",), ["reports"]),
        (("clean-descriptors",), ("raw", "reports", "annotations"), []),
    ],
)
def test_what_neither_an_option_nor_accept_covers(
    options: tuple[str, ...], accepted: tuple[str, ...], left: list[str]
) -> None:
    assert list(risks.uncovered(("reports", "annotations", "raw", "faces"), options, accepted)) == left


def hurt(**values: Any) -> bytes:
    return instance(number=2, SOPClassUID=US, **values)


def test_files_have_their_risks_and_the_closing_line_counts_them(desk: Desk) -> None:
    desk.put(
        {
            "S1/V/A/a.dcm": instance(),
            "S1/V/A/b.dcm": hurt(),
            "S1/V/A/z.zip": packed(
                {"1": instance(number=3), "2": instance(number=4, BurnedInAnnotation="YES", **HEAD)}
            ),
            "S1/V/A/in.zip": packed({"y.zip": packed({"1": instance(number=5, SOPClassUID=SR)})}),
        }
    )
    done = desk.run()
    assert done.code == 0, done.err
    found = {row["source"][len("S1/V/A/") :]: row["risks"] for row in desk.rows()}
    assert found == {"a.dcm": "", "b.dcm": "burned-in", "z.zip": "burned-in; faces", "in.zip": "reports"}
    assert "; risks: 2 burned-in, 1 faces, 1 reports; reports in" in done.out + done.err
    assert desk.summary()["risks"] == {"burned-in": 2, "faces": 1, "reports": 1}


def test_a_loose_series_has_the_risks_of_all(desk: Desk) -> None:
    desk.put({"1": instance(), "2": hurt(), "3": instance(number=3, BodyPartExamined="HEAD", SliceThickness="1")})
    assert desk.run().code == 0
    assert sorted(row["risks"] for row in desk.rows()) == ["", "", "burned-in; faces"]


def test_a_sequence_that_is_there_is_enough(desk: Desk) -> None:
    desk.put({"S/V/A/1": instance(SOPClassUID=f"{STORAGE}9.1.1", WaveformAnnotationSequence=[Dataset()])})
    assert desk.run().code == 0
    assert [row["risks"] for row in desk.rows()] == ["annotations"]


def warnings_of(text: str) -> list[str]:
    return [problem.message for problem in parse_profile(text, "p.yaml").warnings]


def test_accept_silences_the_warning() -> None:
    text = PROFILE.replace("fields:\n", "fields:\n    - requires: fw-gear-deid\n")
    pixels = "text drawn into the pixels"
    assert any(pixels in one for one in warnings_of(text))
    accepted = text.replace("dicom:\n", "dicom:\n  accept: [burned-in, faces]\n")
    assert set(warnings_of(text)) - set(warnings_of(accepted)) == {one for one in warnings_of(text) if pixels in one}
    assert parse_profile(accepted, "p.yaml").dicom.accept == {"burned-in", "faces"}  # type: ignore[union-attr]
    alone = PROFILE.replace("dicom:\n", "dicom:\n  accept: [burned-in]\n")
    assert any("accept is known to this program only" in one for one in warnings_of(alone))


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("[burnt-in]", "no risk: 'burnt-in'; did you mean 'burned-in'"),
        ("[everything-else]", "risks are burned-in, documents"),
        ("burned-in", "must be a list"),
        ("[[raw]]", "no risk"),
    ],
)
def test_accept_names_risks(written: str, told: str) -> None:
    with pytest.raises(ProfileError) as error:
        parse_profile(PROFILE.replace("dicom:\n", f"dicom:\n  accept: {written}\n"), "p.yaml")
    assert told in str(error.value)
