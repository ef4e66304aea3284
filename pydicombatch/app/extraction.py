"""An extraction: what a configuration asks for, and how far it is."""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from pydicombatch.app import anonymization, purging, unchanged
from pydicombatch.app.beginning import begin, plan_task, read_plan, run_selector
from pydicombatch.app.checking import look, reread
from pydicombatch.app.composition import Run, Task
from pydicombatch.app.planning import Forecast, forecast, open_ledger, plan_rules, write
from pydicombatch.app.sampling import Sample, sample
from pydicombatch.app.state import held, mark, reader, with_state_of_its_own
from pydicombatch.app.validation import doubts
from pydicombatch.config.load import load
from pydicombatch.config.models import Config
from pydicombatch.config.source import Source
from pydicombatch.core.clock import Clock, SystemClock
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.errors import Finding as Warned
from pydicombatch.core.log import EventLog
from pydicombatch.ledger.archive import put_away
from pydicombatch.ledger.ledger import Ledger
from pydicombatch.ledger.reading import LedgerReader
from pydicombatch.ledger.states import Selection
from pydicombatch.plan.requests import Plan
from pydicombatch.report.run_log import RunLog
from pydicombatch.runner.events import Event
from pydicombatch.runner.preflight import Check
from pydicombatch.runner.summary import Summary
from pydicombatch.runner.tally import RunTally
from pydicombatch.store.removal import Removed
from pydicombatch.store.tree import create
from pydicombatch.store.verify import Finding

log = EventLog(__name__)
Listener = Callable[[Event], None]


