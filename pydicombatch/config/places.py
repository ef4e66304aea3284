"""Where files are to go must not be where others lie."""

from collections.abc import Iterable
from pathlib import Path

from pydicombatch.config.models import Config
from pydicombatch.core.errors import Finding

REMEDY = "Set output.database_file to a file of its own in output.directory"


def misplaced(config: Config, inputs: Iterable[Path]) -> tuple[Finding, ...]:
    """Say when the results would be written over something else.

    Parameters
    ----------
    config
        The configuration.
    inputs
        Other files of the operator's: the configuration itself.
    """
    results = config.results.resolve()
    anonymization, request = config.anonymization, config.request
    given = (request.elements_batch_file, anonymization.script, anonymization.lookup_table)
    theirs = {path.resolve() for path in (*inputs, *given) if path is not None}
    output, state = config.output.directory.resolve(), config.state_directory.resolve()
    problems = []
    if results in theirs:
        problems.append("The CSV of results has the name of a file that this extraction reads")
    if results == state or results.is_relative_to(state):
        problems.append("The CSV of results lies in the state directory")
    if results == output or output.is_relative_to(results) or results.is_dir():
        problems.append("The CSV of results has the name of a directory")
    return tuple(Finding(problem, REMEDY) for problem in problems)
