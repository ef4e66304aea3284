import ast
import re
import shlex
import signal
import tomllib
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from pydicombatch import Extraction, __version__
from pydicombatch.cli import COMMANDS, INTERRUPTED, commands
from pydicombatch.config.load import Loaded, load, parse
from pydicombatch.config.outline import settings
from pydicombatch.config.reference import describe
from pydicombatch.core.errors import ConfigError, FatalError, HeldError
from pydicombatch.core.model import Outcome
from pydicombatch.runner.summary import SOME_FAILED, WINDOW_ENDED
from pydicombatch.select.levels import LEVELS
from tests.support.markdown import (
    ANONYMIZATION,
    CONFIGURATION,
    CONTRIBUTING,
    COOKBOOK,
    DOCUMENTS,
    FIND,
    OPERATION,
    README,
    ROOT,
    Block,
    blocks,
    difference,
    inline_code,
    prose,
    read,
    section,
    table,
)

CONDA_NAMES = {
    "python-gdcm": "gdcm",
    "PyYAML": "pyyaml",
    "Jinja2": "jinja2",
    "matplotlib": "matplotlib-base",
}  # where they are not the same
MARKERS = {"file", "part", "run", "content", "steps", "crontab", "shown"}
RETIRED = "output.anonymization"
BASE = {
    "pacs": {"hostname": "127.0.0.1", "port": "4242", "aet": "ORTHANC"},
    "local": {"port": "4006", "aet": "SAMPLE_AE"},
    "request": {"type": "c-find"},
    "output": {"directory": "images"},
}
EXAMPLES = [
    pytest.param(block, id=f"{document.stem}-{block.argument}")
    for document in DOCUMENTS
    for block in blocks(document)
    if block.language == "yaml" and block.argument != "query.yml"
]
ENVIRONMENT = {
    "STUDY": "1.2.3",
    "PACS_HOST": "pacs.example.org",
    "SMTP_PASSWORD": "secret",
    "WEBHOOK_URL": "https://chat.example.org/hooks/secret",
}
SAMPLES = sorted((ROOT / "config").glob("*.yml"))


def complete(block: Block) -> dict[str, Any]:
    """Put a part of a configuration into a whole one."""
    part = yaml.load(block.text, Loader=yaml.BaseLoader)
    if block.kind == "file":
        return dict(part)
    return {name: {**BASE.get(name, {}), **part.get(name, {})} for name in {**BASE, **part}}


def loaded(block: Block) -> Loaded:
    return parse(yaml.safe_dump(complete(block)), "example.yml", ENVIRONMENT)


def command_lines() -> Iterator[tuple[str, list[str]]]:
    """Every call of the program in the documents, as its command and its words."""
    for document in DOCUMENTS:
        shown = [
            line for one in blocks(document) if one.language == "console" for line in one.commands
        ]
        crontabs = [one.text.split("&& ")[1] for one in blocks(document) if one.kind == "crontab"]
        for line in [*inline_code(document), *(command for command, _ in shown), *crontabs]:
            found = re.search(r"(?:^|/| -m )pydicombatch ((?!/).*)", line.strip())
            if found is None or "-m pip" in line:
                continue
            words = shlex.split(found[1])
            command = words.pop(0) if words and words[0] in COMMANDS else "run"
            yield command, words


def command(name: str) -> click.Command:
    found = commands.get_command(click.Context(commands), name)
    assert found is not None
    return found


def options(name: str) -> set[str]:
    params = command(name).params
    return {long for one in params if isinstance(one, click.Option) for long in one.opts}


def test_the_reference_is_what_the_models_say() -> None:
    found = re.search(
        r"<!-- reference -->\n(.*?)<!-- end of reference -->", read(CONFIGURATION), re.DOTALL
    )
    assert found is not None
    assert found[1].strip() == describe().strip(), "see CONTRIBUTING.md for how to renew it"


def test_every_setting_that_is_named_exists() -> None:
    known = {one.key for one in settings()} | {"schedule.windows[]"}
    sections = {one.key for one in settings() if "." not in one.key and one.section}
    named = {
        code
        for document in DOCUMENTS
        for code in inline_code(document)
        if re.fullmatch(r"[a-z_]+(\.[a-z_\[\]]+)+", code) and code.split(".")[0] in sections
    }
    assert len(named) > 20
    assert {one for one in named if one not in known and not one.startswith(RETIRED)} == set()


