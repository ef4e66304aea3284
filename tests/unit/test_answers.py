"""What is odd about answers, and what becomes of them (faults F10, F11, F13, F14)."""

from pydicom.dataset import Dataset

from pydicombatch.backends.dimse.identifier import match as read_match
from pydicombatch.core.errors import Finding
from pydicombatch.core.model import Key, Match
from pydicombatch.runner.answers import Doubt, Kind, Reviewer, doubts

STUDIES = (Key("QueryRetrieveLevel", "STUDY"), Key("PatientID", "P1"), Key("StudyInstanceUID"))


def answer(level: str = "STUDY", patient: str = "P1", study: str = "1.2.3") -> Match:
    values = {"QueryRetrieveLevel": level, "PatientID": patient, "StudyInstanceUID": study}
    return Match(tuple(values.items()))


def test_an_answer_to_what_was_asked_is_above_doubt() -> None:
    assert not list(doubts(STUDIES, answer()))
    assert not list(doubts(STUDIES, answer(level="")))


def test_an_answer_of_another_level_or_patient_is_left_out() -> None:
    """F11."""
    reviewer = Reviewer()
    assert not reviewer.admits(STUDIES, answer(level="SERIES"))
    assert not reviewer.admits(STUDIES, answer(patient="P2"))
    assert reviewer.admits(STUDIES, answer())


def test_the_operator_may_keep_what_was_not_asked_for() -> None:
    """F11."""
    reviewer = Reviewer(keep=True)
    assert reviewer.admits(STUDIES, answer(patient="P2"))
    assert "kept" in reviewer.summary()[0].problem


def test_an_answer_that_lacks_something_is_kept_and_counted() -> None:
    """F10."""
    reviewer = Reviewer()
    assert reviewer.admits(STUDIES, answer(patient=""))
    assert reviewer.admits(STUDIES, answer(study=""))
    told = " ".join(one.problem for one in reviewer.summary())
    assert "without a value of PatientID" in told
    assert "without StudyInstanceUID" in told


def test_a_uid_that_is_none_is_kept_as_it_came() -> None:
    """F14."""
    assert list(doubts(STUDIES, answer(study="1.2.3 x"))) == [
        Doubt(Kind.ODD_UID, "StudyInstanceUID")
    ]
    assert Reviewer().admits(STUDIES, answer(study="1.2.3 x"))


def test_bytes_that_no_character_set_explains_are_told() -> None:
    """F13."""
    keys = (Key("QueryRetrieveLevel", "STUDY"), Key("PatientName"))
    match = Match((("QueryRetrieveLevel", "STUDY"), ("PatientName", r"M\xfcller")))
    assert list(doubts(keys, match)) == [Doubt(Kind.BYTES)]


def test_each_kind_of_doubt_is_told_once_and_counted_in_the_end() -> None:
    told: list[Finding] = []
    reviewer = Reviewer(tell=told.append)
    for number in range(5):
        reviewer.admits(STUDIES, answer(patient=f"X{number}"))
    reviewer.admits(STUDIES, answer())
    assert len(told) == 1
    (one,) = reviewer.summary()
    assert one.problem.startswith("5 of 6 answers with another value of PatientID")
    assert "request.mismatches" in one.remedy
    assert "X1" not in str([*told, one])


def test_a_key_that_no_answer_heeds_is_called_ignored() -> None:
    reviewer = Reviewer()
    for number in range(3):
        reviewer.admits(STUDIES, answer(patient=f"X{number}"))
    assert "seems to ignore PatientID" in reviewer.summary()[0].problem


def nested(*codes: tuple[str, str]) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.ProcedureCodeSequence = []
    for code, scheme in codes:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator = code, scheme
        found.ProcedureCodeSequence.append(item)
    return found


def test_one_item_of_a_sequence_must_have_all_that_was_asked_of_it() -> None:
    """F11, PS3.4 C.2.2.2.6."""
    keys = (
        Key("QueryRetrieveLevel", "STUDY"),
        Key("ProcedureCodeSequence[0].CodeValue", "C1"),
        Key("ProcedureCodeSequence[0].CodingSchemeDesignator", "DCM"),
    )
    fits = read_match(nested(("C9", "DCM"), ("C1", "DCM")), keys, "")
    mixed = read_match(nested(("C1", "SRT"), ("C9", "DCM")), keys, "")
    absent = read_match(nested(), keys, "")
    assert not list(doubts(keys, fits))
    assert list(doubts(keys, mixed)) == [Doubt(Kind.DIFFERS, "ProcedureCodeSequence[0]")]
    assert list(doubts(keys, absent)) == [Doubt(Kind.SILENT, "ProcedureCodeSequence[0]")]
