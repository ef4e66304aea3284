"""An e-mail by SMTP (RFC 5321), encrypted by STARTTLS (RFC 3207) or from the first byte."""

import smtplib
import ssl
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from pydicombatch.core.errors import TransientError
from pydicombatch.notify.notice import Notice, subject, text


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Where e-mails are handed in, and to whom they go."""

    host: str
    port: int
    security: str  # starttls, tls, none
    sender: str
    recipients: tuple[str, ...]
    user: str = ""
    password: str = field(default="", repr=False)
    ca: str = ""  # PEM file of the authority to trust; "": the system's
    timeout: float = 20.0  # seconds


def send(box: Mailbox, notice: Notice) -> None:
    """Send a notice.

    Raises
    ------
    TransientError
        If it was not accepted; no text of the server is in it, nor the password.
    """
    message = EmailMessage()
    message["Subject"] = subject(notice)
    message["From"], message["To"] = box.sender, ", ".join(box.recipients)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="pydicombatch")
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office reply
    message.set_content(text(notice))
    try:
        with closing(_Session(box)) as session:
            session.server.send_message(message)
    except smtplib.SMTPAuthenticationError as exc:
        raise _failed(box, "the server does not accept user and password") from exc
    except ssl.SSLCertVerificationError as exc:
        raise TransientError(
            f"The certificate of {box.host}:{box.port} is not one that we trust for it, and the "
            "e-mail was not sent",
            "Name the authority that has issued it in notify.email.ca, and the server in "
            "notify.email.host as its certificate does",
        ) from exc
    except smtplib.SMTPNotSupportedError as exc:
        raise _failed(box, "the server offers no STARTTLS, or no login") from exc
    except (smtplib.SMTPException, OSError, ValueError) as exc:
        raise _failed(box, type(exc).__name__) from exc


class _Session:
    """A connection on which the sender is known."""

    def __init__(self, box: Mailbox) -> None:
        context = ssl.create_default_context(cafile=box.ca or None)
        self.server: smtplib.SMTP
        if box.security == "tls":
            self.server = smtplib.SMTP_SSL(box.host, box.port, timeout=box.timeout, context=context)
        else:
            self.server = smtplib.SMTP(box.host, box.port, timeout=box.timeout)
        self._safely(lambda: self._prepare(box, context))

    def _prepare(self, box: Mailbox, context: ssl.SSLContext) -> None:
        if box.security == "starttls":
            self.server.starttls(context=context)  # an error when it is not offered: no fallback
        if box.user:
            self.server.login(box.user, box.password)

    def _safely(self, act: Callable[[], None]) -> None:
        try:
            act()
        except BaseException:
            self.server.close()
            raise

    def close(self) -> None:
        """Say goodbye; the message has been accepted or not by now."""
        try:
            self.server.quit()
        except (smtplib.SMTPException, OSError):
            self.server.close()


def _failed(box: Mailbox, why: str) -> TransientError:
    return TransientError(
        f"The e-mail was not accepted by {box.host}:{box.port} ({why})",
        "Check notify.email with `pydicombatch check --notify`",
    )
