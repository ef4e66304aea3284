"""What kind of instance it is, in so few words that they name nobody: for statistics. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

READ = (
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "Modality",
    "StudyDate",
    "PatientSex",
    "PatientAge",
    "PatientBirthDate",
)
OLDEST = 90  # from this age on there is one band: so few are older that an age may name them
BAND = 10  # years
DAYS = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}  # PS3.5 6.2, VR AS
YEARS = range(1890, 2200)


@dataclass(frozen=True, slots=True)
class Traits:
    """Of one stored instance; "" is unknown, UIDs alone are as they stand in the file."""

    study: str
    series: str
    modality: str = ""  # a code of PS3.3 C.7.3.1.1.1, in capitals
    year: str = ""  # of StudyDate
    sex: str = ""  # M, F or O
    age: str = ""  # a band of years at the time of the study, as 40-49 or 90+


def of_values(values: Mapping[str, str]) -> Traits:
    """Make the traits of the values of `READ`; what is malformed is unknown."""
    modality = values.get("Modality", "").strip().upper()
    sex = values.get("PatientSex", "").strip().upper()
    study_date = _date(values.get("StudyDate", ""))
    return Traits(
        values.get("StudyInstanceUID", ""),
        values.get("SeriesInstanceUID", ""),
        modality if re.fullmatch(r"[A-Z0-9]{2,6}", modality, re.ASCII) else "",
        str(study_date.year) if study_date else "",
        sex if sex in {"M", "F", "O"} else "",
        _band(_age(values, study_date)),
    )


def _age(values: Mapping[str, str], study_date: date | None) -> float | None:
    """Return an age in years: as the archive says, else from two dates (PS3.3 C.7.2.2)."""
    said = re.fullmatch(r"\s*([0-9]{1,3})([DWMY])\s*", values.get("PatientAge", ""), re.ASCII)
    if said:
        return int(said[1]) * DAYS[said[2]] / DAYS["Y"]
    born = _date(values.get("PatientBirthDate", ""))
    if born is None or study_date is None or study_date < born:
        return None
    had_birthday = (study_date.month, study_date.day) >= (born.month, born.day)
    return study_date.year - born.year - (not had_birthday)


def _band(age: float | None) -> str:
    if age is None:
        return ""
    if age >= OLDEST:
        return f"{OLDEST}+"
    first = int(age) // BAND * BAND
    return f"{first}-{first + BAND - 1}"


def _date(text: str) -> date | None:
    found = re.fullmatch(r"\s*([0-9]{4})\.?([0-9]{2})\.?([0-9]{2})\s*", text, re.ASCII)
    if found is None or int(found[1]) not in YEARS:
        return None
    try:
        return date(int(found[1]), int(found[2]), int(found[3]))
    except ValueError:
        return None
