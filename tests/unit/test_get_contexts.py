"""Which presentation contexts a C-GET proposes, and what it asks before it does."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.backends.dimse import negotiation
from pydicombatch.backends.dimse.contexts import (
    ALL,
    COMMON,
    MOST,
    RARE,
    UNCOMPRESSED,
    USUAL,
    Expected,
    Proposal,
    alone,
    choose,
    is_bulky,
    of_modality,
)
from pydicombatch.backends.dimse.peer import Peer
from pydicombatch.backends.dimse.survey import Survey
from pydicombatch.core.elements import parse_key
from pydicombatch.core.errors import FatalError, TransientError, Unreachable
from pydicombatch.core.model import Match, Request, RequestType, Verdict

CT, MR, SR = (
    "1.2.840.10008.5.1.4.1.1.2",
    "1.2.840.10008.5.1.4.1.1.4",
    "1.2.840.10008.5.1.4.1.1.88.11",
)
PRIVATE = "1.2.826.0.1.3680043.10.1338.99.1"
JPEG, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
STUDY = "1.2.3"

expectations = st.builds(
    Expected,
    st.sampled_from([*ALL, PRIVATE, *(f"1.2.{n}" for n in range(200))]),
    st.sampled_from(["", *UNCOMPRESSED, JPEG, RLE, *map(str, RARE)]),
    st.integers(0, 10_000),
)
several = st.lists(expectations, max_size=300)


def place(one: Expected) -> tuple[str, str]:
    return one.sop_class, "" if one.transfer_syntax in UNCOMPRESSED else one.transfer_syntax


def carries(proposal: Proposal, known: tuple[str, str]) -> bool:
    sop_class, syntax = known
    wanted = (syntax,) if syntax else UNCOMPRESSED
    return proposal == Proposal(sop_class, wanted)


@given(several, st.integers(0, 300))
def test_there_are_never_more_contexts_than_an_association_has(
    expected: list[Expected], room: int
) -> None:
    chosen = choose(expected, room)
    assert len(chosen) <= min(room, MOST)
    assert len(set(chosen)) == len(chosen)
    assert all(one.transfer_syntaxes for one in chosen)


@given(several, st.integers(1, MOST))
def test_what_is_left_out_has_no_more_instances_than_anything_that_is_not(
    expected: list[Expected], room: int
) -> None:
    counts: dict[tuple[str, str], int] = {}
    for one in expected:
        counts[place(one)] = counts.get(place(one), 0) + one.instances
    chosen = choose(expected, room)
    inside = [n for known, n in counts.items() if any(carries(one, known) for one in chosen)]
    outside = [n for known, n in counts.items() if not any(carries(one, known) for one in chosen)]
    assert len(inside) == min(len(counts), room)
    assert max(outside, default=0) <= min(inside, default=10**9)


@given(several, st.sets(st.sampled_from(COMMON)))
def test_classes_that_were_proposed_are_not_proposed_again(
    expected: list[Expected], without: set[str]
) -> None:
    assert not {one.sop_class for one in choose(expected, MOST, without)} & without


@given(several, st.sampled_from(USUAL), st.integers(0, MOST))
def test_a_syntax_alone_is_proposed_once_a_class_that_can_have_it(
    expected: list[Expected], syntax: str, room: int
) -> None:
    chosen = alone(expected, [PRIVATE], syntax, room)
    assert len(chosen) <= room
    assert len({one.sop_class for one in chosen}) == len(chosen)
    assert all(one.transfer_syntaxes == (syntax,) and is_bulky(one.sop_class) for one in chosen)


def test_a_class_that_is_alone_is_offered_in_every_syntax_there_is() -> None:
    chosen = choose([Expected(CT)], MOST)
    mine = [one.transfer_syntaxes for one in chosen if one.sop_class == CT]
    assert mine == [UNCOMPRESSED, *((str(one),) for one in (*USUAL, *RARE))]
    assert {one.sop_class for one in chosen} >= set(COMMON)


def test_a_class_whose_syntax_is_known_is_offered_in_it_first() -> None:
    chosen = choose([Expected(CT, JPEG, 5), Expected(MR, "", 9)], 4)
    assert chosen[:2] == (Proposal(MR), Proposal(CT, (JPEG,)))


def test_a_report_is_not_compressed_but_nobody_knows_of_a_private_class() -> None:
    assert not is_bulky(SR)
    assert is_bulky(CT)
    assert is_bulky(PRIVATE)


def test_modalities_are_guessed_whatever_their_case_and_unknown_ones_are_nothing() -> None:
    assert next(of_modality(" ct ")).sop_class == CT
    assert list(of_modality("ZZ")) == []
    assert len(COMMON) == len(set(COMMON)) < MOST


def test_as_many_contexts_as_there_are_fit_into_a_request() -> None:
    peer = Peer("archive", 104, "ARCHIVE", "SAMPLE_AE")
    request = negotiation.request(peer, ["1.2.840.10008.1.1"] * 3, choose((), MOST - 3))
    assert request.count(b"\x20\x00") >= MOST
    assert len(request) < 1 << 15


Archive = Callable[[str, dict[str, str]], list[dict[str, str]] | Exception]


class Asked:
    """An archive that answers queries by a function of level and keys."""

    def __init__(self, answer: Archive) -> None:
        self._answer = answer
        self.levels: list[str] = []

    def __call__(self, request: Request, on_match: Callable[[Match], None]) -> Verdict:
        keys = {key.path: key.value for key in request.keys}
        level = keys["QueryRetrieveLevel"]
        self.levels.append(level)
        rows = self._answer(level, keys)
        if isinstance(rows, Exception):
            raise rows
        for row in rows:
            on_match(Match(tuple((path, row.get(path, value)) for path, value in keys.items())))
        return Verdict.DONE


def wanted(*texts: str) -> Request:
    keys = tuple(map(parse_key, texts or ("QueryRetrieveLevel=STUDY", f"StudyInstanceUID={STUDY}")))
    return Request("identity", 1, RequestType.GET, "study", keys)


def archive(**levels: list[dict[str, str]] | Exception) -> Archive:
    return lambda level, _: levels.get(level, [])


def classes(survey: Survey, request: Request | None = None) -> Mapping[str, tuple[str, int]]:
    outlook = survey.expected(request or wanted())
    return {one.sop_class: (one.transfer_syntax, one.instances) for one in outlook.expected}


def test_the_classes_of_a_study_are_asked_for_first() -> None:
    study = {"SOPClassesInStudy": f"{CT}\\{SR}", "NumberOfStudyRelatedInstances": "100"}
    asked = Asked(archive(STUDY=[study]))
    survey = Survey(asked)
    assert classes(survey) == {CT: ("", 50), SR: ("", 50)}
    assert survey.expected(wanted()).is_told
    assert asked.levels == ["STUDY", "SERIES"]  # once: what is known is not asked again


def test_syntaxes_are_counted_where_the_archive_tells_them() -> None:
    images = [{"SOPClassUID": CT, "AvailableTransferSyntaxUID": JPEG}] * 3
    series = [{"SeriesInstanceUID": f"1.2.3.{n}", "Modality": "CT"} for n in (1, 2)]
    asked = Asked(archive(STUDY=[{"StudyInstanceUID": STUDY}], SERIES=series, IMAGE=images))
    assert classes(Survey(asked)) == {CT: (JPEG, 3)}
    assert asked.levels == ["STUDY", "SERIES", "IMAGE", "IMAGE"]


def test_an_archive_that_tells_no_syntax_is_asked_for_one_series_and_never_again() -> None:
    study = {"StudyInstanceUID": STUDY, "SOPClassesInStudy": CT}
    series = [{"SeriesInstanceUID": f"1.2.3.{n}", "Modality": "CT"} for n in range(9)]
    asked = Asked(archive(STUDY=[study], SERIES=series, IMAGE=[{"SOPClassUID": CT}]))
    survey = Survey(asked)
    classes(survey)
    assert asked.levels == ["STUDY", "SERIES", "IMAGE"]
    classes(survey, wanted("QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.4"))
    assert asked.levels[3:] == ["STUDY"]


def test_modalities_decide_when_nothing_better_is_told() -> None:
    series = [{"SeriesInstanceUID": "1.2.3.1", "Modality": "MR"}]
    asked = Asked(archive(STUDY=[{"StudyInstanceUID": STUDY}], SERIES=series))
    survey = Survey(asked)
    outlook = survey.expected(wanted())
    assert outlook.expected[0].sop_class == MR
    assert not outlook.is_told
    asked = Asked(archive(STUDY=[{"ModalitiesInStudy": "SR\\CT"}]))
    assert {CT, SR} <= {one.sop_class for one in Survey(asked).expected(wanted()).expected}


def test_images_are_asked_for_themselves() -> None:
    asked = Asked(archive(IMAGE=[{"SOPClassUID": MR, "AvailableTransferSyntaxUID": f"{RLE}\\1.2"}]))
    request = wanted("QueryRetrieveLevel=IMAGE", "StudyInstanceUID=1", "SeriesInstanceUID=2",
                     "SOPInstanceUID=3\\4")  # fmt: skip
    assert classes(Survey(asked), request) == {MR: (RLE, 1)}
    assert asked.levels == ["IMAGE"]


def test_a_query_has_no_key_from_below_its_level() -> None:
    seen: list[tuple[str, dict[str, str]]] = []

    def answer(level: str, keys: dict[str, str]) -> list[dict[str, str]]:
        seen.append((level, keys))
        return [{"StudyInstanceUID": STUDY}] if level == "STUDY" else []

    Survey(Asked(answer)).expected(
        wanted("QueryRetrieveLevel=SERIES", f"StudyInstanceUID={STUDY}", "SeriesInstanceUID=9")
    )
    assert "SeriesInstanceUID" not in seen[0][1]
    assert seen[1][1]["SeriesInstanceUID"] == "9"


@pytest.mark.parametrize("error", [FatalError("no", "no"), TransientError("gone", "later")])
def test_an_archive_that_answers_no_query_is_not_asked_again(error: Exception) -> None:
    asked = Asked(archive(STUDY=error))
    survey = Survey(asked)
    assert classes(survey) == {}
    assert classes(survey, wanted("QueryRetrieveLevel=STUDY", "StudyInstanceUID=7")) == {}
    assert len(asked.levels) == 1


def test_an_archive_that_is_gone_is_no_answer() -> None:
    with pytest.raises(Unreachable):
        Survey(Asked(archive(STUDY=Unreachable("gone", "wait")))).expected(wanted())


@given(st.one_of(st.text(max_size=5), st.text("01.\\ ", max_size=70)), st.text(max_size=12))
def test_nothing_that_an_archive_answers_breaks_the_survey(uid: str, number: str) -> None:
    row = {"StudyInstanceUID": uid, "SOPClassesInStudy": uid, "SeriesInstanceUID": uid,
           "NumberOfStudyRelatedInstances": number, "NumberOfSeriesRelatedInstances": number,
           "Modality": uid, "SOPClassUID": uid, "AvailableTransferSyntaxUID": uid}  # fmt: skip
    outlook = Survey(Asked(archive(STUDY=[row], SERIES=[row], IMAGE=[row]))).expected(wanted())
    chosen = choose(outlook.expected, MOST - 1)
    assert negotiation.request(Peer("archive", 104, "ARCHIVE", "US"), ["1.2.3"], chosen)
