"""The command line and an archive that speak TLS to each other, both ways, both with certificates.

DCMTK's dcmqrscp knows no TLS, so Orthanc is the archive.
"""

import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import OrthancFactory
from tests.support.certificates import Authority, Certificate
from tests.support.extraction import AET, Job
from tests.support.instances import Spec, dataset, file, specs, to_bytes
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK, free_port
from tests.support.written import data_set_of

LOCAL_PORT = free_port()
SPECS = list(specs(series=2, instances=10))
FILES = {spec.sop_uid: file(spec) for spec in SPECS}
STUDY = ["QueryRetrieveLevel=STUDY", f"StudyInstanceUID={Spec().study_uid}"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue(LOOPBACK)


def archive(
    start: OrthancFactory, authority: Authority, shown: Certificate, **more: object
) -> OrthancServer:
    """Start an Orthanc that shows this certificate, whether it is called or calls."""
    settings = {
        "DicomTlsEnabled": True,
        "DicomTlsCertificate": shown.cert,
        "DicomTlsPrivateKey": shown.key,
        "DicomTlsTrustedCertificates": authority.ca,
        "DicomModalities": {
            "us": {"AET": AET, "Host": LOOPBACK, "Port": LOCAL_PORT, "UseDicomTls": True}
        },
        **more,
    }
    server = start(settings=settings)
    server.load(FILES.values())
    return server


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory, authority: Authority) -> OrthancServer:
    return archive(start_orthanc, authority, authority.issue(LOOPBACK))


def job(
    folder: Path, server: OrthancServer, kind: str, ca: str, ours: Certificate, **more: Any
) -> Job:
    mine = {"cert": ours.cert, "key": ours.key}
    return Job(
        folder, server, LOCAL_PORT, kind, STUDY,
        pacs={"hostname": LOOPBACK, "tls": {"ca": ca, **mine}},
        local={"tls": {"ca": ca, **mine}},
        **more,
    )  # fmt: skip


def assert_all_is_stored(one: Job) -> None:
    stored = one.stored()
    assert set(stored) == set(FILES)
    for uid, found in stored.items():
        assert found.data == data_set_of(FILES[uid])


def test_c_move_over_tls_both_ways_stores_what_the_archive_holds(
    tmp_path: Path, orthanc: OrthancServer, authority: Authority, ours: Certificate
) -> None:
    one = job(tmp_path, orthanc, "c-move", authority.ca, ours)
    ended = one.run()
    assert ended.code == 0, ended.text
    assert_all_is_stored(one)


@pytest.mark.parametrize("rate", [0, 0.5])
def test_c_get_over_tls_stores_what_the_archive_holds(
    tmp_path: Path, orthanc: OrthancServer, authority: Authority, ours: Certificate, rate: float
) -> None:
    """The session ends in the engine, and instances take the way of all others."""
    one = job(
        tmp_path, orthanc, "c-get", authority.ca, ours,
        request={"limits": {"megabytes_per_second": rate} if rate else {}},
    )  # fmt: skip
    ended = one.run()
    assert ended.code == 0, ended.text
    assert_all_is_stored(one)
    assert one.command("verify").code == 0


def test_a_large_instance_comes_by_c_get_over_tls(
    tmp_path: Path, start_orthanc: OrthancFactory, authority: Authority, ours: Certificate
) -> None:
    server = archive(start_orthanc, authority, authority.issue(LOOPBACK))
    ds = dataset(Spec(series=9))
    ds.Rows, ds.Columns = 1000, 10_000
    ds.PixelData = os.urandom(20_000_000)
    large = to_bytes(ds)
    server.load([large])
    one = job(tmp_path, server, "c-get", authority.ca, ours)
    ended = one.run()
    assert ended.code == 0, ended.text
    stored = one.stored()
    assert len(stored) == len(FILES) + 1
    assert stored[Spec(series=9).sop_uid].data == data_set_of(large)


def test_the_loop_of_a_check_works_by_c_get_over_tls(
    tmp_path: Path, orthanc: OrthancServer, authority: Authority, ours: Certificate
) -> None:
    one = job(tmp_path, orthanc, "c-get", authority.ca, ours)
    ended = one.command("check", "--loop")
    assert ended.code == 0, ended.text
    assert "10 instances came back" in ended.text


def test_c_find_over_tls_writes_the_matches(
    tmp_path: Path, orthanc: OrthancServer, authority: Authority, ours: Certificate
) -> None:
    one = job(tmp_path, orthanc, "c-find", authority.ca, ours)
    ended = one.run()
    assert ended.code == 0, ended.text
    assert [row["StudyInstanceUID"] for row in one.results()] == [Spec().study_uid]


@pytest.mark.parametrize("flaw", ["other host", "expired", "self-signed"])
def test_an_archive_that_cannot_prove_who_it_is_gets_no_request_and_one_sentence(
    tmp_path: Path,
    start_orthanc: OrthancFactory,
    authority: Authority,
    ours: Certificate,
    flaw: str,
) -> None:
    shown = {
        "other host": lambda: authority.issue("other.test"),
        "expired": lambda: authority.issue(LOOPBACK, expired=True),
        "self-signed": lambda: Authority(tmp_path / "own", "own").issue(LOOPBACK),
    }[flaw]()
    server = archive(start_orthanc, authority, shown)
    ended = job(tmp_path, server, "c-move", authority.ca, ours).run()
    assert ended.code != 0
    told = [line for line in ended.err.splitlines() if "is not accepted" in line]
    assert len(told) == 1, ended.text
    assert "pacs.tls.ca" in ended.err


def test_an_archive_whose_certificate_we_do_not_trust_cannot_push(
    tmp_path: Path, orthanc: OrthancServer, authority: Authority, ours: Certificate
) -> None:
    one = job(tmp_path, orthanc, "c-move", authority.ca, ours, retry={"attempts": 1})
    one.change("local", tls={
        "ca": Authority(tmp_path / "strangers", "strangers").ca, "cert": ours.cert, "key": ours.key,
    })  # fmt: skip
    ended = one.run()
    assert ended.code not in {0, 2}, ended.text
    assert one.stored() == {}
