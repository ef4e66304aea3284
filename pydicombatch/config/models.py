"""The YAML file as types, one frozen class per section; the classes are the documentation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pydicombatch.config.anonymization import QUARANTINE_DAYS, Anonymization, Retention
from pydicombatch.config.notify import Notify
from pydicombatch.config.peers import Local, Pacs
from pydicombatch.config.schedule import Schedule
from pydicombatch.config.section import Section
from pydicombatch.config.select import Select
from pydicombatch.config.types import (
    AeTitle,
    Duration,
    Element,
    FilePath,
    Kind,
    Megabytes,
    Names,
    Rate,
    Seconds,
    Template,
    Templates,
    TimeZone,
    lowered,
    wrong,
)
from pydicombatch.core.elements import parse_key
from pydicombatch.core.model import Key, RequestType
from pydicombatch.select.levels import LEVELS

__all__ = ["Anonymization", "Config", "Schedule", "TimeZone"]
TEXT = Kind("text")
STATE = ".pydicombatch"  # where the state lies by default, in the output directory


class Limits(Section):
    """What the archive can bear, over all threads."""

    requests_per_minute: Rate | None = Field(
        default=None, description="requests started in any minute"
    )
    megabytes_per_second: Rate | None = Field(
        default=None, description="data received, 1 MB = 10^6 bytes"
    )


class RequestSection(Section):
    """What is asked for."""

    type: Annotated[RequestType, BeforeValidator(lowered)] = Field(
        description="`c-find` for a list, `c-move` for the images, `c-get` for the images over the "
        "connection that asks, `c-echo` for a test"
    )
    model: Annotated[Literal["patient", "study", "psonly"], BeforeValidator(lowered)] = Field(
        default="patient",
        description="information model: Patient Root, Study Root, Patient/Study Only",
    )
    elements: tuple[Element, ...] = Field(
        default=(),
        description="elements of every request, as `Keyword`, `Keyword=value`, `(gggg,eeee)`",
    )
    elements_batch_file: FilePath | None = Field(
        default=None,
        description="CSV or .xlsx whose columns are elements and whose rows are requests",
    )
    threads: Annotated[int, Field(ge=1, le=64), Kind("number")] = Field(
        default=1, description="requests at the same time, an association each"
    )
    throttle_time: Seconds = Field(
        default=0.0, description="pause of a thread between two requests"
    )
    limits: Limits = Field(default=Limits(), description="what the archive can bear")
    mismatches: Annotated[Literal["drop", "keep"], BeforeValidator(lowered)] = Field(
        default="drop",
        description="answers of a C-FIND that were not asked for, of another level or with another "
        "value: `drop` leaves them out, `keep` keeps them; both are counted",
    )
    carry: Names = Field(
        default=(),
        description="columns of the batch file that are copied into the results, not sent",
    )
    complete: bool = Field(
        default=False,
        description="true: counts such as `NumberOfStudyRelatedSeries`, `ModalitiesInStudy` and "
        "`SOPClassesInStudy` that an archive lacks are found out by further queries (c-find)",
    )
    destination: AeTitle | None = Field(
        default=None, description="C-MOVE to this application entity; then nothing is stored here"
    )

    @property
    def keys(self) -> tuple[Key, ...]:
        """The fixed elements, in their order; a later entry for the same element wins."""
        return tuple({key.path: key for key in map(parse_key, self.elements)}.values())


class Retry(Section):
    """What happens after a failure that may pass."""

    attempts: Annotated[int, Field(ge=1, le=100), Kind("number")] = Field(
        default=3, description="how often a request is sent until it counts as failed"
    )
    wait: Duration = Field(
        default=10.0, description="pause before the second attempt; it doubles each time"
    )
    longest_wait: Duration = Field(default=300.0, description="the longest such pause")
    outage: Duration = Field(
        default=3600.0,
        description="how long an archive that was reached may be down before the run ends",
    )


class Output(Section):
    """Where the images and the results go."""

    directory: FilePath = Field(description="folder of the images and the results")
    directory_structure: Templates = Field(
        default=("PatientID", "StudyInstanceUID", "SeriesInstanceUID"),
        description="folders below it, one element each",
    )
    filename: Template = Field(
        default="SOPInstanceUID", description="element that names a file; `.dcm` is added"
    )
    database_file: FilePath | None = Field(
        default=None,
        description="CSV of results, in `directory` if relative; `library.csv` for a C-FIND and "
        "`database.csv` otherwise if not given",
    )
    library_file: FilePath | None = Field(
        default=None, description="another name for `database_file`"
    )
    decompress: bool = Field(default=False, description="true: store as Explicit VR Little Endian")
    excel_safe: bool = Field(
        default=False,
        description="true: an apostrophe in front of what a spreadsheet would take for a formula, "
        "or change as a number or a date, in the CSV files of results",
    )

    @model_validator(mode="after")
    def _has_one_results_file(self) -> "Output":
        if self.database_file and self.library_file and self.database_file != self.library_file:
            raise wrong(
                "has a database_file and a library_file that differ",
                "Keep one of them: they are two names for the CSV of results",
            )
        return self

    @property
    def results(self) -> Path | None:
        """The CSV of results; None when neither key is given."""
        named = self.database_file or self.library_file
        return self.directory / named if named else None


class State(Section):
    """Where a run keeps what it must not forget."""

    least_free: Megabytes = Field(
        default=1000.0,
        description="megabytes that must stay free on its disk; below, instances are refused and "
        "the run pauses",
    )
    directory: FilePath | None = Field(
        default=None,
        description="ledger, spool, log; if not given `.pydicombatch` in `output.directory`, or "
        "`<output.directory>.identified` beside it when images are anonymized",
    )


class Config(Section):
    """The whole file."""

    @model_validator(mode="after")
    def _selects_what_there_is(self) -> "Config":
        levels = LEVELS[self.request.model]
        if self.select is not None and self.select.level not in levels:
            raise wrong(
                f"has a select.level that request.model {self.request.model} does not have",
                f"Choose select.level from {', '.join(levels)}",
            )
        idle = {RequestType.FIND, RequestType.ECHO}
        if self.select is not None and self.request.type in idle:
            raise wrong(
                f"has a select section, but request.type {self.request.type} retrieves nothing",
                "Remove it, or set request.type to c-move",
            )
        return self

    verify: Annotated[Literal["counts", "instances"], BeforeValidator(lowered)] = Field(
        default="counts",
        description="what proves that a C-MOVE is complete: `counts` of the archive, its list of "
        "instances where they disagree; `instances`: its list always",
    )
    project: Annotated[str, TEXT] = Field(default="", description="a name for this extraction")
    pacs: Pacs = Field(description="the archive")
    local: Local = Field(description="our own application entity")
    request: RequestSection = Field(description="what is asked for")
    select: Select | None = Field(
        default=None, description="what is asked before anything is retrieved"
    )
    retry: Retry = Field(default=Retry(), description="what happens after a failure")
    schedule: Schedule = Field(default=Schedule(), description="when requests may be sent")
    anonymization: Anonymization = Field(
        default=Anonymization(), description="how images are anonymized"
    )
    output: Output = Field(description="where everything goes")
    state: State = Field(default=State(), description="where a run keeps its state")
    retention: Retention = Field(
        default=Retention(), description="how long what is identified stays there"
    )
    notify: Notify = Field(default=Notify(), description="who hears how a run went")

    @property
    def results(self) -> Path:
        """The CSV of results."""
        default = "library.csv" if self.request.type is RequestType.FIND else "database.csv"
        return self.output.results or self.output.directory / default

    @property
    def state_directory(self) -> Path:
        """Where the state lies; outside the tree that is delivered when images are anonymized."""
        if self.state.directory is not None:
            return self.state.directory
        if not self.anonymization.enabled:
            return self.output.directory / STATE
        folder = self.output.directory.absolute()
        return folder.with_name(f"{folder.name}.identified")

    @property
    def quarantine_days(self) -> float | None:
        """After how many days a quarantined instance is removed; None for never."""
        days = self.retention.quarantine_days
        return QUARANTINE_DAYS if days is None and self.anonymization.enabled else days
