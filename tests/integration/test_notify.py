"""Notifications, to a real SMTP server and a real HTTP server on this machine."""

import json
import signal
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from pydicombatch.core.errors import TransientError
from pydicombatch.notify.mail import Mailbox, send
from pydicombatch.notify.notice import Notice
from pydicombatch.notify.webhook import Hook, post
from tests.conftest import OrthancFactory
from tests.support.extraction import AET, Ended, Job, command
from tests.support.instances import files, specs
from tests.support.ports import LOOPBACK, free_port

PASSWORD, TOKEN = "pass-word-canary", "url-token-canary"
PATIENT = "P00001"
NOTICE = Notice("Cohort", 1, (("complete", 9), ("failed", 1)), 10, 900, 4_500_000, 0, 61.0)


@dataclass
class Inbox:
    """What an SMTP server has taken."""

    port: int
    messages: list[Any] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.messages.append((message_from_bytes(envelope.content), envelope, session))
        return "250 taken"

    @property
    def text(self) -> str:
        return "\n".join(one.as_string() for one, _, _ in self.messages)


class _Encrypted(Controller):
    """Offers STARTTLS, and demands it before anybody logs in."""

    def __init__(self, inbox: Inbox, context: ssl.SSLContext) -> None:
        super().__init__(inbox, hostname=LOOPBACK, port=inbox.port)
        self._context = context

    def factory(self) -> SMTP:
        return SMTP(
            self.handler,
            tls_context=self._context,
            require_starttls=True,
            auth_required=True,
            authenticator=_authenticate,
        )


def _authenticate(server: Any, session: Any, envelope: Any, way: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and data.password == PASSWORD.encode()
    return AuthResult(success=known, handled=known)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def inbox(authority: trustme.CA) -> Iterator[Inbox]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    taken = Inbox(free_port())
    controller = _Encrypted(taken, context)
    controller.start()
    yield taken
    controller.stop()


class _EncryptedFromTheFirstByte(Controller):
    """Speaks TLS before anything else, and demands a login."""

    def factory(self) -> SMTP:
        # aiosmtpd counts STARTTLS alone as TLS; here nothing else than TLS gets through
        return SMTP(
            self.handler, auth_require_tls=False, auth_required=True, authenticator=_authenticate
        )


@pytest.fixture
def inbox_465(authority: trustme.CA) -> Iterator[Inbox]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    taken = Inbox(free_port())
    controller = _EncryptedFromTheFirstByte(
        taken, hostname=LOOPBACK, port=taken.port, ssl_context=context
    )
    controller.start()
    yield taken
    controller.stop()


@dataclass
class Site:
    """What an HTTP server has taken, and how it answers."""

    port: int = 0
    answers: list[int] = field(default_factory=list)  # statuses; 200 when there are none left
    headers: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}/hooks/{TOKEN}"


@contextmanager
def serving(site: Site, context: ssl.SSLContext | None = None) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            site.taken.append((self.path, json.loads(data)))
            self.send_response(site.answers.pop(0) if site.answers else 200)
            for name, value in site.headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((LOOPBACK, 0), Handler)
    site.port = server.server_port
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as started:
        yield started


def email(inbox: Inbox, ca: Path, **more: object) -> dict[str, object]:
    return {
        "host": LOOPBACK,
        "port": inbox.port,
        "ca": str(ca),
        "user": "batch",
        "password": "${SMTP_PASSWORD}",
        "from": "batch@example.org",
        "to": "one@example.org, two@example.org",
        **more,
    }


def job(folder: Path, archive: Any, port: int, **notify: object) -> Job:
    rows = [["PatientID"], [PATIENT], ["P99999"]]
    elements = ["QueryRetrieveLevel=PATIENT"]
    more = {"retry": {"attempts": 1}, "notify": notify}
    request = {"model": "patient"}
    return Job(folder, archive, port, "c-move", elements, rows, request=request, **more)


def run(made: Job, name: str = "run", *options: str, password: str = PASSWORD) -> Ended:
    environ = {"SMTP_PASSWORD": password}
    return command(name, str(made.config), *options, cwd=made.folder, environ=environ)


