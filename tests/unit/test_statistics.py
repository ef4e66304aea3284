from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.excerpt import Excerpt, UnreadableError, plain
from pydicombatch.core.model import Arrival, Known, Quarantined, Stored
from pydicombatch.core.records import Share
from pydicombatch.core.traits import READ, Traits, of_values
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.process.characterised import (
    BEGINNING,
    CharacterisingProcessor,
    of_beginning,
)
from pydicombatch.process.local import digested
from tests.support.fakes import arrival, stored
from tests.support.instances import Spec, dataset, file, to_bytes

NOW = datetime(2026, 1, 5, 12, 0, 59, tzinfo=UTC)
CT = Traits("1.2", "1.2.1", "CT", "2020", "F", "50-59")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite")) as opened:
        yield opened


def test_instances_are_counted_by_minute_and_by_kind(ledger: Ledger) -> None:
    mr = replace(CT, series="1.2.2", modality="MR")
    other = Traits("1.3", "1.3.1", "CT", "2021", "", "")
    kinds = {"1": CT, "2": CT, "3": mr, "4": other}
    some = [replace(stored(uid), traits=kind) for uid, kind in kinds.items()]
    ledger.record(some[:3], (), NOW)
    ledger.record(some[3:], (), NOW + timedelta(minutes=2))
    found = ledger.statistics()
    minute = NOW.replace(second=0)
    assert [(one.at, one.instances, one.bytes) for one in found.minutes] == [
        (minute, 3, 300),
        (minute + timedelta(minutes=2), 1, 100),
    ]
    assert found.modality == (Share("CT", 2, 2, 3), Share("MR", 1, 1, 1))
    assert found.sex == (Share("", 1, 1, 1), Share("F", 1, 2, 3))
    assert [one.value for one in found.age] == ["", "50-59"]
    assert [one.value for one in found.year] == ["2020", "2021"]


def test_an_instance_that_comes_again_is_counted_once(ledger: Ledger) -> None:
    first = replace(stored("1"), traits=CT)
    ledger.record([first], (), NOW)
    ledger.record([replace(first, duplicate=True, traits=None)], (), NOW)
    ledger.record([replace(first, path="elsewhere")], (), NOW)
    assert [one.instances for one in ledger.statistics().minutes] == [1]
    assert ledger.statistics().modality == (Share("CT", 1, 1, 1),)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"PatientAge": "045Y"}, "40-49"),
        ({"PatientAge": "011M"}, "0-9"),
        ({"PatientAge": "093Y"}, "90+"),
        ({"PatientBirthDate": "19700601", "StudyDate": "20200531"}, "40-49"),
        ({"PatientBirthDate": "19700601", "StudyDate": "20200601"}, "50-59"),
        ({"PatientBirthDate": "20210601", "StudyDate": "20200601"}, ""),
        ({"PatientBirthDate": "19701301", "StudyDate": "20200601"}, ""),
        ({"PatientAge": "old"}, ""),
    ],
)
def test_an_age_is_a_band_at_the_time_of_the_study(values: dict[str, str], expected: str) -> None:
    assert of_values(values).age == expected


def test_what_is_no_code_is_unknown() -> None:
    odd = of_values({"Modality": "<b>x", "PatientSex": "Müller", "StudyDate": "2020-01-01"})
    assert (odd.modality, odd.sex, odd.year) == ("", "", "")
    assert of_values({"Modality": " ct ", "PatientSex": "f"}).modality == "CT"


@given(st.fixed_dictionaries({name: st.text(max_size=12) for name in READ}))
def test_nothing_but_codes_and_numbers_gets_into_statistics(values: dict[str, str]) -> None:
    found = of_values(values)
    assert found.sex in {"", "M", "F", "O"}
    for text in (found.modality, found.year, found.age):
        assert all(c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-+" for c in text)


class Inner:
    """Says that a file is stored."""

    def __init__(self, answer: Stored | Quarantined) -> None:
        self.answer = answer

    def process(
        self, some: Sequence[tuple[Arrival, Known | None]]
    ) -> Generator[Stored | Quarantined, None, None]:
        yield from [self.answer] * len(some)

    def wish(self, arrival: Arrival) -> str:
        return "a wish"

    def discard(self, arrival: Arrival) -> None:
        """Nothing lies anywhere."""


def test_traits_are_those_of_the_stored_file(tmp_path: Path) -> None:
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "1.dcm").write_bytes(file(Spec()))
    processor = CharacterisingProcessor(Inner(stored("1")), tmp_path)
    (done,) = processor.process([(arrival("1"), None)])
    assert isinstance(done, Stored)
    assert done.traits == Traits(Spec().study_uid, Spec().series_uid, "CT", "2020", "O", "50-59")