def test_the_table_of_commands_has_them_all() -> None:
    shown = [row[0].strip("`").split() for row in table(section(README, "Install"), "command")]
    assert shown[0] == ["pydicombatch", "CONFIG"]
    assert [words[1] for words in shown[1:]] == list(COMMANDS)


def test_every_command_line_in_the_documents_is_one() -> None:
    lines = list(command_lines())
    assert {name for name, _ in lines} == set(COMMANDS)
    for name, words in lines:
        wrong = {word for word in words if word.startswith("--")} - options(name)
        assert wrong - {"--help", "--version"} == set(), (name, words)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_documented(name: str) -> None:
    inline = [*inline_code(README), *inline_code(ANONYMIZATION), *inline_code(FIND)]
    documented = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", " ".join(inline)))
    assert options(name) - documented == set()


def test_the_table_of_options_of_anonymize_has_them_all_and_no_other() -> None:
    rows = table(section(ANONYMIZATION, "Files and folders, without an archive"), "option")
    assert {row[0].strip("`").split()[0] for row in rows} == options("anonymize")


def test_every_option_of_a_table_belongs_to_its_command() -> None:
    text = section(README, "Stopping and going on")
    of_run = {row[0].strip("`").split()[0] for row in table(text, "option of `run`")}
    assert of_run == options("run")
    others = [row[0].strip("`").split() for row in table(text, "option of `status` and `verify`")]
    for name in ("status", "verify"):
        assert {words[1] for words in others if words[0] == name} == options(name)


def test_the_exit_codes_are_those_of_the_program() -> None:
    codes = [int(row[0]) for row in table(section(README, "Exit codes"), "code")]
    assert codes == sorted(
        {
            0,
            SOME_FAILED,
            ConfigError.exit_code,
            FatalError.exit_code,
            WINDOW_ENDED,
            HeldError.exit_code,
            128 + signal.SIGHUP,
            INTERRUPTED,
            128 + signal.SIGTERM,
        }
    )
    assert 128 + signal.SIGINT == INTERRUPTED


def test_every_outcome_is_explained() -> None:
    text = section(README, "Outcomes")
    rows = {row[0].strip("`") for row in table(text, "outcome")}
    assert rows == {one.value for one in Outcome}
    finals = re.search(r"`(\w+)` and `(\w+)` are final", text)
    assert finals is not None
    assert set(finals.groups()) == {one.value for one in Outcome if one.is_final}


def test_the_levels_of_the_models_are_those_of_the_checks() -> None:
    rows = table(section(CONFIGURATION, "Levels and models"), "`model`")
    shown = {row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[2])) for row in rows}
    assert shown == LEVELS


def test_every_message_that_is_quoted_exists() -> None:
    said = " \0 ".join(texts())
    rows = list(table(section(README, "Troubleshooting"), "symptom"))
    quotes = [quote for row in rows for quote in re.findall(r"“(.*?)”", row[0])]
    assert len(quotes) > 10
    pieces = {piece.strip() for quote in quotes for piece in quote.split("…") if piece.strip()}
    assert {piece for piece in pieces if piece not in said} == set()


def texts() -> Iterator[str]:
    """Every text in the program's source, with a gap for each value that is filled in."""
    for file in sorted((ROOT / "pydicombatch").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_example_says_how_it_is_tested(document: Path) -> None:
    for block in blocks(document):
        assert block.kind in MARKERS or block.language == "text", block.text
    assert read(document).count("\n```") == 2 * len(blocks(document))


@pytest.mark.parametrize("block", EXAMPLES)
def test_every_configuration_that_is_shown_loads_without_a_finding(block: Block) -> None:
    assert loaded(block).warnings == ()


def test_the_example_with_a_carried_column_fits_its_batch_file(tmp_path: Path) -> None:
    files = {one.argument: one for one in blocks(CONFIGURATION)}
    (tmp_path / "subjects.csv").write_text(files["subjects.csv"].text, encoding="utf-8")
    with chdir(tmp_path):
        extraction = Extraction(loaded(files["carry"]).config)
        assert extraction.validate() == ()
        carried = [request.carried for request in extraction.plan]
    assert carried == [(("SubjectID", "S-001"),), (("SubjectID", "S-002"),)]


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda one: one.name)
def test_a_sample_loads_and_its_rows_can_be_sent(sample: Path) -> None:
    with chdir(ROOT):  # their paths are relative to it
        config = load(sample, {})
        assert config.warnings == ()
        Extraction(config.config).validate()
        assert len(list(Extraction(config.config).plan)) == 3


