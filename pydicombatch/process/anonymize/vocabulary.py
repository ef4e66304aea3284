"""Words of imaging that may stay in free text; every other word is dropped.

What the Clean Descriptors option of PS3.15 E.3.6 asks for, the closed way: nothing is kept
because it looks harmless, only what is known to be.
"""

import re
from typing import Final

_WORDS: Final = """
2d 3d 4d abdomen abdominal acquisition adc angio angiography ankle ant anterior aorta apical
arm arterial artery ascending axial axillary bilateral biopsy bladder body bolus bone brain
breast bronchus bw calcium cardiac carotid cavity cervical chest clavicle cm colon contrast
control cor coronal coronary cr cranial cranium ct cta curved cxr delayed derived diagnostic
diffusion dose drain dwi dx echo elbow enhanced ep epi exam extremity face fat feet femur field
film finger flair flash flow fluoro follow foot forearm fov frontal functional fusion gated
gradient gre hand head heart helical hip hr humerus iac image images inferior inner intestine
inversion iv jaw joint kidney kidneys knee kv kvp l lat lateral lateralized left leg lesion
liver localiser localizer low lower ls lumbar lung lungs ma mammography mandible map mas
maxilla medial mediastinum mg min mip ml mm mono mpr mr mra mri multiplanar nasal native neck
nm no noncontrast nuclear oblique opposed orbit orbits out ovary pa pancreas paranasal pe
pelvis perfusion pet phase plain planning portal post posterior pre pregnancy projection prone
prostate protocol proton pt pulmonary r radiograph radiography recon reconstruction reformat
renal repeat resting rf rib ribs right routine rt run sag sagittal scan scapula scout screening
se sec segment sella sequence series shoulder sinus skull slice slices soft spin spine spiral
spleen standard static std ste stereo sternum stir stomach stress study subtraction superior
supine survey swi t t1 t1w t2 t2w tau te temporal test thick thigh thin thoracic thorax thumb
thyroid ti tibia time tissue toe tof topogram tr trace tse tumor turbo ultrasound unenhanced
upper ureter us uterus vein venous vertebra vessel view volume w water weighted whole window
with without wo wrist xa xr
"""
VOCABULARY: Final = frozenset(_WORDS.split())
_NUMBER: Final = re.compile(r"\d{1,2}(\.\d{1,2})?(mm|cm|ml|mg|kv|s)?")
_JOIN: Final = re.compile(r"[ _\-/+*,;:()]+")


def cleaned(text: str) -> str:
    """Keep the words of the vocabulary and numbers of at most two digits.

    Whoever is called Hand or Foot keeps the word; a name in full never survives.
    """
    kept = []
    for token in _JOIN.sub(" ", text).split():
        word = token.strip(".").lower()
        if word in VOCABULARY or _NUMBER.fullmatch(word):
            kept.append(token.strip("."))
    return " ".join(kept)