def test_a_run_that_ends_is_told_by_mail_and_to_the_webhook_without_any_patient(
    start_orthanc: OrthancFactory, tmp_path: Path, inbox: Inbox, ca: Path, site: Site
) -> None:
    port = free_port()
    archive = start_orthanc([(AET, port)])
    archive.load(files(specs(instances=3)))
    made = job(tmp_path, archive, port, email=email(inbox, ca), webhook={"url": site.url})
    ended = run(made)
    assert ended.code in {0, 1}, ended.text
    ((message, envelope, session),) = inbox.messages
    assert session.ssl is not None, "the mail was encrypted"
    assert envelope.rcpt_tos == ["one@example.org", "two@example.org"]
    assert message["Subject"].startswith("pydicombatch: extraction: ")
    body = message.get_payload(decode=True).decode()
    assert "Instances stored in this run    3 (" in body
    assert f"Exit code                       {ended.code}" in body
    ((path, told),) = site.taken
    assert path == f"/hooks/{TOKEN}"
    assert (told["exit_code"], told["requests"], told["instances"]) == (ended.code, 2, 3)
    assert sum(told["outcomes"].values()) == 2
    for text in (inbox.text, body, json.dumps(told)):
        assert PATIENT not in text
        assert "P99999" not in text
        assert "Synthetic" not in text
        assert str(tmp_path) not in text


def test_a_fatal_error_is_told_and_a_failing_notification_changes_no_exit_code(
    tmp_path: Path, inbox: Inbox, ca: Path, site: Site
) -> None:
    site.answers = [404]
    archive = type("Nobody", (), {"port": free_port(), "aet": "NOBODY"})()
    only = {"on": ["failure"]}
    made = job(
        tmp_path,
        archive,
        free_port(),
        email=email(inbox, ca, **only),
        webhook={"url": site.url, **only},
    )
    ended = run(made, password="wrong")
    assert ended.code == 3, ended.text
    assert inbox.messages == []
    assert len(site.taken) == 1, "404 is not tried again"
    assert site.taken[0][1]["occasions"] == ["failure"]
    assert "the server does not accept user and password" in ended.err
    assert f"The webhook at {LOOPBACK} did not accept the message (HTTP status 404)" in ended.err
    log = (made.state / "run.log").read_text(encoding="utf-8")
    assert log.count("notify.failed") == 2
    for secret in ("wrong", PASSWORD, TOKEN):
        assert secret not in ended.text
        assert secret not in log


def test_a_run_that_is_stopped_by_sigterm_is_told_as_a_stop(
    start_orthanc: OrthancFactory, tmp_path: Path, site: Site
) -> None:
    archive = start_orthanc([])
    made = job(tmp_path, archive, free_port(), webhook={"url": site.url, "on": "stop"})
    hour = (datetime.now(UTC).hour + 12) % 24
    made.change("schedule", enabled=True, start_time=f"{hour}:00", end_time=f"{hour}:01")
    with made.start() as running:
        assert running.says("PAUSED")
        running.signal(signal.SIGTERM)
        assert running.wait().code == 143
    ((_, told),) = site.taken
    assert (told["exit_code"], told["occasions"]) == (143, ["stop"])
    assert told["outcomes"] == {"pending": 2}


def test_who_wants_to_hear_of_stops_alone_does_not_hear_of_an_end(
    tmp_path: Path, site: Site
) -> None:
    archive = type("Nobody", (), {"port": free_port(), "aet": "NOBODY"})()
    made = job(tmp_path, archive, free_port(), webhook={"url": site.url, "on": "stop"})
    assert run(made).code == 3
    assert site.taken == []


def test_check_says_who_would_be_told_and_sends_a_test_when_asked_to(
    tmp_path: Path, inbox: Inbox, ca: Path, site: Site
) -> None:
    archive = type("Nobody", (), {"port": free_port(), "aet": "NOBODY"})()
    made = job(tmp_path, archive, free_port(), email=email(inbox, ca), webhook={"url": site.url})
    said = run(made, "check").out
    assert f"ok    notify.email: 2 recipients by {LOOPBACK}:{inbox.port}, on end, fail" in said
    assert "ok    notify.webhook: a web address, on end, failure, stop; not tried" in said
    assert (inbox.messages, site.taken) == ([], [])
    said = run(made, "check", "--notify").out
    assert "ok    notify.email: a test was sent to 2 recipients" in said
    assert "ok    notify.webhook: a test was sent to a web address" in said
    assert "this is a test" in inbox.text
    assert site.taken[0][1]["occasions"] == ["test"]
    failing = run(made, "check", "--notify", password="wrong").text
    assert "FAIL  notify.email" in failing
    assert not any(one in failing + said for one in (PASSWORD, TOKEN, "wrong"))


