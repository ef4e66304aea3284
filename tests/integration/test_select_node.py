"""Nodes, levels and protocols of `select`, each with one configuration on two real archives."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.conftest import DcmqrscpFactory, OrthancFactory
from tests.support.dcmqrscp import DcmqrscpServer
from tests.support.extraction import AET, Job
from tests.support.instances import MR, Spec, dataset, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import free_port
from tests.support.storage import StorageServer
from tests.support.wiretap import Wiretap

LOCAL_PORT, NODE_PORT = free_port(), free_port()
NODE = "AI_STORE_SCP"
MAMMOGRAPHY = "1.2.840.10008.5.1.4.1.1.1.2"
REPORT = "1.2.840.10008.5.1.4.1.1.88.11"
LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")
UNIQUE = ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
Server = OrthancServer | DcmqrscpServer


def of_study(one: Spec) -> Spec:
    """Date a study, and make its second series one of MR."""
    dated = replace(one, study_date=f"2020010{one.study}")
    return dated if one.series == 1 else replace(dated, modality="MR", sop_class=MR)


SPECS = list(map(of_study, specs(patients=2, studies=2, series=2, instances=3)))


def day(back: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=back):%Y%m%d}"


MAMMOGRAMS = [  # study, days ago, description, SOP class, and whether the node wants it
    (1, 0, "Bilateral MAMMOGRAPHY", MAMMOGRAPHY, True),
    (2, 1, "mammo left", MAMMOGRAPHY, True),
    (3, 5, "Screening mammography", MAMMOGRAPHY, True),
    (4, 1, "Bilateral mammography", REPORT, False),
    (5, 1, "Chest", MAMMOGRAPHY, False),
    (6, 40, "Bilateral mammography", MAMMOGRAPHY, False),
]
WANTED = {Spec(9, study).sop_uid for study, *_, wanted in MAMMOGRAMS if wanted}


def mammograms() -> Iterator[bytes]:
    for study, back, description, sop_class, _ in MAMMOGRAMS:
        modality = "MG" if sop_class == MAMMOGRAPHY else "SR"
        ds = dataset(Spec(9, study, sop_class=sop_class, modality=modality, study_date=day(back)))
        ds.StudyDescription = description
        yield to_bytes(ds)


@pytest.fixture(scope="module", params=["orthanc", "dcmqrscp"])
def archive(
    request: pytest.FixtureRequest, start_orthanc: OrthancFactory, start_dcmqrscp: DcmqrscpFactory
) -> Server:
    """A relational archive that answers most things, and a hierarchical one."""
    known = [(AET, LOCAL_PORT), (NODE, NODE_PORT)]
    server: Server = start_orthanc(known) if request.param == "orthanc" else start_dcmqrscp(known)
    server.load([*(to_bytes(dataset(spec)) for spec in SPECS), *mammograms()])
    return server


def job(
    folder: Path, archive: Any, rows: list[list[str]], kind: str = "c-move", **more: Any
) -> Job:
    return Job(folder, archive, LOCAL_PORT, kind, [], rows, **more)


def test_the_classic_node_sends_new_mammograms_to_another_title(
    tmp_path: Path, archive: Server
) -> None:
    where = {
        "StudyDate": "today-7..today",
        "StudyDescription": "/mammo/i",
        "Modality": "MG",
        # dcmqrscp knows no SOP classes
        "SOPClassUID": {"any": [MAMMOGRAPHY, f"{MAMMOGRAPHY}.1"], "missing": "keep"},
    }
    select = {"level": "SERIES", "where": where, "first": 2}
    made = job(tmp_path, archive, [], request={"destination": NODE}, select=select)
    with StorageServer(NODE, NODE_PORT) as store:
        ended = made.run()
        assert ended.code == 0, ended.text
        first = set(store.uids())
        assert len(first) == 2
        assert first < WANTED
        made.change("select", first=10)
        ended = made.run("--restart")
        assert ended.code == 0, ended.text
        assert set(store.uids()) == WANTED
    (row,) = made.results()
    assert (row["Outcome"], row["Expected"]) == ("complete", "3")
    assert made.stored() == {}


def test_a_sop_class_selects_where_it_is_told_and_is_named_where_it_is_not(
    tmp_path: Path, archive: Server
) -> None:
    where = {"StudyDate": "today-7..today", "SOPClassUID": REPORT}
    made = job(tmp_path, archive, [], select={"level": "SERIES", "where": where})
    ended = made.run()
    assert ended.code == 0, ended.text
    if isinstance(archive, OrthancServer):
        assert set(made.stored()) == {Spec(9, 4).sop_uid}
    else:
        assert made.stored() == {}
        assert "5 answers, none of which fits, as none tells SOPClassUID" in ended.text


@pytest.mark.parametrize(
    ("days", "studies"),
    [
        ("today", {1}), ("today-1..today", {1, 2, 5}), ("today-30..today-2", {3}),
        (">= today-7", {1, 2, 3, 5}), ("< today-7", {6}), (["today-1", "today-40"], {2, 5, 6}),
    ],
)  # fmt: skip
def test_relative_dates_select_the_same_everywhere(
    tmp_path: Path, archive: Server, days: object, studies: set[int]
) -> None:
    where = {"StudyDate": days, "Modality": "!SR", "PatientID": "P00009"}
    made = job(tmp_path, archive, [], select={"level": "STUDY", "where": where})
    ended = made.run()
    assert ended.code == 0, ended.text
    assert set(made.stored()) == {Spec(9, study).sop_uid for study in studies}


def test_every_level_is_asked_with_the_unique_keys_above_it(
    tmp_path: Path, archive: Server
) -> None:
    where = {"StudyDate": "20200102", "Modality": "MR", "InstanceNumber": ">= 2"}
    select = {"level": "IMAGE", "where": where, "queries": "hierarchical"}
    rows = [["PatientName"], ["Synthetic^Pat*"]]
    with Wiretap(archive.port) as tap:
        through = SimpleNamespace(port=tap.port, aet=archive.aet)
        made = job(tmp_path, through, rows, request={"model": "patient"}, select=select)
        ended = made.run()
        asked = [read(one) for one in tap.data_sets()]
    assert ended.code == 0, ended.text
    wanted = {one.sop_uid for one in SPECS if (one.study, one.series) == (2, 2)}
    assert set(made.stored()) == {one for one in wanted if not one.endswith(".1")}
    finds = [one for one in asked if not one.get(UNIQUE[LEVELS.index(one.QueryRetrieveLevel)])]
    for one in finds:
        above = UNIQUE[: LEVELS.index(one.QueryRetrieveLevel)]
        assert all(is_one_value(one.get(name, "")) for name in above), one.QueryRetrieveLevel
        assert not {*UNIQUE} & {element.keyword for element in one} - {*above, UNIQUE[len(above)]}
    count = {level: sum(one.QueryRetrieveLevel == level for one in finds) for level in LEVELS}
    # three patients, the third without such a study; one series of two fits in each study
    assert count == {"PATIENT": 1, "STUDY": 3, "SERIES": 2, "IMAGE": 2}
    moves = [one for one in asked if one.get("SOPInstanceUID")]
    assert len(moves) == 4
    assert all(is_one_value(one.get(name, "")) for one in moves for name in UNIQUE)


@pytest.mark.parametrize("model", ["study", "patient"])
def test_what_was_selected_is_retrieved_by_c_get_as_well(
    tmp_path: Path, archive: Server, model: str
) -> None:
    rows = [["AccessionNumber"], ["A0000101"], ["A00001"], ["A0000202"]]
    select = {"level": "SERIES", "where": {"Modality": "MR"}}
    made = job(tmp_path, archive, rows, "c-get", request={"model": model}, select=select)
    ended = made.run()
    assert ended.code == 0, ended.text
    assert [row["Outcome"] for row in made.results()] == ["complete", "empty", "complete"]
    fitting = {(1, 1, 2), (2, 2, 2)}
    wanted = {s.sop_uid for s in SPECS if (s.patient, s.study, s.series) in fitting}
    assert set(made.stored()) == wanted


def test_alternatives_are_any_of_them(tmp_path: Path, archive: Server) -> None:
    where = [
        {"StudyDate": "20200101", "Modality": "CT"},
        {"StudyDate": "20200102", "SeriesNumber": ">= 2"},
        {"PatientID": {"any": "NOBODY", "missing": "drop"}},
    ]
    rows = [["PatientID"], ["P00002"]]
    made = job(tmp_path, archive, rows, select={"level": "SERIES", "where": where})
    ended = made.run()
    assert ended.code == 0, ended.text
    fitting = {(1, 1), (2, 2)}
    wanted = {s.sop_uid for s in SPECS if s.patient == 2 and (s.study, s.series) in fitting}
    assert set(made.stored()) == wanted


@pytest.mark.parametrize(("missing", "count"), [("keep", 6), ("drop", 0)])
def test_what_is_missing_is_kept_or_dropped(
    tmp_path: Path, archive: Server, missing: str, count: int
) -> None:
    where = {"ProtocolName": {"any": ["T1"], "missing": missing}}
    rows = [["AccessionNumber"], ["A0000101"]]
    made = job(tmp_path, archive, rows, select={"level": "SERIES", "where": where})
    ended = made.run()
    assert ended.code == 0, ended.text
    assert len(made.stored()) == count


def test_counts_that_the_query_told_are_not_asked_for_again(
    tmp_path: Path, archive: Server
) -> None:
    """Without `select` every retrieve is followed by one C-FIND for the number of instances."""
    counts = []
    for name, rows, select in (
        ("asked", [["AccessionNumber"], ["A0000101"]], {"level": "SERIES"}),
        ("named", [["StudyInstanceUID"], [SPECS[0].study_uid]], None),
    ):
        with Wiretap(archive.port) as tap:
            through = SimpleNamespace(port=tap.port, aet=archive.aet)
            more = {"select": select} if select else {}
            elements = [] if select else ["QueryRetrieveLevel=STUDY"]
            made = Job(tmp_path / name, through, LOCAL_PORT, "c-move", elements, rows, **more)
            assert made.run().code == 0
            asked = [read(one) for one in tap.data_sets()]
        assert len(made.stored()) == 6
        moved = [bool(one.get("SeriesInstanceUID") or one.get("StudyInstanceUID")) and len(one) <= 3
                 for one in asked]  # fmt: skip
        behind = asked[moved.index(True) :]
        counts.append(sum(any(e.keyword.startswith("NumberOf") for e in one) for one in behind))
    tells = isinstance(archive, OrthancServer)
    assert counts == [0 if tells else 2, 1]


def read(data: bytes) -> Dataset:
    """Read an identifier, in whatever transfer syntax it is."""
    is_explicit = data[4:6].isalpha()
    found = dcmread(BytesIO(_meta(is_explicit=is_explicit) + data), force=True)
    found.pop("SpecificCharacterSet", None)
    return found


def _meta(*, is_explicit: bool) -> bytes:
    syntax = b"1.2.840.10008.1.2.1\0" if is_explicit else b"1.2.840.10008.1.2\0"
    element = b"\x02\x00\x10\x00UI" + len(syntax).to_bytes(2, "little") + syntax
    return bytes(128) + b"DICM" + element


def is_one_value(value: object) -> bool:
    return bool(value) and not {"*", "?", "\\"} & set(str(value))
