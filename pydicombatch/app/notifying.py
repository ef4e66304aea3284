"""Tells those whom the configuration names how a run went; nothing here can fail a run."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pydicombatch.config.models import Config
from pydicombatch.core.errors import ConfigError, PydicombatchError
from pydicombatch.core.log import EventLog
from pydicombatch.notify.notice import Notice
from pydicombatch.notify.webhook import Hook, post
from pydicombatch.report.run_log import RunLog
from pydicombatch.runner.preflight import Check
from pydicombatch.runner.summary import Summary

log = EventLog(__name__)


@dataclass(frozen=True, slots=True)
class Channel:
    """One way to tell somebody."""

    name: str
    where: str  # for people; no secret
    on: frozenset[str]
    tell: Callable[[Notice], None] = field(repr=False)


def channels(config: Config) -> Iterator[Channel]:
    """Yield the ways that are configured."""
    email, webhook = config.notify.email, config.notify.webhook
    if email is not None:
        from pydicombatch.notify.mail import Mailbox, send  # noqa: PLC0415 - as below

        box = Mailbox(
            email.host,
            email.port,
            email.security,
            email.sender,
            email.to,
            email.user,
            email.password.get_secret_value() if email.password else "",
            "" if email.ca is None else str(email.ca),
        )
        where = f"{len(email.to)} recipients by {email.host}:{email.port}"
        yield Channel("notify.email", where, frozenset(email.on), lambda one: send(box, one))
    if webhook is not None:
        hook = Hook(
            webhook.url.get_secret_value().strip(),
            "" if webhook.ca is None else str(webhook.ca),
            webhook.timeout,
        )
        yield Channel(
            "notify.webhook", "a web address", frozenset(webhook.on), lambda one: post(hook, one)
        )


def of_summary(config: Config, summary: Summary, exit_code: int) -> Notice:
    """Make the notice of a run that has ended."""
    counts = summary.counts
    return Notice(
        config.project,
        exit_code,
        counts.outcomes,
        summary.requests,
        summary.instances,
        summary.bytes,
        counts.quarantined,
        summary.seconds,
        summary.error.problem if summary.error else "",
    )


def of_error(config: Config, error: PydicombatchError) -> Notice:
    """Make the notice of a run that could not begin, or broke off."""
    wrong = isinstance(error, ConfigError)  # says what stands in files of the operator
    reason = "The configuration or the batch file is wrong" if wrong else error.problem
    return Notice(config.project, error.exit_code, reason=reason)


def tell(config: Config, notice: Notice) -> Iterator[PydicombatchError]:
    """Tell whoever wants to hear of this; yield what went wrong, each in a sentence.

    What went wrong stands in `run.log`, too, which the run has closed by now.
    """
    heard = {str(one) for one in notice.occasions}
    wanted = [one for one in channels(config) if one.on & heard]
    failed = [exc for one in wanted if (exc := _try(one, notice)) is not None]
    state = config.state_directory
    if failed and state.is_dir():
        with suppress(OSError), RunLog(state / "run.log"):
            for exc in failed:
                log.warning("notify.failed", reason=exc.problem)
    yield from failed


def check(config: Config, *, send_test: bool) -> Iterator[Check]:
    """Say who would be told; send a test to everybody if asked to."""
    for channel in channels(config):
        occasions = ", ".join(sorted(channel.on))
        if not send_test:
            yield Check(channel.name, f"{channel.where}, on {occasions}; not tried")
            continue
        failed = _try(channel, Notice(config.project, 0, is_test=True))
        if failed is None:
            yield Check(channel.name, f"a test was sent to {channel.where}")
        else:
            yield Check(channel.name, channel.where, failed.problem, failed.remedy, 1)


def _try(channel: Channel, notice: Notice) -> PydicombatchError | None:
    try:
        channel.tell(notice)
    except PydicombatchError as exc:
        return exc
    except Exception as exc:  # noqa: BLE001 - whatever it is, the run is over and went as it did
        return PydicombatchError(
            f"The message of {channel.name} could not be sent ({type(exc).__name__})",
            f"Check {channel.name}",
        )
    return None
