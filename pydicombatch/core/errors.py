"""Everything that can go wrong, sorted by what should happen next.

PydicombatchError
├── ConfigError       the operator edits a file; nothing was sent
├── TransientError    the runner tries this request again later
│   └── Unreachable   no request was sent: the archive is down or takes no more associations
│       └── Busy      it is there, and turns us away for load
├── RequestError      the runner records why and moves to the next request
└── FatalError        the run stops; every other request would fail the same way
    └── HeldError     another run holds this extraction
"""

from dataclasses import dataclass

from pydicombatch.core.secrets import conceal


class PydicombatchError(Exception):
    """A problem and its remedy; positional, so that it survives a pickle between processes."""

    exit_code = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)

    @property
    def problem(self) -> str:
        """What is wrong, without a full stop."""
        return conceal(str(self.args[0]))

    @property
    def remedy(self) -> str:
        """What the reader can do about it, without a full stop."""
        return conceal(str(self.args[1]))

    def __str__(self) -> str:
        return conceal("{}. {}.".format(*self.args))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing wrong in a file of the operator's; `line` counts from 1, 0 is the whole file."""

    problem: str
    remedy: str
    file: str = ""
    line: int = 0
    excerpt: str = ""  # the line itself, made fit to be shown, with a mark under what is wrong

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.line else f"{self.file}: " if self.file else ""
        below = f"\n{self.excerpt}" if self.excerpt else ""
        return conceal(f"{place}{self.problem}. {self.remedy}.{below}")


class ConfigError(PydicombatchError):
    """The configuration, the batch file or the command line is wrong; all findings at once."""

    exit_code = 2

    def __init__(self, *findings: Finding) -> None:
        Exception.__init__(self, *findings)

    @classmethod
    def of(cls, problem: str, remedy: str, file: str = "", line: int = 0) -> "ConfigError":
        """Make the error of a single finding."""
        return cls(Finding(problem, remedy, file, line))

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, in the order of the file."""
        return self.args

    @property
    def problem(self) -> str:
        """What is wrong, of all findings."""
        return "; ".join(finding.problem for finding in self.findings)

    @property
    def remedy(self) -> str:
        """What to do, of all findings."""
        return "; ".join(finding.remedy for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))


class TransientError(PydicombatchError):
    """A later try of this request may well succeed."""


class Unreachable(TransientError):  # noqa: N818 - names the archive's state, as Outcome does
    """The archive is down or takes no more associations; nothing was sent, no attempt is spent."""


class Busy(Unreachable):
    """The archive rejects associations for load (PS3.8 9.3.4, transient): fewer may help."""


class RequestError(PydicombatchError):
    """The request will not succeed as it is; others may."""


class FatalError(PydicombatchError):
    """No request can succeed until somebody intervenes."""

    exit_code = 3


class HeldError(FatalError):
    """Another run holds this extraction."""

    exit_code = 5


def as_fatal(exc: BaseException) -> FatalError:
    """Make an error that stops the run of any other, without its text: it may hold a value."""
    if isinstance(exc, FatalError):
        return exc
    if isinstance(exc, PydicombatchError):
        return FatalError(exc.problem, exc.remedy)
    if isinstance(exc, MemoryError):
        return FatalError("There is not enough memory", "Use fewer request.threads")
    if isinstance(exc, RuntimeError) and "new thread" in str(exc):
        return FatalError(
            "The system does not let us start another thread",
            "Use fewer request.threads, or raise the limit of processes of this user",
        )
    return FatalError(
        f"The program failed unexpectedly ({type(exc).__name__})",
        "Start it again, it goes on where it was; report this if it happens again",
    )
