"""Words that name no person: what folders and files of images are called wherever they come from."""

from __future__ import annotations

import re
from functools import lru_cache

_MODALITIES = """
ar asmt au bdus bi bmd cd cf cp cr cs ct ctprotocol dd dg dm doc ds dx ec ecg emg eog eps es fa fid fs gm hc hd io ivoct
ivus ker ko len lp ls ma mg mp mr mra mri ms nm oam oct op opm opr opt optbsv optenf opv oss ot petct pet pa plan pr pt
ptct pti px reg resp rf rg rtdose rtimage rtplan rtrecord rtstruct rwv seg sm smr spect sr srf st stain texturemap tg tm
us va vf xa xc
"""
_STORED = """
acq acquisition acquisitions anon anonym anonymized anonymised anonymous archive archives archived backup cd copy
copies data dataset datasets deid deidentified de dcm dicom dicomdir dicoms dir directory disc disk download downloads
dvd export exported exports extracted extra file files folder folders frame frames gz im image images img imgs import
imports inst instance instances jpg jpeg member multiframe nifti nii no number orig original originals out output
outputs part parts pat patient patients png project projects raw received release sample samples scan scans se sent ser
serie series ses session sessions sl slice slices sorted source sources sr st store stu studies study sub subject
subjects redacted removed deleted empty blank none noname nobody tar temp test tests tgz tif tiff tmp tree undefined
unknown unnamed unpacked upload uploaded uploads version vol volume volumes work zip zipped
"""
_IMAGED = """
abdomen abd adc adrenal aaa ankle anterior aorta apex arm arterial artery asl ax axial bladder blade bold bone bones
bowel brain breast bvalue calf cardiac carotid cbf cbv cerebral cervical chest ci cine clavicle cor coronal contrast
cranial cspine cta ctp cube cyst delayed derived diff diffusion dir dixon dti dual dwi dynamic ears echo elbow enhanced
epi ep2d exp extremity eye eyes face faces fa fast fat fatsat fe fem femur field fieldmap fiesta fingers fl flair flash
fm fmap fmri foot forearm fov fs fse func functional fsat gd gre hand haste head heart hip hips hires hr inv inner ir
jaw kidney kidneys knee lateral left leg legs lge liver loc localiser localizer low lower lspine lumbar lung lungs mag
magnitude mandible map mapping maps max medial mip mocap mpr mprage mrcp mtc multi neck nerve non nose oblique opposed
orbit orbits ovary pancreas parotid pc pca pd pelvis perf perfusion phase portal post posterior postcontrast pre prep
precontrast primary prostate proton pwi qsm radial rage recon reconstruction renal rest resting right routine rsfmri
sag sagittal scapula scout screening secondary sense shoulder sinus skull slab soft space spair spectroscopy spgr spin
spine spiral spleen stack standard std stir stomach supine survey swi t1 t1w t2 t2star t2w task tensor testis tfe thigh
thoracic thorax thyroid tibia tir tirm tof trace trachea triage trufi tse tspine turbo tumor twist ultrasound upper
uterus venous ventricle vessel vibe view water whole wb wo with without w wrist xray
"""
NEUTRAL = frozenset(" ".join((_MODALITIES, _STORED, _IMAGED)).split())
"""In small letters: what is stored and how (PS3.3 §C.7.3.1.1.1, PS3.11), body parts (PS3.16 annex L), techniques."""
_PROTOCOL = """
achieva adult advanced aera angio angiogram angiography anisotropy arms arthro arthrogram asc ascending attenuation
auditory avanto average barium basic bending biliary biopsy bliss body bolus bravo calibration canon cardio
cervicothoracic child ciss clinical combined common comparison complete complex connectome corrected correction cosmic
crane cspine cystogram decubitus default demo desc descending diffusivity disco discogram discovery dki dorsal dose
dotarem dwi eadc echo emergency emission emotion enterography epilepsy erect exam exams excretory exponential extended
extension faces ffe fgre filtered finger flexion fluoro followup followups fspgr full functional gadavist gadolinium
gambling gated ge general generic gradient guided hardi headneck hires hitachi ideal imaginary imaging infant ingenia
inpatient int interleaved intervention inversion isotropic isovue ivim kurtosis language lava legs localized localizer
lowres lumbosacral lumina magnevist magnitude mammo mammogram mammography maxillofacial merge metastases metastasis
monitoring mortise motion motor movie mpgr mr mri msk multihance multishell muscle musculoskeletal myelogram nback
neonate nephrographic neuro neuroimaging neurology neuroradiology newborn noddi noise noncontrast normal normalized
omnipaque omniscan oncology ortho orthopedic osteo outpatient paediatric pancreas parallel parenchymal patientprotocol
ped pediatric peds perfusion pet petmr phantom phase philips physics pilot planning portable post postop premier
premonitoring preop prisma processed prohance prone propeller proset protocol protocols qa qball qc quality quick
radiology raw real recombined recovery reference reformat reformatted relational renogram report research resolve rest
review routine run runoff saturation scanner scoutview screening sedation seq sequential service shell shim shot
siemens signa simulation single skyline skyra social specials spect standard standing static stroke sub subtraction
summary sunrise supine swallow tapping task temp template tensor test testing tests thoracolumbar thorax thrive timing
timros topogram toshiba trace track transmission trauma trial triggered trio triphasic ttp tunnel ultravist
uncorrected unenhanced upright uptake urogram user users vasc vascular vendor verio vessels vida visipaque vista
visual volume volunteer volunteers washout wats whole wholebody yearly zoomit
"""
"""What else protocols and studies are called by; words of people, too, so names of files go by the others alone."""
_PARTICLES = """
da de del della den der des di do dos dr du el jr la le mr mrs ms prof sr st van von zu
"""
_PROTOCOLS = frozenset(_PROTOCOL.split())
PARTICLES = frozenset(_PARTICLES.split())
"""Parts of people's names that do not tell one from the other."""

_PIECE = re.compile(r"[A-Za-z]+|\d+")
_NUMBER_MAX = 4
"""Digits of a number that counts something; longer ones may be somebody's."""


@lru_cache(maxsize=1024)  # files of one patient follow one another
def is_neutral(name: str) -> bool:
    """Tell whether a name is made of such words and of short numbers only.

    >>> is_neutral("IM0001.dcm"), is_neutral("t1_mprage_sag"), is_neutral("Scan of J. Roe"), is_neutral("12345678")
    (True, True, False, False)
    """
    if not name.isascii():
        return False
    lower = re.split(r"[\W_]+", name.lower())
    return all(not one or one in NEUTRAL or _is_counted(one) for one in lower)


def is_protocol(name: str) -> bool:
    """Tell whether a text is made of such words, of what protocols and studies are called by, and of short numbers.

    >>> is_protocol("HEAD ROUTINE"), is_protocol("t2_tse"), is_protocol("Doe"), is_protocol("Doe_T2")
    (True, True, False, False)
    """
    words = [one for one in re.split(r"[\W_]+", name.lower()) if one]
    return bool(words) and all(
        (
            len(piece) <= _NUMBER_MAX
            if piece.isdecimal()
            else piece in NEUTRAL or piece in _PROTOCOLS or len(word) > 1 == len(piece)
        )
        for word in words
        for piece in (_PIECE.findall(word) if word.isascii() else (word,))
    )


def _is_counted(word: str) -> bool:
    """Tell whether a word is of letters that mean something and of short numbers: ``im0001``, ``2``, ``t2w1``."""
    return all(
        len(piece) <= _NUMBER_MAX if piece.isdecimal() else piece in NEUTRAL or len(piece) == 1
        for piece in _PIECE.findall(word)
    )