def test_there_are_samples_of_both_kinds() -> None:
    assert {load(one, {}).config.request.type for one in SAMPLES} >= {"c-find", "c-move"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        file, _, anchor = target.partition("#")
        place = document if not file else document.parent / file
        assert place.is_file(), target
        assert not anchor or anchor in anchors(place), target


def anchors(document: Path) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", prose(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one.name)
def test_every_file_of_the_repository_that_is_named_exists(document: Path) -> None:
    kept = r"(?:bin|config|docs|tests|pydicombatch)/[\w./@-]+|pyproject\.toml|environment\.yaml"
    text = " ".join([*inline_code(document), *(one.text for one in blocks(document))])
    for name in re.findall(rf"(?<![\w/.~$-])(?:{kept})", text):
        assert (ROOT / name).exists(), name


def test_every_folder_of_the_package_is_in_the_table_for_contributors() -> None:
    rows = table(section(CONTRIBUTING, "Where things are"), "folder")
    named = {name for row in rows for name in re.findall(r"pydicombatch/(\w+)", row[0])}
    packages = {one.parent.name for one in (ROOT / "pydicombatch").glob("*/__init__.py")}
    assert packages == named


def test_the_steps_of_the_tests_are_shown_as_they_are() -> None:
    (shown,) = [one for one in blocks(README) if (one.kind, one.argument) == ("steps", "bin/test")]
    script = read(ROOT / shown.argument)
    steps = re.findall(r"bin/test: (.+) passed in", shown.text)
    positions = [script.index(f'step "{name}"') for name in steps]
    assert len(steps) == 8
    assert positions == sorted(positions)


def test_the_conda_environment_has_the_packages_of_the_project() -> None:
    project = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
    environment = yaml.safe_load(read(ROOT / "environment.yaml"))
    extras = project["optional-dependencies"]
    packages = [*project["dependencies"], *extras["report"], *extras["parquet"]]
    split = (re.fullmatch(r"([\w-]+)(.*)", one) for one in packages)
    wanted = {CONDA_NAMES.get(one[1], one[1]): one[2] for one in split if one}
    wanted["python"] = project["requires-python"]
    assert environment["name"] == "pydicom-batch"
    assert dict(one.split(" ") for one in environment["dependencies"]) == wanted


def test_the_list_of_changes_begins_with_this_version() -> None:
    versions = re.findall(r"^## ([0-9.]+)", read(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == __version__


@pytest.mark.parametrize(
    ("shown", "real", "found"),
    [
        (["a", "…", "c"], ["a", "b", "b", "c"], ""),
        (["a", "…", "c"], ["a", "c"], ""),
        (["Time 0:00:01"], ["Time 0:00:12"], ""),
        (["1.1 MB, 1.2 MB/s"], ["1.1 MB, 20.0 MB/s"], ""),
        (["…/x.yml"], ["some/x.yml"], ""),
        (["a", "b"], ["a", "c"], "b"),
        (["a"], ["a", "b"], "the end"),
        (["1.1 MB"], ["1.2 MB"], "1.1 MB"),
        ([], [], ""),
        ([], ["a"], "the end"),
    ],
)
def test_what_is_shown_is_compared_with_what_is_printed(
    shown: list[str], real: list[str], found: str
) -> None:
    assert difference(shown, real) == found


def test_the_crontab_that_is_shown_is_the_sample() -> None:
    sample = read(ROOT / "config" / "crontab")
    shown = [
        one.text for document in DOCUMENTS for one in blocks(document) if one.kind == "crontab"
    ]
    assert len(shown) == 2
    assert all(one in sample for one in shown)


def test_the_cookbook_has_ten_recipes() -> None:
    titles = re.findall(r"^## (\d+)\. ", read(COOKBOOK), re.MULTILINE)
    assert titles == [str(number) for number in range(1, 11)]
    configs = [one for one in blocks(COOKBOOK) if one.language == "yaml"]
    assert len(configs) == 10


def test_the_variables_of_the_container_scripts_are_all_documented() -> None:
    rows = {row[0].strip("`") for row in table(section(OPERATION, "Containers"), "variable")}
    scripts = "".join(read(one) for one in (ROOT / "bin").glob("*.sh"))
    assert rows == set(re.findall(r"\$\{(PYDICOMBATCH_\w+|PIP_CONFIG_FILE)", scripts))
