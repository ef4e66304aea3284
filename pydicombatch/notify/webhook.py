"""A JSON object to a URL by POST, tried a little more than once."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from pydicombatch.core.errors import TransientError
from pydicombatch.notify.notice import Notice, body

TRIES_MORE = 2
BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Hook:
    """Whom to tell; the URL may hold a secret and is never shown."""

    url: str = field(repr=False)
    ca: str = ""  # PEM file of the authority to trust; "": the system's
    timeout: float = 10.0  # seconds of silence
    pause: float = 1.0  # seconds before it is tried again; it doubles


def post(hook: Hook, notice: Notice) -> None:
    """Send a notice; a redirection is not followed.

    Raises
    ------
    TransientError
        If it was not accepted; only the host is named in it.
    """
    retry = Retry(
        TRIES_MORE,
        backoff_factor=hook.pause,
        status_forcelist=BUSY,
        allowed_methods=None,
        raise_on_status=False,
        respect_retry_after_header=False,
    )
    try:
        with requests.Session() as session:
            session.mount("https://", HTTPAdapter(max_retries=retry))
            session.mount("http://", HTTPAdapter(max_retries=retry))
            answer = session.post(
                hook.url,
                json=body(notice),
                timeout=hook.timeout,
                allow_redirects=False,
                verify=_verify(hook),
            )
    except (requests.RequestException, OSError, ValueError) as exc:
        raise _failed(hook, type(exc).__name__) from None  # its text has the URL
    if not answer.ok or answer.is_redirect:
        raise _failed(hook, f"HTTP status {answer.status_code}")


def _verify(hook: Hook) -> Any:  # noqa: ANN401 - a flag or a path
    return hook.ca or True


def _failed(hook: Hook, why: str) -> TransientError:
    return TransientError(
        f"The webhook at {urlsplit(hook.url).hostname} did not accept the message ({why})",
        "Check notify.webhook with `pydicombatch check --notify`",
    )
