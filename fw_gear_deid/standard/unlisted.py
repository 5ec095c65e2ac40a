"""What Table E.1-1 does not name, and the standard means all the same: public elements without a row, by VR and name.

The table's authors left out what tells nobody apart: numbers, codes, names of models and methods. What is left out and
may still hold a name is free text, which people fill, dates and names of newer modules, and UIDs of instances.
"""

from __future__ import annotations

from fw_gear_deid.model.dictionary import keyword_of, tag_of


def _tags(words: str) -> frozenset[int]:
    return frozenset(tag for word in words.split() if (tag := tag_of(word)) is not None)


CONTENT_TEXTS = _tags("TextValue")
"""Values of content items, for ``clean-structured-content`` (PS3.3 §C.17.3, §C.7.6.14)."""
GRAPHIC_TEXTS = _tags("UnformattedTextValue")
"""Texts in presentation states and of waveforms, for ``clean-graphics`` (PS3.3 §C.10.5, §C.10.10)."""
CONTENTS = _tags("ContentSequence AcquisitionContextSequence SpecimenPreparationSequence")
"""Sequences of content items."""
GRAPHICS = _tags("GraphicAnnotationSequence WaveformAnnotationSequence")
MEANINGS = _tags("CodeMeaning ExtendedCodeMeaning")
"""What a code means in words (PS3.3 Table 8.8-1)."""
CODE_VALUES = _tags("CodeValue LongCodeValue URNCodeValue")
SCHEME = 0x00080102
"""CodingSchemeDesignator."""
CODE_PARTS = MEANINGS | CODE_VALUES | _tags(
    "CodingSchemeDesignator CodingSchemeVersion ContextIdentifier MappingResource MappingResourceName ContextUID"
)  # fmt: skip

PLAIN_TEXTS = _tags(
    "CodingSchemeName CodingSchemeResponsibleOrganization CodingSchemeExternalID CodingSchemeURL CADFileFormat "
    "ImageDisplayFormat LongCodeValue URNCodeValue PrivateDataElementDescription PrivateDataElementEncoding "
    "PrivateDataElementName PrivateDataElementKeyword EXIFVersion SpectralSensitivity BatteryLevel AlgorithmParameters "
    "DeviceAlternateIdentifierFormat FractionPattern OECFColumnNames SpatialFrequencyResponseColumnNames "
    "GridAbsorbingMaterial GridSpacingMaterial DetectorMode BeamHardeningCorrectionTechnique "
    "LinearityCorrectionTechnique MaterialGrade MaterialPropertiesFileFormatRetired CoordinateSystemAxisDescription "
    "CouplingTechnique CouplingMedium IntendedStartDayOfWeek ConceptualVolumeCombinationExpression"
)
"""Of unbounded VRs, and filled by programs: they stay."""
LABELS = _tags("SegmentDescription TrackingID FiducialDescription OpticalPathDescription")
"""Of unbounded VRs, and what data are known by: known identifiers and patterns are cleaned away, the rest stays."""
IDENTIFYING = _tags(
    "ContactDisplayName SubstanceAdministrationNotes OwnerID PatientBirthDateInAlternativeCalendar "
    "PatientDeathDateInAlternativeCalendar BreedRegistrationNumber PlacerOrderNumberProcedure "
    "FillerOrderNumberProcedure PlacerOrderNumberImagingServiceRequestRetired NTPSourceAddress "
    "FillerOrderNumberImagingServiceRequestRetired HangingProtocolCreator HangingProtocolUserGroupName "
    "ComponentWelderIDs RequestedProcedureDescriptionTrial TestResultComment SystemStatusComment DoseComment "
    "FrameOfReferenceTransformationComment AuthorizationEquipmentCertificationNumber PrinterName FilmSessionLabel "
    "ItineraryID BoardingPassID CarrierID AssignedLocation ReferenceToRecordedSound PatientReliabilityIndicator "
    "ImageID OverlayLabel OverlayDescription RouteID ObjectBinaryIdentifierTrial ObjectDirectoryBinaryIdentifierTrial "
    "Signature EncryptedContent"
)
"""Of bounded and binary VRs, and of people, places and papers: they go, or are cleaned."""
CLASSES = _tags(
    "SOPClassUID RelatedGeneralSOPClassUID OriginalSpecializedSOPClassUID SOPClassesInStudy SOPClassesSupported "
    "ReferencedSOPClassUID ReferencedSOPClassUIDInFile ReferencedRelatedGeneralSOPClassUIDInFile "
    "PertinentSOPClassesInStudy PertinentSOPClassesInSeries CodingSchemeUID ContextUID MappingResourceUID "
    "ContextGroupExtensionCreatorUID StoredInstanceTransferSyntaxUID AvailableTransferSyntaxUID FlowTransferSyntaxUID "
    "ReferencedTransferSyntaxUIDInFile MACCalculationTransferSyntaxUID EncryptedContentTransferSyntaxUID "
    "SegmentationTemplateUID PrivateRecordUID"
)
"""UIDs of classes, syntaxes and vocabularies: they stay, private ones as well."""
_FREE = ("ST", "LT", "UT", "UC", "UR")
_TYPED = ("Description", "Label", "Comment", "Comments", "Notes")
"""How names of attributes end that people fill."""


def code_of(path: tuple[int, ...], tag: int, vr: str, options: frozenset[str]) -> str:
    """Return the code for a public element without a row: ``X``, ``U``, ``K``, or ``C`` for date or text.

    Parameters
    ----------
    path : tuple of int
        Tags of the sequences above it.
    tag : int
    vr : str
        The dictionary's, empty where no dictionary knows the element.
    options : frozenset of str
    """
    if not vr or tag >> 16 in (0, 4):
        return "X"  # of no dictionary; commands, and directories, since no DICOMDIR is copied (PS3.15 §E.1.1)
    if tag >> 24 in (0x50, 0x60):
        return "X"  # what else belongs to a curve or an overlay is nothing without it
    if vr in ("DA", "TM", "DT"):
        return "K" if "full-dates" in options else "C" if "modified-dates" in options else "X"
    if vr == "UI":
        return "K" if tag in CLASSES or "uids" in options else "U"
    if vr in ("PN", "AE", "AS"):
        return "X"
    if tag in CONTENT_TEXTS:
        return "C" if "clean-structured-content" in options and not CONTENTS.isdisjoint(path) else "X"
    if tag in GRAPHIC_TEXTS:
        return "C" if "clean-graphics" in options and not GRAPHICS.isdisjoint(path) else "X"
    return _of_text(tag, vr, options)


def _of_text(tag: int, vr: str, options: frozenset[str]) -> str:
    if tag in PLAIN_TEXTS or tag in CODE_PARTS:
        return "K"
    if tag in IDENTIFYING or (vr in _FREE and tag not in LABELS):
        return "C" if "clean-descriptors" in options and vr in (*_FREE, "LO", "SH") else "X"
    typed = vr in ("LO", "SH") and keyword_of(tag).endswith(_TYPED)
    return "C" if typed or tag in LABELS else "K"
