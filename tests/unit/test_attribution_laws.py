from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.attribution import ATTRIBUTABLE, UIDS, Expectation, attribute, expectation
from pydicombatch.core.model import Identifiers, Key, Origin, Request, RequestType

FEW = st.sampled_from(["", "1", "2", "3"])  # few values, so that they meet often
INSTANCES = st.builds(Identifiers, FEW, FEW, FEW, FEW, FEW, FEW)
LISTS = st.lists(st.sampled_from(["", "1", "2", "3", " 1 ", "*", "2?"]), max_size=3)
PATHS = st.sampled_from([*ATTRIBUTABLE, "StudyDate"])
TITLES = st.sampled_from(["OURS", "OTHER", "", None])
ORIGINS = st.builds(Origin, TITLES.map(str), st.just("::1"), TITLES, st.none() | st.integers(1, 4))


def asking(number: int, values: dict[str, list[str]]) -> Expectation:
    keys = tuple(Key(path, "\\".join(texts)) for path, texts in values.items())
    return expectation(
        number, number, Request(str(number), number, RequestType.MOVE, "study", keys)
    )


OUTSTANDING = st.lists(st.dictionaries(PATHS, LISTS, max_size=4), max_size=4).map(
    lambda asked: [asking(number, values) for number, values in enumerate(asked, 1)]
)


def uid(instance: Identifiers, keyword: str) -> str:
    return str(getattr(instance, ATTRIBUTABLE[keyword]))


@given(INSTANCES, ORIGINS, OUTSTANDING)
def test_an_instance_never_goes_to_a_request_whose_uids_it_contradicts(
    instance: Identifiers, origin: Origin, outstanding: list[Expectation]
) -> None:
    """F08."""
    found = attribute(instance, origin, "OURS", outstanding)
    for one in outstanding:
        for keyword, values in one.keys:
            if one.request in found and keyword in UIDS:
                assert uid(instance, keyword) in {"", *values}


@given(INSTANCES, ORIGINS, OUTSTANDING, st.text(max_size=16))
def test_the_calling_title_and_address_never_matter(
    instance: Identifiers, origin: Origin, outstanding: list[Expectation], title: str
) -> None:
    other = replace(origin, calling_aet=title, address=title)
    assert attribute(instance, origin, "OURS", outstanding) == attribute(
        instance, other, "OURS", outstanding
    )


@given(INSTANCES, OUTSTANDING)
def test_without_an_originator_only_a_request_that_names_the_instance_gets_it(
    instance: Identifiers, outstanding: list[Expectation]
) -> None:
    found = attribute(instance, Origin("X", "::1"), "OURS", outstanding)
    for one in outstanding:
        named = bool(one.keys) and all(uid(instance, path) in values for path, values in one.keys)
        assert (one.request in found) == named


@given(INSTANCES, ORIGINS, OUTSTANDING)
def test_requests_are_found_once_and_only_outstanding_ones(
    instance: Identifiers, origin: Origin, outstanding: list[Expectation]
) -> None:
    found = attribute(instance, origin, "OURS", outstanding)
    assert len(set(found)) == len(found)
    assert set(found) <= {one.request for one in outstanding}


@given(st.dictionaries(PATHS, LISTS))
def test_neither_a_wildcard_nor_an_empty_value_is_expected(values: dict[str, list[str]]) -> None:
    for _, allowed in asking(1, values).keys:
        assert allowed
        assert not {"", "*", "2?", " 1 "} & allowed


def test_a_patient_id_that_the_archive_has_changed_does_not_hide_a_study() -> None:
    instance = Identifiers("1.2", "1.3.1", "1.3", "1.3.9", "MERGED", "A1")
    one = asking(1, {"PatientID": ["OLD"], "StudyInstanceUID": ["1.3"]})
    assert attribute(instance, Origin("X", "::1", "OURS", 1), "OURS", [one]) == (1,)
    assert attribute(instance, Origin("X", "::1"), "OURS", [one]) == (1,)


def test_a_patient_id_that_the_archive_has_changed_is_no_reason_to_doubt_the_originator() -> None:
    instance = Identifiers("1.2", "1.3.1", "1.3", "1.3.9", "p1")
    one = asking(1, {"PatientID": ["P1"]})
    assert attribute(instance, Origin("X", "::1", "OURS", 1), "OURS", [one]) == (1,)
    assert attribute(instance, Origin("X", "::1"), "OURS", [one]) == ()


def test_an_empty_value_in_a_list_names_no_instance_without_that_value() -> None:
    one = asking(1, {"AccessionNumber": ["A1", ""]})
    assert attribute(Identifiers("1.2", "1.3.1"), Origin("X", "::1"), "OURS", [one]) == ()
