"""Attributes of Table E.1-1 → what they are about, in eight words by which a profile can be judged."""

from __future__ import annotations

from functools import lru_cache

from fw_gear_deid.model.dictionary import public_vr
from fw_gear_deid.standard.tables import Row, rows

CATEGORIES = ("people", "dates", "uids", "institutions", "devices", "free text", "documents", "private")
"""In the order of reports. Numbers of people, studies and orders count as people."""
_CONTENT = (
    "EncapsulatedDocument ContentSequence GraphicAnnotationSequence IconImageSequence AudioComments TextValue "
    "TextString TextComments UnformattedTextValue AcquisitionContextSequence "
    "TopicAuthor TopicKeywords TopicSubject TopicTitle"
)
_SIGNED = (
    "DigitalSignaturesSequence CertificateOfSigner CertifiedTimestamp Signature MAC MACParametersSequence "
    "ReferencedDigitalSignatureSequence ReferencedSOPInstanceMACSequence EncryptedAttributesSequence "
    "OriginalAttributesSequence ModifiedAttributesSequence NonconformingModifiedAttributesSequence "
    "NonconformingDataElementValue DataSetTrailingPadding"
)
_DOCUMENTS = frozenset(f"{_CONTENT} {_SIGNED}".split())
_INSTITUTIONS = ("Institution", "Hospital", "Department", "Location", "Site", "Organization", "Center")
_PREPARED = "SpecimenPreparationSequence"  # how a specimen was stained: descriptions and codes
_REACHED = ("PersonAddress", "PatientAddress", "PhysicianAddress", "Telephone", "Telecom", "Phone", "AddressTrial")
_FREE = frozenset({"LT", "ST", "UT", "UC", "UR"})
_TYPED = ("Description", "Comments", "Comment", "Label", "Reason", "Notes", "Instructions", "Text", "Pattern")


@lru_cache(maxsize=1)
def by_row() -> dict[Row, str]:
    """Return row → category, of all of them."""
    return {row: category_of(row) for row in rows()}


def category_of(row: Row) -> str:
    """Return what an attribute is about.

    Examples
    --------
    >>> from fw_gear_deid.standard.tables import row_of
    >>> [category_of(row_of(tag)) for tag in (0x00100010, 0x00080020, 0x00080080, 0x00081030)]
    ['people', 'dates', 'institutions', 'free text']
    """
    if not row.mask:
        return "private"
    vr = vr_of(row)
    if "x" in row.mask or row.keyword in _DOCUMENTS or vr == "OB":
        return "documents"
    if vr == "PN" or any(word in row.keyword for word in _REACHED):
        return "people"
    if vr == "UI" or "U" in row.basic or (vr == "SQ" and row.keyword.startswith("Referenced")):
        return "uids"
    if vr in ("DA", "DT", "TM") or row.code_of("modified-dates"):
        return "dates"
    if (
        row.code_of("institution")
        or row.keyword.startswith("GPS")
        or any(word in row.keyword for word in _INSTITUTIONS)
    ):
        return "institutions"
    if row.code_of("device") or row.keyword.startswith(("RTAccessory", "Flow")):
        return "devices"
    if row.code_of("clean-descriptors") or vr in _FREE or row.keyword.endswith(_TYPED) or row.keyword == _PREPARED:
        return "free text"
    return "people"


def vr_of(row: Row) -> str:
    """Return the VR of an attribute, ``UN`` where the dictionary does not know it or knows several."""
    return public_vr(int(row.mask, 16)) or "UN" if row.mask and "x" not in row.mask else "UN"
