"""The CSV of results never takes the place of something else."""

from pathlib import Path

import pytest

from pydicombatch import Extraction
from pydicombatch.config.places import misplaced
from pydicombatch.core.errors import ConfigError

CONFIG = """
pacs: {{hostname: localhost, port: 104, aet: ARCHIVE}}
local: {{port: 4000, aet: OURS}}
request:
  type: {kind}
  model: study
  elements: [QueryRetrieveLevel=STUDY, StudyInstanceUID]
  elements_batch_file: {folder}/batch.csv
output: {{directory: {folder}/out, database_file: {results}}}
"""


def extraction(folder: Path, results: str, kind: str = "c-find") -> Extraction:
    (folder / "batch.csv").write_text("StudyInstanceUID\n1.2.3\n")
    config = folder / f"{kind}.yml"
    config.write_text(CONFIG.format(folder=folder, results=results, kind=kind))
    return Extraction.from_file(config)


@pytest.mark.parametrize(
    "results",
    [".", "..", ".pydicombatch", ".pydicombatch/ledger.sqlite", "../batch.csv", "../c-find.yml"],
)
def test_a_results_file_that_would_take_the_place_of_another_is_refused(
    tmp_path: Path, results: str
) -> None:
    with pytest.raises(ConfigError, match="CSV of results"):
        extraction(tmp_path, results).validate()
    assert not (tmp_path / "out").exists()


def test_a_directory_that_exists_is_never_taken_for_the_results_file(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with pytest.raises(ConfigError, match="directory"):
        extraction(tmp_path, str(tmp_path / "elsewhere")).validate()


def test_an_ordinary_results_file_is_welcome(tmp_path: Path) -> None:
    made = extraction(tmp_path, "library.csv")
    assert misplaced(made.config, [tmp_path / "c-find.yml"]) == ()


def test_a_query_and_a_move_may_share_an_output_directory(tmp_path: Path) -> None:
    state = tmp_path / "out" / ".pydicombatch"
    assert extraction(tmp_path, "library.csv").config.state_directory == state
    state.mkdir(parents=True)
    (state / "type").write_text("c-find")
    assert extraction(tmp_path, "library.csv").config.state_directory == state
    other = extraction(tmp_path, "database.csv", "c-move").config.state_directory
    assert other == state / "c-move"
