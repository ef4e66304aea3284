from dataclasses import replace

import pytest

from pydicombatch.core.attribution import Expectation, attribute, expectation
from pydicombatch.core.model import Identifiers, Key, Origin, Request, RequestType

INSTANCE = Identifiers("1.2", "1.2.3.4", "1.2.3", "1.2.3.5", "P1", "A1")
FROM_US = Origin("FEEDER", "10.0.0.1", "OURS", 7)
UNKNOWN = Origin("FEEDER", "10.0.0.1")


def request(**keys: str) -> Request:
    return Request(
        "id", 1, RequestType.MOVE, "study", tuple(Key(path, value) for path, value in keys.items())
    )


def expecting(number: int, message_id: int, **keys: str) -> Expectation:
    return expectation(number, message_id, request(**keys))


def test_the_originator_decides_between_two_requests_for_the_same_study() -> None:
    two = [
        expecting(1, 7, StudyInstanceUID="1.2.3"),
        expecting(2, 8, StudyInstanceUID="1.2.3"),
    ]
    assert attribute(INSTANCE, FROM_US, "OURS", two) == (1,)


def test_an_originator_whose_identifiers_contradict_is_not_believed() -> None:
    two = [
        expecting(1, 7, StudyInstanceUID="9.9.9"),
        expecting(2, 8, StudyInstanceUID="1.2.3"),
    ]
    assert attribute(INSTANCE, FROM_US, "OURS", two) == (2,)


def test_the_message_id_of_another_title_says_nothing() -> None:
    foreign = replace(FROM_US, originator_aet="OTHER")
    assert attribute(INSTANCE, foreign, "OURS", [expecting(1, 7, StudyDescription="x")]) == ()


def test_a_request_by_description_is_known_by_its_message_id_alone() -> None:
    only = [expecting(1, 7, StudyDescription="CHEST")]
    assert attribute(INSTANCE, FROM_US, "OURS", only) == (1,)
    assert attribute(INSTANCE, UNKNOWN, "OURS", only) == ()


def test_without_an_originator_every_request_that_names_the_instance_gets_it() -> None:
    three = [
        expecting(1, 1, PatientID="P1"),
        expecting(2, 2, StudyInstanceUID="1.2.3", PatientID="P1"),
        expecting(3, 3, PatientID="P2"),
    ]
    assert attribute(INSTANCE, UNKNOWN, "OURS", three) == (1, 2)


def test_the_calling_title_never_decides() -> None:
    """F08."""
    assert (
        attribute(INSTANCE, Origin("OURS", "::1"), "OURS", [expecting(1, 1, PatientID="X")]) == ()
    )


@pytest.mark.parametrize("value", ["*", "P?", "", " "])
def test_a_wildcard_or_empty_key_names_nothing(value: str) -> None:
    assert expecting(1, 1, PatientID=value).keys == ()
    assert not expecting(1, 1, PatientID=value).named_by(INSTANCE)


def test_a_list_of_uids_names_each_of_them() -> None:
    listed = expecting(1, 1, StudyInstanceUID="1.2.9\\1.2.3 ")
    assert listed.named_by(INSTANCE)
    assert not listed.contradicted_by(INSTANCE)


def test_an_instance_without_the_identifier_does_not_contradict() -> None:
    blank = Identifiers("1.2", "1.2.3.4")
    assert attribute(blank, FROM_US, "OURS", [expecting(1, 7, PatientID="P1")]) == (1,)
