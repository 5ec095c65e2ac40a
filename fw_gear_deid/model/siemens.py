"""Private headers of Siemens scanners: where they stand, and which of their fields say how was measured.

Facts of how converters (dcm2niix, dicm2nii, nibabel, spm) read CSA headers and protocols; what is not listed says
nothing to them, and may say who was measured.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

KEYS = "siemens_keys.txt"

_NUMBERS = """
Actual3DImaPartNumber B_matrix B_value BandwidthPerPixelPhaseEncode Columns Rows DiffusionGradientDirection
EchoColumnPosition EchoLinePosition EchoPartitionPosition EchoNumbers EchoTime EchoTrainLength FlipAngle
FlowEncodingDirection FlowVenc HammingFilterWidth ImaAbsTablePosition ImaRelTablePosition ImageOrientationPatient
ImagePositionPatient ImagingFrequency InversionTime MagneticFieldStrength MeasuredFourierLines MixingTime
MosaicRefAcqTimes MultistepIndex NonPlanarImage NumberOfAverages NumberOfFrames NumberOfImagesInMosaic
NumberOfPhaseEncodingSteps PercentPhaseFieldOfView PercentSampling PhaseEncodingDirectionPositive PixelBandwidth
PixelSpacing ProtocolSliceNumber RBMoCoRot RBMoCoTrans RealDwellTime RepetitionTime RepetitionTimeEffective SAR
SequenceMask SliceLocation SliceMeasurementDuration SliceNormalVector SlicePosition_PCS SliceThickness
SpacingBetweenSlices SpectroscopyAcquisitionDataColumns SpectroscopyAcquisitionOut-of-planePhaseSteps
SpectroscopyAcquisitionPhaseColumns SpectroscopyAcquisitionPhaseRows TimeAfterStart TransmitterReferenceAmplitude
TriggerTime UsedChannelMask VoiInPlaneRotation VoiOrientation VoiPhaseFoV VoiPosition VoiReadoutFoV VoiThickness
VoxelInPlaneRot VoxelNormalCor VoxelNormalSag VoxelNormalTra VoxelPhaseFOV VoxelPositionCor VoxelPositionSag
VoxelPositionTra VoxelReadoutFOV VoxelThickness dBdt AcquisitionMatrix DataPointColumns DataPointRows CsiGridshiftVector
CsiImageOrientationPatient CsiImagePositionPatient CsiPixelSpacing CsiSliceLocation CsiSliceThickness MoCoQMeasure
VelocityEncodingDirectionN4 AbsTablePosition B1rms CoilId CoilTuningReflection GradientDelayTime GradientEchoTrainLength
Isocentered MiscSequenceParam NumberOfPrescans Operation_mode_flag PhaseGradientAmplitude RFEchoTrainLength
RFSWDOperationMode ReadoutGradientAmplitude ReadoutOS RelTablePosition RfWatchdogMask SARMostCriticalAspect
SW_korr_faktor SarWholeBody Sed SelectionGradientAmplitude SliceArrayConcatenations SliceResolution Stim_faktor Stim_lim
Stim_max_ges_norm_online Stim_max_online Stim_mon_mode TablePositionOrigin TalesReferencePower TransmitterCalibration
dBdt_limit dBdt_max dBdt_thresh t_puls_max MrProtocolVersion FrameNumber AutoInlineImageFilterEnabled
"""
NUMBERS = frozenset(_NUMBERS.split())
"""Fields of CSA headers that hold numbers alone."""
_COIL = r"(?:[A-Z]:)?(?:[A-Z]{1,4}+\d{0,2}+(?:[-,]\d{1,2}+){0,4}+[;:,]?+){1,12}"
_STEP = r"[A-Za-z][\w.]{1,31}(?::[\w=.+-]{1,64})?"
TEXTS = {
    name: re.compile(form)
    for name, form in {
        "AcquisitionMatrixText": r"[\dps*xi. ]{1,24}",
        "CoilForGradient": r"void|[A-Z]{2}\d{2,3}",
        "CoilForGradient2": r"void|[A-Z]{2}\d{2,3}",
        "CoilString": _COIL,
        "DataRepresentation": r"COMPLEX|REAL|IMAGINARY|MAGNITUDE|PHASE",
        "DiffusionDirectionality": r"NONE|DIRECTIONAL|ISOTROPIC|BMATRIX",
        "FlowCompensation": r"No|Yes|Slice|Read|Phase|Read & Slice",
        "FrequencyCorrection": r"YES|NO",
        "GSWDDataType": r"predicted|measured",
        "GradientMode": r"(?:Ultra ?fast|Fast|Normal|Whisper|Performance)\*?",
        "ICE_Dims": r"[X\d]{1,5}(?:_[X\d]{1,6}){5,20}",
        "ImaCoilString": _COIL,
        "ImaPATModeText": r"[pst\d*x. ]{1,12}",
        "ImageHistory": _STEP,
        "ImageType4MF": r"[A-Z\d_]{1,16}",
        "ImagedNucleus": r"\d{1,3}[A-Z][a-z]?",
        "PATModeText": r"[pst\d*x. ]{1,12}",
        "PhaseEncodingDirection": r"ROW|COL",
        "PhaseSliceOversampling": r"NONE|2D|3D",
        "PositivePCSDirections": r"[+-][LRAPHF]{3}",
        "RFSWDDataType": r"predicted|measured",
        "ResonantNucleus": r"\d{1,3}[A-Z][a-z]?",
        "ScanningSequence": r"SE|IR|GR|EP|RM",
        "SequenceName": r"\*?[a-z][a-z\d_#.]{1,31}",
        "SignalDomainColumns": r"TIME|FREQUENCY",
        "TransmittingCoil": r"Body|Head|TxRx_Head|Extremity",
        "UsedChannelString": r"[X_-]{1,128}",
        "VariableFlipAngleFlag": r"[YN]",
        "WaterReferencedPhaseCorrection": r"YES|NO",
        "k-spaceFiltering": r"NONE|COSINE|COSINE_SQUARED|FERMI|GAUSSIAN|HAMMING|HANNING|LORENTZIAN",
    }.items()
}
"""Fields of CSA headers that hold text, and the form that it has."""
PROTOCOLS = frozenset({"MrPhoenixProtocol", "MrProtocol"})
"""Fields that hold a protocol."""
PROTOCOL_TEXTS = {
    name: re.compile(form)
    for name, form in {
        "tBaselineString": r"[A-Z]\w{1,11}(?:_[A-Z]{4,10})?(?:_20\d{6})?|[4-9]\d{7}",
        "tMeasuredBaselineString": r"[A-Z]\w{1,11}(?:_[A-Z]{4,10})?(?:_20\d{6})?|[4-9]\d{7}",
        "tCoilID": r"[A-Za-z\d]{1,16}(?:_[A-Za-z\d]{1,16}){0,3}",
        "tElement": r"[A-Z]{1,4}\d{0,3}[A-Z]{0,2}\d{0,2}",
        "tNucleus": r"\d{1,3}[A-Z][a-z]?",
        "sCoilStringForConversion": _COIL,
        "tSequenceFileName": r"%[A-Za-z]{1,16}Seq%\\[\w.-]{1,48}",
        "tSystemType": r"\d{1,4}",
    }.items()
}
"""Last parts of keys of protocols whose texts say how was measured, and the form that they have."""
_LARGE = (
    "alTR alTE alTI alTD alFree lFrequency ulVersion ulConvFromVersion lDelayTimeInTR lScanTimeSec lTotalScanTimeSec"
)
LARGE = frozenset(_LARGE.split())
"""Last parts of keys whose numbers may have eight digits: microseconds, hertz, versions."""


@lru_cache(maxsize=1)
def keys() -> frozenset[str]:
    """Return parts of keys of protocols that are known to say how was measured."""
    text = Path(__file__).with_name(KEYS).read_text(encoding="utf-8")
    return frozenset(word for line in text.split("\n") if not line.startswith("#") for word in line.split())
