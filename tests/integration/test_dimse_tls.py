"""DICOM TLS towards the archive (faults S17): who is trusted, and what is refused."""

import socket
import ssl
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pydicombatch.backends.dimse import DimseArchive, Peer, Timeouts
from pydicombatch.backends.dimse.association import Association
from pydicombatch.backends.dimse.command import NO_DATA_SET, Tag, encode
from pydicombatch.backends.dimse.fragments import split
from pydicombatch.backends.dimse.peer import Tls
from pydicombatch.backends.dimse.wire import Wire
from pydicombatch.core.elements import parse_key
from pydicombatch.core.errors import ConfigError, FatalError, Unreachable
from pydicombatch.core.model import Match, Request, RequestType, Verdict
from tests.conftest import OrthancFactory
from tests.support.certificates import Authority, Certificate
from tests.support.instances import files, specs
from tests.support.orthanc import OrthancServer
from tests.support.ports import LOOPBACK


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def ours(authority: Authority) -> Certificate:
    return authority.issue("client.test")


def tls_orthanc(
    start: OrthancFactory, authority: Authority, certificate: Certificate
) -> OrthancServer:
    return start(
        settings={
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": certificate.cert,
            "DicomTlsPrivateKey": certificate.key,
            "DicomTlsTrustedCertificates": authority.ca,
        }
    )


@pytest.fixture(scope="module")
def orthanc(start_orthanc: OrthancFactory, authority: Authority) -> OrthancServer:
    server = tls_orthanc(start_orthanc, authority, authority.issue("localhost", LOOPBACK))
    server.load(files(specs(patients=1, studies=1, series=2, instances=1)))
    return server


def archive(port: int, tls: Tls | None, hostname: str = LOOPBACK) -> DimseArchive:
    waits = Timeouts(connect=5, association=5, response=10)
    peer = Peer(hostname, port, "ORTHANC", "SAMPLE_AE", timeouts=waits, tls=tls)
    return DimseArchive(peer, "study", RequestType.FIND)


def test_a_query_works_over_mutual_tls(
    orthanc: OrthancServer, authority: Authority, ours: Certificate
) -> None:
    session = archive(orthanc.port, Tls(authority.ca, ours.cert, ours.key))
    keys = (parse_key("QueryRetrieveLevel=SERIES"), parse_key("SeriesInstanceUID"))
    request = Request("identity", 1, RequestType.FIND, "study", keys)
    for _ in range(20):
        found: list[Match] = []
        answer = session.find(request, found.append)
        assert answer.verdict is Verdict.DONE
        assert len({dict(match.values)["SeriesInstanceUID"] for match in found}) == 2
    session.close()


def test_an_archive_that_asks_for_a_certificate_turns_us_away_without(
    orthanc: OrthancServer, authority: Authority
) -> None:
    with pytest.raises((Unreachable, FatalError)) as caught:
        archive(orthanc.port, Tls(authority.ca)).echo()
    assert caught.value.remedy


def test_an_expired_certificate_is_refused(
    start_orthanc: OrthancFactory, authority: Authority, ours: Certificate
) -> None:
    server = tls_orthanc(start_orthanc, authority, authority.issue(LOOPBACK, expired=True))
    with pytest.raises(FatalError, match="expired"):
        archive(server.port, Tls(authority.ca, ours.cert, ours.key)).echo()


def test_a_certificate_of_another_host_is_refused(
    start_orthanc: OrthancFactory, authority: Authority, ours: Certificate
) -> None:
    server = tls_orthanc(start_orthanc, authority, authority.issue("other.test"))
    with pytest.raises(FatalError, match="is not accepted"):
        archive(server.port, Tls(authority.ca, ours.cert, ours.key)).echo()


def test_an_unknown_authority_is_refused_unless_nobody_asks(
    orthanc: OrthancServer, ours: Certificate, tmp_path: Path
) -> None:
    strangers = Authority(tmp_path, "strangers")
    with pytest.raises(FatalError, match="is not accepted"):
        archive(orthanc.port, Tls(strangers.ca, ours.cert, ours.key)).echo()
    session = archive(orthanc.port, Tls("", ours.cert, ours.key, verify=False))
    assert session.echo().verdict is Verdict.DONE
    session.close()


def test_there_is_no_way_back_to_a_plain_connection(
    start_orthanc: OrthancFactory, authority: Authority
) -> None:
    """S17."""
    plain = start_orthanc()
    with pytest.raises((FatalError, Unreachable)):
        archive(plain.port, Tls(authority.ca)).echo()


def test_an_archive_that_offers_nothing_newer_than_tls_1_1_is_refused(
    authority: Authority,
) -> None:
    """S17."""
    certificate = authority.issue(LOOPBACK)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.cert, certificate.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with socket.create_server((LOOPBACK, 0)) as listener:
        port = listener.getsockname()[1]

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, pytest.raises(ssl.SSLError):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(FatalError, match="TLS"):
            archive(port, Tls(authority.ca)).echo()
        thread.join(10)
        assert not thread.is_alive()


def test_a_listener_that_never_answers_the_handshake_does_not_hold_us(
    authority: Authority,
) -> None:
    with socket.create_server((LOOPBACK, 0)) as silent:
        peer = Peer(
            LOOPBACK,
            silent.getsockname()[1],
            "ORTHANC",
            "SAMPLE_AE",
            timeouts=Timeouts(connect=1, association=0.5, response=1),
            tls=Tls(authority.ca),
        )
        with pytest.raises(Unreachable, match="handshake"):
            DimseArchive(peer, "study", RequestType.FIND).echo()


def test_a_file_that_is_no_certificate_is_a_mistake_in_the_configuration(tmp_path: Path) -> None:
    nonsense = tmp_path / "ca.pem"
    nonsense.write_text("no certificate")
    with (
        socket.create_server((LOOPBACK, 0)) as listener,
        pytest.raises(ConfigError, match=r"pacs\.tls"),
    ):
        archive(listener.getsockname()[1], Tls(str(nonsense))).echo()


def test_pending_responses_that_are_here_already_are_all_taken_without_a_rest(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS hands over one record at a time, however many have come."""
    server, several, sent = authority.issue("localhost"), 100, threading.Event()
    with socket.create_server((LOOPBACK, 0)) as listener:

        def answer() -> None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(server.cert, server.key)
            with context.wrap_socket(listener.accept()[0], server_side=True) as peer:
                for remaining in reversed(range(several)):
                    fields: dict[Tag, int | str] = {
                        Tag.FIELD: 0x8021,
                        Tag.STATUS: 0xFF00,
                        Tag.DATA_SET_TYPE: NO_DATA_SET,
                        Tag.REMAINING: remaining,
                    }
                    peer.sendall(split(1, encode(fields), None, 16384))
                sent.set()
                peer.recv(1)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        wire = Wire(socket.create_connection(listener.getsockname()))
        wire.secure(ssl.create_default_context(cafile=authority.ca), "localhost", 5)
        assert sent.wait(10)
        rested: list[float] = []
        monkeypatch.setattr(time, "sleep", rested.append)
        agreed: Any = None
        association = Association(wire, Peer(LOOPBACK, 1, "ARCHIVE", "OURS"), agreed)
        for remaining in reversed(range(several)):
            message = association.receive(lambda: float("-inf"))
            assert message.command.number(Tag.REMAINING) == remaining
            association.rest(remaining)
        wire.close()
        thread.join(10)
    assert rested == []
