"""All that can be said about the requests before the first one leaves."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.core.model import Request
from pydicombatch.plan import selecting
from pydicombatch.plan.requests import Entry, Plan
from pydicombatch.plan.rules import Issue, issues

MOST_FINDINGS = 50
LINES_SHOWN = 5


@dataclass
class _Lines:
    """How many lines something was seen on, and the first of them."""

    first: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, text: str) -> None:
        self.count += 1
        if len(self.first) < LINES_SHOWN:
            self.first.append(text)

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return f"{', '.join(self.first)}{more}"


class _Review:
    """What one pass over the batch file has found; holds 60 bits a row, never the row."""

    def __init__(self, file: str, issues: Callable[[Request], Iterable[Issue]]) -> None:
        self._file, self._issues = file, issues
        self.errors: list[Finding] = []
        self._seen: dict[int, int] = {}
        self._twins = _Lines()
        self._doubts: dict[Issue, tuple[int, _Lines]] = {}

    def look_at(self, entry: Entry) -> None:
        """Judge a row."""
        self.errors.extend(entry.findings)
        if entry.request is None:
            return
        for issue in self._issues(entry.request):
            self._note(issue, entry.line)
        for path in entry.emptied:
            self._note(_emptied(path), entry.line)
        for path in entry.redated:
            self._note(_redated(path), entry.line)
        short = int(entry.request.identity[:15], 16)
        first = self._seen.setdefault(short, entry.line)
        if first != entry.line:
            self._twins.add(f"{entry.line} (as {first})")

    def _note(self, issue: Issue, line: int) -> None:
        if issue.is_error:
            where = line if self._file else 0
            self.errors.append(Finding(issue.problem, issue.remedy, self._file, where))
            return
        self._doubts.setdefault(issue, (line, _Lines()))[1].add(str(line))

    def warnings(self) -> tuple[Finding, ...]:
        """Return what is doubtful, each once."""
        found = [self._doubt(issue, *where) for issue, where in self._doubts.items()]
        if self._twins.count:
            problem = f"{self._twins.count} rows ask the same as an earlier one: {self._twins}"
            remedy = "Nothing needs to be done: each is asked for once"
            found.append(Finding(problem, remedy, self._file))
        return tuple(found)

    def _doubt(self, issue: Issue, line: int, lines: _Lines) -> Finding:
        if not self._file:
            return Finding(issue.problem, issue.remedy)
        rows = f" (line {lines})" if lines.count == 1 else f" (lines {lines})"
        return Finding(issue.problem + rows, issue.remedy, self._file, line)


def check(plan: Plan) -> tuple[Finding, ...]:
    """Look at every request once.

    Returns
    -------
    tuple
        Warnings: what is allowed but may surprise, each told once for all its rows.

    Raises
    ------
    ConfigError
        If a request cannot be sent or would ask for everything; up to 50 findings.
    """
    charset, select = plan.config.pacs.charset, plan.config.select
    if select is None:
        review = _Review(plan.file, lambda request: issues(request, charset))
    else:
        review = _Review(plan.file, lambda request: selecting.issues(request, charset, select))
    for entry in plan.entries():
        review.look_at(entry)
        if len(review.errors) > MOST_FINDINGS:
            break
    if len(review.errors) > MOST_FINDINGS:
        more = Finding("There are more findings", "Correct these first", plan.file)
        raise ConfigError(*review.errors[:MOST_FINDINGS], more)
    if review.errors:
        raise ConfigError(*review.errors)
    return review.warnings()


def _redated(path: str) -> Issue:
    return Issue(
        f"{path} is not written as DICOM writes dates; it is sent as YYYYMMDD",
        "Write 20200102 in place of 2020-01-02, and 20200102-20200203 for a range",
    )


def _emptied(path: str) -> Issue:
    return Issue(
        f"An empty cell takes away the value that request.elements gives to {path}",
        "Fill the cell, or remove the column",
    )
