"""The ids in a header that a mapping may go by, as they came."""

from __future__ import annotations

from collections.abc import Mapping

from fw_gear_deid.formats.dicom.draft import Draft
from fw_gear_deid.model.errors import Unfit

TAGS = {"PatientID": 0x00100020, "AccessionNumber": 0x00080050, "StudyInstanceUID": 0x0020000D}


def ids_of(draft: Draft) -> dict[str, str]:
    """Return the ids of a data set without the padding of DICOM (PS3.5 §6.2); empty where absent.

    Raises
    ------
    Unfit
        One of them cannot be read.
    """
    found = {}
    for keyword, tag in TAGS.items():
        el = draft.body.elements.get(tag)
        texts = draft.texts(el) if el is not None and el.items is None else ()
        found[keyword] = "\\".join(texts).strip(" \0")
    return found


def check_ids(draft: Draft, expected: Mapping[str, str]) -> None:
    """Make sure that a data set has the ids by which the profile of its file was taken.

    Raises
    ------
    Unfit
    """
    own = ids_of(draft) if expected else {}
    for keyword, text in expected.items():
        if own[keyword] != text:
            raise Unfit(f"its {keyword}, by which the mapping goes, is not that of the first one")