class Extraction:
    """One extraction: what a configuration asks for, and how far it is.

    Parameters
    ----------
    config
        The configuration; `from_file` reads one.
    warnings
        What is odd about it, but allowed.
    inputs
        Files that must not be written over: the configuration itself.
    source
        The file as it was written, to show its lines in findings.

    Examples
    --------
    >>> summary = Extraction.from_file("config.yml").run()  # doctest: +SKIP
    >>> summary.exit_code()  # doctest: +SKIP
    0
    """

    def __init__(
        self,
        config: Config,
        warnings: tuple[Warned, ...] = (),
        inputs: tuple[Path, ...] = (),
        source: Source | None = None,
    ) -> None:
        self.config = with_state_of_its_own(config)
        self.plan = Plan(self.config)
        self._inputs = inputs
        self._source = source or Source()
        self.warnings = warnings
        self._clock: Clock = SystemClock()
        self._stop = threading.Event()
        self._run: Run | None = None
        self._all_warnings: tuple[Warned, ...] | None = None
        self._batch_warnings: tuple[Warned, ...] = ()
        self._checked = ""  # the digest of the batch that was checked

    @classmethod
    def from_file(cls, path: str | Path, environ: Mapping[str, str] = os.environ) -> "Extraction":
        """Read a configuration.

        Raises
        ------
        ConfigError
            With everything that is wrong in it.
        """
        loaded = load(Path(path), environ)
        return cls(loaded.config, loaded.warnings, (Path(path),), loaded.source)

    def validate(self) -> tuple[Warned, ...]:
        """Check the configuration with its batch file; return all warnings.

        Raises
        ------
        ConfigError
            With everything that is wrong; nothing has been sent then.
        """
        if self._all_warnings is None:
            ledger = self.config.state_directory / "ledger.sqlite"
            self._checked = unchanged.digest(self.config)
            known = unchanged.remembered(ledger, self._checked)
            found, batch = doubts(self.plan, self._inputs, self._source, known)
            self._batch_warnings = batch
            self._all_warnings = (*self.warnings, *found, *batch)
        return self._all_warnings

    def run(
        self,
        *,
        selection: Selection = Selection.ALL,
        restart: bool = False,
        accept_changes: bool = False,
        limit: int | None = None,
        stop_at_window_end: bool = False,
        plan: Path | None = None,
        on_event: Listener | None = None,
    ) -> Summary:
        """Carry out the requests that are left; return how it went.

        Parameters
        ----------
        selection
            Which requests: by default what is pending, and what failed before, once more.
        restart
            Put the ledger away and ask for everything again; files that are there are recognised.
        accept_changes
            Go on although what decides the result has changed since the last run.
        limit
            The most requests to carry out.
        stop_at_window_end
            End, instead of waiting, outside the windows of the schedule.
        plan
            A CSV of `look_ahead` that was reviewed: exactly what it lists is retrieved.
        on_event
            Hears what happens, one event at a time, from any thread.

        Raises
        ------
        ConfigError
            Before anything is sent, if the configuration cannot be carried out.
        HeldError
            If another run holds this extraction.
        FatalError
            If the state directory or the output directory cannot be used. An error that ends a
            run under way is in the summary.
        """
        self.validate()
        reviewed = read_plan(plan, self.config, self.plan)
        state = self.config.state_directory
        with ExitStack() as stack:
            self._hold(stack)
            if restart:
                put_away(state, self._clock.now())
            stack.enter_context(RunLog(state / "run.log"))
            ledger = Ledger(state / "ledger.sqlite")
            stack.callback(ledger.close)
            purging.forget(state, self.config.quarantine_days)
            number = begin(
                ledger,
                self.config,
                self.plan,
                self._clock,
                reviewed,
                checked=(self._checked, self._batch_warnings),
                accept=accept_changes,
            )
            count = ledger.select(number, selection, planned=reviewed is not None)
            most = count if limit is None else min(count, limit)
            task = Task(
                self.config,
                self.plan,
                ledger,
                self._clock,
                number,
                most,
                limit,
                stop_at_window_end,
                selector=run_selector(self.config, ledger, self._clock, reviewed),
            )
            return self._carry_out(task, on_event)

    def look_ahead(
        self,
        *,
        output: Path | None = None,
        stop_at_window_end: bool = False,
        on_event: Listener | None = None,
    ) -> tuple[Summary, Forecast]:
        """Ask what every row means and what retrieving it would take; retrieve nothing.

        `output` is a CSV to write them to, for a review; all else is as in `run`.
        """
        self.validate()
        plan_rules(self.config)
        with ExitStack() as stack:
            self._hold(stack)
            stack.enter_context(RunLog(self.config.state_directory / "run.log"))
            ledger = open_ledger(self.config)
            stack.callback(ledger.close)
            task = plan_task(self.config, self.plan, ledger, self._clock, stop_at_window_end)
            summary = self._carry_out(task, on_event)
            if output is not None:
                write(output, self.config, ledger)
            return summary, forecast(self.config, ledger, self._clock.now())

    def _hold(self, stack: ExitStack) -> None:
        """Make the directories, and let no other run use them meanwhile."""
        create(self.config.output.directory)
        create(self.config.state_directory, "state.directory")
        stack.enter_context(held(self.config.state_directory))
        mark(self.config.state_directory, self.config.request.type)

    def _carry_out(self, task: Task, on_event: Listener | None) -> Summary:
        self._run = Run(task, RunTally(on_event), self._stop)
        if self._stop.is_set():
            self._run.engine.stop()
        summary = self._run.carry_out()
        task.ledger.end_run(task.number, summary.exit_code(), self._clock.now())
        return summary

    def stop(self) -> None:
        """Send nothing more; what runs may finish. From any thread or signal handler."""
        self._stop.set()
        if self._run:
            self._run.engine.stop()

    def halt(self) -> None:
        """Send nothing more and drop what runs. From any thread or signal handler."""
        self._stop.set()
        if self._run:
            self._run.engine.halt()

    def ledger(self) -> LedgerReader:
        """Open the ledger to ask how the extraction stands; the caller closes it.

        Raises
        ------
        ConfigError
            If nothing was run yet.
        """
        return reader(self.config.state_directory)

    @property
    def anonymizes(self) -> bool:
        """Whether instances are anonymized before they are stored."""
        return anonymization.anonymizes(self.config)

    @property
    def columns(self) -> tuple[tuple[str, str | None], ...]:
        """The columns of the batch file: name, canonical path; those of the keys without a file."""
        if self.plan.batch is None:
            return tuple((path, path) for path in self.plan.columns)
        return tuple((column.name, column.path) for column in self.plan.batch.columns)

    def verify(self, ledger: LedgerReader) -> Iterator[tuple[str, Finding | None]]:
        """Read every stored file again, and look for others beside them.

        Yields paths below the output directory, and what is odd about each; None: nothing.
        """
        yield from reread(self.config, ledger)

    def check(self, *, loop: bool = False) -> Iterator[Check]:
        """Look at everything a run needs, without sending any request but a C-ECHO.

        With `loop`, one small series is retrieved back to us, too, and thrown away.

        Raises
        ------
        ConfigError
            With everything that is wrong in the configuration and the batch file.
        """
        self.validate()
        yield from look(self.config, self.plan, self._clock.now().date() if loop else None)

    def purge(self, *, everything: bool = False) -> Iterator[tuple[str, Removed]]:
        """Remove what is identified from the state directory; see `purging.purge`."""
        yield from purging.purge(self.config.state_directory, everything=everything)

    def sample(self, instances: int) -> Sample:
        """Retrieve a few instances, and say what anonymization would do to each element.

        Raises
        ------
        ConfigError
            If nothing is anonymized, or the configuration is wrong.
        PydicombatchError
            If a run holds this extraction, or the archive, the port or the state cannot be used.
        """
        self.validate()
        if not self.anonymizes:
            raise ConfigError.of(
                "A sample shows what anonymization does, but nothing would be anonymized",
                "Set anonymization.enabled to true and request.type to c-move or c-get",
            )
        return sample(self.config, self.plan, self._clock, instances)