@pytest.mark.parametrize("content", [None, b"", b"no instance", bytes(500)])
def test_a_file_that_cannot_be_read_has_no_traits_and_is_stored_all_the_same(
    tmp_path: Path, content: bytes | None
) -> None:
    (tmp_path / "path").mkdir()
    if content is not None:
        (tmp_path / "path" / "1.dcm").write_bytes(content)
    processor = CharacterisingProcessor(Inner(stored("1")), tmp_path)
    assert list(processor.process([(arrival("1"), None)])) == [stored("1")]


def test_what_is_quarantined_or_there_already_is_passed_on(tmp_path: Path) -> None:
    for answer in (
        Quarantined(arrival("1"), "q", "It cannot be read"),
        stored("1", duplicate=True),
    ):
        processor = CharacterisingProcessor(Inner(answer), tmp_path)
        assert list(processor.process([(arrival("1"), None)])) == [answer]
    assert CharacterisingProcessor(Inner(stored("1")), tmp_path).wish(arrival("1")) == "a wish"


def test_an_excerpt_leaves_what_it_is_not_sure_of_to_others() -> None:
    assert plain(["PatientID", "Rows"])
    for path in ("ProcedureCodeSequence[0].CodeMeaning", "SmallestImagePixelValue", "(0009,1001)"):
        assert not plain(["PatientID", path])
    ds = dataset(Spec())
    ds["PatientID"].VR = "SH"  # not the dictionary's
    with pytest.raises(UnreadableError):
        Excerpt(("PatientID",)).of_file(to_bytes(ds))
    assert Excerpt(("Rows", "PatientWeight")).of_file(to_bytes(ds)) == ("16", "")


@given(st.integers(0, 900))
def test_a_file_that_was_cut_is_an_error_or_has_the_same_values(length: int) -> None:
    whole = file(Spec())
    try:
        found = Excerpt(("PatientID", "Modality")).of_file(whole[:length])
    except UnreadableError:
        return
    assert found in {("", ""), ("", "CT"), (Spec().patient_id, "CT")}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("1234"), st.sampled_from([CT, replace(CT, series="1.2.2"), None]),
            st.booleans(), st.integers(1, 9),
        ),
        max_size=8,
    )
)  # fmt: skip
def test_instances_recorded_together_count_as_those_recorded_one_by_one(
    several: list[tuple[str, Traits | None, bool, int]],
) -> None:
    some = [
        replace(stored(uid), traits=kind, duplicate=duplicate, size=size)
        for uid, kind, duplicate, size in several
    ]
    with TemporaryDirectory() as folder:
        with closing(Ledger(Path(folder) / "a.sqlite")) as together:
            together.record(some, (), NOW)
            found = together.statistics(), together.counts(), together.known(["1"])
        with closing(Ledger(Path(folder) / "b.sqlite")) as alone:
            for one in some:
                alone.record([one], (), NOW)
            assert (alone.statistics(), alone.counts(), alone.known(["1"])) == found


@pytest.mark.parametrize("pixels", [10, 100_000, 2_000_000])
def test_a_file_is_read_once_for_its_digest_and_its_traits(tmp_path: Path, pixels: int) -> None:
    path = tmp_path / "one"
    path.write_bytes(to_bytes(dataset(Spec())) + bytes(pixels))
    digest, beginning, size = digested(path)
    content = path.read_bytes()
    assert (digest, size) == (sha256(content).hexdigest(), len(content))
    assert content.startswith(beginning)
    assert len(beginning) in {size, BEGINNING}
    expected = of_values(dict(zip(READ, Excerpt(READ).of_file(content), strict=True)))
    assert of_beginning(beginning, whole=len(beginning) == size) == expected


def test_a_beginning_that_does_not_hold_them_has_no_traits() -> None:
    content = to_bytes(dataset(Spec()))
    assert of_beginning(content[:200], whole=False) is None
    assert of_beginning(b"", whole=True) is None
