"""DICOM TLS by the BCP 195 profile, with certificates made for the test."""

import socket
import ssl
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from pydicombatch.core.errors import ConfigError
from pydicombatch.core.file_meta import file_meta
from pydicombatch.receive.server.settings import TlsFiles
from tests.support import hand_made as raw
from tests.support.receiving import receiver


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def authority(folder: Path, name: str) -> None:
    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}"),
        *("-keyout", str(folder / f"{name}.key"), "-out", str(folder / f"{name}.pem")),
    )


def certificate(folder: Path, name: str, ca: str, days: str = "2") -> None:
    request = str(folder / f"{name}.csr")
    openssl(
        *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-out", request),
        *("-keyout", str(folder / f"{name}.key")),
    )
    extensions = folder / "san.cnf"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl(
        *("x509", "-req", "-in", request, "-CA", str(folder / f"{ca}.pem"), "-days", days),
        *("-CAkey", str(folder / f"{ca}.key"), "-CAcreateserial"),
        *("-extfile", str(extensions), "-out", str(folder / f"{name}.pem")),
    )


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    authority(folder, "ca")
    authority(folder, "other")
    certificate(folder, "server", "ca")
    certificate(folder, "client", "ca")
    certificate(folder, "stranger", "other")
    certificate(folder, "expired", "ca", days="-1")
    return folder


def files(pki: Path, *, mutual: bool = True) -> TlsFiles:
    ca = str(pki / "ca.pem") if mutual else ""
    return TlsFiles(str(pki / "server.pem"), str(pki / "server.key"), ca)


def client_context(pki: Path, name: str = "client") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(pki / "ca.pem"))
    if name:
        context.load_cert_chain(str(pki / f"{name}.pem"), str(pki / f"{name}.key"))
    return context


def connect(port: int, context: ssl.SSLContext) -> raw.Peer:
    peer = raw.Peer(port)
    try:
        peer.socket = context.wrap_socket(peer.socket, server_hostname="localhost")
    except BaseException:
        peer.socket.close()
        raise
    return peer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_right_certificates_are_served_also_with_large_objects(
    tmp_path: Path, pki: Path, version: ssl.TLSVersion
) -> None:
    context = client_context(pki)
    context.minimum_version = context.maximum_version = version
    data = raw.data_set(pixels=5_000_000)
    with (
        receiver(tmp_path / "s", process=True, tls=files(pki)) as heard,
        connect(heard.port, context) as peer,
    ):
        peer.associate()
        assert peer.store(data) == 0
        assert peer.echo() == 0
        assert heard.content(heard.wait(1)[0]) == data


@pytest.mark.parametrize("name", ["", "stranger", "expired"])
def test_the_wrong_certificate_or_none_is_refused(tmp_path: Path, pki: Path, name: str) -> None:
    with receiver(tmp_path / "s", tls=files(pki)) as heard:

        def associate() -> None:  # TLS 1.3 tells at the first read
            with connect(heard.port, client_context(pki, name)) as peer:
                peer.associate()

        with pytest.raises((ssl.SSLError, ConnectionError)):
            associate()
        with connect(heard.port, client_context(pki)) as peer:
            peer.associate()
            assert peer.echo() == 0


def test_without_an_authority_of_ours_nobody_needs_a_certificate(tmp_path: Path, pki: Path) -> None:
    with (
        receiver(tmp_path / "s", tls=files(pki, mutual=False)) as heard,
        connect(heard.port, client_context(pki, "")) as peer,
    ):
        peer.associate()
        assert peer.echo() == 0


@pytest.mark.parametrize(
    "arguments", [("-tls1_1",), ("-tls1_2", "-cipher", "AES128-SHA:AES256-GCM-SHA384")]
)
def test_old_versions_and_ciphers_are_refused(
    tmp_path: Path, pki: Path, arguments: tuple[str, ...]
) -> None:
    """S17."""
    with receiver(tmp_path / "s", tls=files(pki, mutual=False)) as heard:
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{heard.port}", *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert "Cipher is (NONE)" in done.stdout or "no protocols available" in done.stderr


def test_silent_and_talkative_plain_clients_on_the_tls_port_block_nobody(
    tmp_path: Path, pki: Path
) -> None:
    with receiver(tmp_path / "s", tls=files(pki)) as heard:
        silent = [socket.create_connection(("127.0.0.1", heard.port)) for _ in range(20)]
        plain = raw.Peer(heard.port)
        plain.send(raw.associate_rq())
        with connect(heard.port, client_context(pki)) as peer:
            peer.associate()
            assert peer.echo() == 0
        with suppress(ConnectionResetError):
            assert plain.answer()[0] != 2
        for one in (*silent, plain.socket):
            one.close()


def test_storescu_stores_over_tls(tmp_path: Path, pki: Path) -> None:
    source = tmp_path / "in.dcm"
    source.write_bytes(file_meta(raw.CT, raw.UID, raw.EXPLICIT) + raw.data_set())
    with receiver(tmp_path / "s", tls=files(pki)) as heard:
        command = [
            *("/usr/bin/storescu", "+tls", str(pki / "client.key"), str(pki / "client.pem")),
            *("+cf", str(pki / "ca.pem"), "-aec", "OURS"),
            *("127.0.0.1", str(heard.port), str(source)),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert heard.content(heard.wait(1)[0]) == raw.data_set()


def test_certificates_that_cannot_be_used_are_a_configuration_error(
    tmp_path: Path, pki: Path
) -> None:
    wrong = TlsFiles(str(pki / "server.pem"), str(pki / "client.key"))
    for tls in (wrong, TlsFiles("nowhere.pem", "nowhere.key")):
        one = receiver(tmp_path / "s", process=True, tls=tls)
        with pytest.raises(ConfigError, match="certificates"):
            one.__enter__()
