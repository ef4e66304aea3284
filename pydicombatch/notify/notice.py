"""What a notification says. Pure: counts and our own words, no line, path or value."""

from dataclasses import dataclass
from enum import StrEnum


class Occasion(StrEnum):
    """What somebody may want to hear of; the values of `notify.email.on`."""

    END = "end"  # the run came to its end, whatever it brought
    STOP = "stop"  # Ctrl-C, SIGTERM, SIGHUP
    FAILURE = "failure"  # a fatal error, or requests that are not complete
    TEST = "test"  # `check --notify`


MEANING = {
    0: "complete",
    1: "ended, some requests are not complete",
    2: "not started, the configuration is wrong",
    3: "stopped by a fatal error",
    4: "its window ended with work left",
    129: "interrupted (SIGHUP), can be resumed",
    130: "interrupted (Ctrl-C), can be resumed",
    143: "interrupted (SIGTERM), can be resumed",
}
INTERRUPTED = 128
SOME_FAILED = 1


@dataclass(frozen=True, slots=True)
class Notice:
    """How a run went."""

    project: str
    exit_code: int
    outcomes: tuple[tuple[str, int], ...] = ()  # over all runs
    requests: int = 0  # finished in this run
    instances: int = 0  # stored in this run
    bytes: int = 0  # stored in this run
    quarantined: int = 0  # over all runs
    seconds: float = 0.0
    reason: str = ""  # what ended it, one of our own sentences
    is_test: bool = False

    @property
    def occasions(self) -> frozenset[Occasion]:
        """What this is an instance of."""
        if self.is_test:
            return frozenset({Occasion.TEST})
        if self.exit_code > INTERRUPTED:
            return frozenset({Occasion.STOP})
        if self.exit_code in {2, 3}:
            return frozenset({Occasion.FAILURE})
        if self.exit_code == SOME_FAILED:
            return frozenset({Occasion.END, Occasion.FAILURE})
        return frozenset({Occasion.END})

    @property
    def meaning(self) -> str:
        """How it ended, in words."""
        if self.is_test:
            return "this is a test"
        return MEANING.get(self.exit_code, f"exit code {self.exit_code}")


def subject(notice: Notice) -> str:
    """Return the subject of an e-mail, in one line."""
    name = "".join(c for c in notice.project if c.isprintable()).strip() or "extraction"
    return f"pydicombatch: {name}: {notice.meaning}"


def text(notice: Notice) -> str:
    """Return the body of an e-mail."""
    lines = [f"{notice.project or 'The extraction'}: {notice.meaning}."]
    if notice.reason:
        lines.append(f"{notice.reason}.")
    if not notice.is_test:
        lines += [
            "",
            f"Requests finished in this run   {notice.requests}",
            *(f"  {name}, over all runs   {count}" for name, count in notice.outcomes),
            f"Instances stored in this run    {notice.instances} ({notice.bytes / 1e6:.1f} MB)",
            f"Instances quarantined           {notice.quarantined}",
            f"Minutes                         {notice.seconds / 60:.1f}",
            f"Exit code                       {notice.exit_code}",
            "",
            "`pydicombatch status CONFIG` and `pydicombatch report CONFIG` say more.",
        ]
    return "\n".join(lines) + "\n"


def body(notice: Notice) -> dict[str, object]:
    """Return the object that a webhook gets."""
    return {
        "program": "pydicombatch",
        "project": notice.project,
        "occasions": sorted(notice.occasions),
        "text": f"{subject(notice)}.",
        "exit_code": notice.exit_code,
        "reason": notice.reason,
        "outcomes": dict(notice.outcomes),
        "requests": notice.requests,
        "instances": notice.instances,
        "bytes": notice.bytes,
        "quarantined": notice.quarantined,
        "seconds": round(notice.seconds, 1),
    }