def test_a_server_without_encryption_or_with_a_strange_certificate_gets_no_password(
    inbox: Inbox, tmp_path: Path
) -> None:
    plain = Inbox(free_port())
    controller = Controller(plain, hostname=LOOPBACK, port=plain.port)
    controller.start()
    try:
        for port, why in ((plain.port, "offers no STARTTLS"), (inbox.port, "certificate of")):
            box = Mailbox(LOOPBACK, port, "starttls", "a@b", ("c@d",), "batch", PASSWORD)
            with pytest.raises(TransientError, match=why) as caught:
                send(box, NOTICE)
            assert PASSWORD not in str(caught.value) + repr(box)
    finally:
        controller.stop()
    assert (plain.messages, inbox.messages) == ([], [])


@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_an_e_mail_goes_by_tls_of_either_kind_and_a_strange_certificate_is_a_sentence(
    start_orthanc: OrthancFactory,
    tmp_path: Path,
    inbox: Inbox,
    inbox_465: Inbox,
    ca: Path,
    security: str,
) -> None:
    ours = inbox if security == "starttls" else inbox_465
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    port = free_port()
    archive = start_orthanc([(AET, port)])
    archive.load(files(specs(instances=2)))
    trusting = job(tmp_path, archive, port, email=email(ours, ca, security=security))
    ended = run(trusting)
    assert len(ours.messages) == 1, ended.text
    assert PATIENT not in ours.text
    assert "certificate" not in ended.text
    trusting.change("notify", email=email(ours, stranger, security=security))
    again = run(trusting, "run", "--restart")
    assert again.code == ended.code == 1, "one of the patients is not there"
    assert len(ours.messages) == 1
    (line,) = [one for one in again.err.splitlines() if "certificate" in one]
    assert line.endswith(
        f"The certificate of {LOOPBACK}:{ours.port} is not one that we trust for it, and the "
        "e-mail was not sent. Name the authority that has issued it in notify.email.ca, and the "
        "server in notify.email.host as its certificate does."
    )
    assert PASSWORD not in again.text + (trusting.state / "run.log").read_text(encoding="utf-8")


@pytest.mark.parametrize(("asked", "offered"), [("tls", "starttls"), ("starttls", "tls")])
def test_the_wrong_kind_of_tls_ends_in_time_and_sends_nothing(
    inbox: Inbox, inbox_465: Inbox, ca: Path, asked: str, offered: str
) -> None:
    there = inbox if offered == "starttls" else inbox_465
    box = Mailbox(
        LOOPBACK, there.port, asked, "a@b", ("c@d",), "batch", PASSWORD, str(ca), timeout=2
    )
    with pytest.raises(TransientError, match="was not accepted by") as caught:
        send(box, NOTICE)
    assert PASSWORD not in str(caught.value)
    assert there.messages == []


def test_a_webhook_that_is_busy_is_tried_again_but_not_for_ever(site: Site) -> None:
    site.answers = [503, 429]
    post(Hook(site.url, pause=0), NOTICE)
    assert len(site.taken) == 3
    site.answers = [500] * 9
    with pytest.raises(TransientError, match="HTTP status 500"):
        post(Hook(site.url, pause=0), NOTICE)
    assert len(site.taken) == 6


def test_a_redirection_is_not_followed(site: Site) -> None:
    """S18."""
    with serving(Site()) as other:
        site.answers, site.headers = [302], {"Location": other.url}
        with pytest.raises(TransientError, match="HTTP status 302"):
            post(Hook(site.url), NOTICE)
        assert other.taken == []


def test_https_goes_to_a_server_of_the_named_authority_only(
    authority: trustme.CA, ca: Path
) -> None:
    """S17."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(LOOPBACK).configure_cert(context)
    with serving(Site(), context) as site:
        url = site.url.replace("http:", "https:")
        post(Hook(url, str(ca)), NOTICE)
        assert len(site.taken) == 1
        with pytest.raises(TransientError, match="SSLError") as caught:
            post(Hook(url, pause=0), NOTICE)
        assert TOKEN not in str(caught.value) + repr(caught.value.__cause__)
