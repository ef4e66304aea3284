"""The configuration to begin with: everything that is needed, and a word on what can be added."""

import re
from dataclasses import dataclass
from typing import Literal, get_args

import yaml

Type = Literal["c-find", "c-move", "c-get", "c-echo"]
Level = Literal["PATIENT", "STUDY", "SERIES"]
TYPES = get_args(Type)
LEVELS = get_args(Level)
KEYS = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}
RETURNS = {  # what a list is good for, at each level
    "PATIENT": ("PatientName", "NumberOfPatientRelatedStudies"),
    "STUDY": (
        "StudyDate", "StudyDescription", "ModalitiesInStudy", "StudyInstanceUID",
        "NumberOfStudyRelatedInstances",
    ),
    "SERIES": (
        "StudyDate", "Modality", "SeriesDescription", "StudyInstanceUID", "SeriesInstanceUID",
        "NumberOfSeriesRelatedInstances",
    ),
}  # fmt: skip
EXAMPLES = {
    "PatientID": "EXAMPLE-1",
    "StudyInstanceUID": "1.2.3.4",
    "SeriesInstanceUID": "1.2.3.4.5",
}
MARGIN = 30  # where remarks begin
_REMARK = re.compile(r"^( *[^\s#][^#\n]*?) {2,}(# .*)$", re.MULTILINE)
_PLAIN = re.compile(r"[A-Za-z0-9_./][\w./-]*")


@dataclass(frozen=True, slots=True)
class Answers:
    """What only the operator knows."""

    type: Type
    hostname: str
    port: int
    aet: str
    local_aet: str
    local_port: int
    level: Level
    batch_file: str
    directory: str


def columns(answers: Answers) -> tuple[str, ...]:
    """Return the columns of the batch file that goes with a configuration."""
    if answers.type == "c-find":
        return ("PatientID",)
    names = list(KEYS)
    above = names[1 : names.index(answers.level)]  # the patient is not needed in Study Root
    return (*(KEYS[name] for name in above), KEYS[answers.level])


def batch(answers: Answers) -> str:
    """Return a batch file with one row that no archive holds."""
    names = columns(answers)
    return "\n".join([",".join(names), ",".join(EXAMPLES[name] for name in names), ""])


def starter(answers: Answers) -> str:
    """Return the text of a configuration; it loads without a finding if the answers are sound."""
    parts = [_head(answers), _pacs(answers), _local(answers), _request(answers)]
    if answers.type != "c-echo":
        parts.append(_SCHEDULE)
    parts.append(_output(answers))
    return _REMARK.sub(lambda found: f"{found[1]:<{MARGIN}} {found[2]}", "\n".join(parts))


def _head(answers: Answers) -> str:
    what = {
        "c-find": "A list of what the archive holds of the rows of the batch file.",
        "c-move": "The images of every row of the batch file.",
        "c-get": "The images of every row of the batch file, over the connection that asks.",
        "c-echo": "A test of the connection to the archive.",
    }[answers.type]
    return (
        f"# {what}\n"
        "# Look before you run it:  pydicombatch check, with the name of this file behind it.\n"
        "# ${NAME} in a value is taken from the environment. All settings: docs/configuration.md\n"
    )


def _pacs(answers: Answers) -> str:
    return (
        "pacs:                        # the archive; its administrator knows these three\n"
        f"  hostname: {_scalar(answers.hostname)}\n"
        f"  port: {answers.port}\n"
        f"  aet: {_scalar(answers.aet)}\n"
    )


def _local(answers: Answers) -> str:
    port = {
        "c-move": "# the archive sends to this port: let it be registered and open",
    }.get(answers.type, "# stays closed: nothing is sent to us")
    return (
        "local:                       # this machine\n"
        f"  aet: {_scalar(answers.local_aet)}  # the title under which the archive knows us\n"
        f"  port: {answers.local_port}  {port}\n"
    )


def _request(answers: Answers) -> str:
    if answers.type == "c-echo":
        return "request:\n  type: c-echo\n"
    model = "patient" if answers.level == "PATIENT" else "study"
    lines = [
        "request:",
        f"  type: {answers.type}",
        f"  model: {model}  # Patient Root, or Study Root",
        f"  elements_batch_file: {_scalar(answers.batch_file)}  # a row a request, a column a key",
        "  elements:                  # of every request; with a value: what must match",
        f"    - QueryRetrieveLevel={answers.level}",
    ]
    if answers.type == "c-find":
        lines += ["    # without a value: what the list shall say of each match"]
        lines += [f"    - {name}" for name in RETURNS[answers.level]]
    lines += [
        "  threads: 1                 # requests at the same time",
        "  throttle_time: 1           # seconds of rest between two of them",
        "  # limits:",
        "  #   requests_per_minute: 20",
        "  #   megabytes_per_second: 10",
    ]
    return "\n".join([*lines, ""])


_SCHEDULE = """\
schedule:
  enabled: false               # true: requests leave only between the two times
  start_time: 19:00
  end_time: 07:00
  timezone: UTC                # or a name such as Europe/Zurich
"""


def _output(answers: Answers) -> str:
    text = f"output:\n  directory: {_scalar(answers.directory)}\n"
    if answers.type in {"c-move", "c-get"}:
        text += (
            "  directory_structure: PatientID/StudyInstanceUID/SeriesInstanceUID\n"
            "  filename: SOPInstanceUID     # .dcm is added\n"
        )
    return text


def _scalar(value: str) -> str:
    """Write a text so that YAML reads the same one."""
    if _PLAIN.fullmatch(value):
        return value
    quoted: str = yaml.safe_dump(value, default_style='"', allow_unicode=True, width=10_000)
    return quoted.rstrip("\n")
