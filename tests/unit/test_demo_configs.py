import csv
from pathlib import Path

import pytest
import yaml

from pydicombatch.config.load import load
from pydicombatch.core.errors import ConfigError
from pydicombatch.demo.configs import FIND_RETURNS, write_configs
from pydicombatch.demo.patients import synthetic_instances

INSTANCES = synthetic_instances()


def test_the_demo_writes_a_find_and_a_move_for_the_ports_it_is_given(tmp_path: Path) -> None:
    files = write_configs(tmp_path / "demo", 11112, 11113, instances=INSTANCES)
    find, move = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
    assert (find["request"]["type"], move["request"]["type"]) == ("c-find", "c-move")
    assert find["request"]["elements"] == ["QueryRetrieveLevel=SERIES", *FIND_RETURNS]
    for config in (find, move):
        assert (config["pacs"]["port"], config["local"]["port"]) == (11112, 11113)
        assert Path(config["request"]["elements_batch_file"]).is_file()
        assert Path(config["output"]["directory"]).is_absolute()


def test_the_program_reads_both_without_a_warning(tmp_path: Path) -> None:
    for file in write_configs(tmp_path, 11112, 11113, instances=INSTANCES):
        loaded = load(file, {})
        assert loaded.warnings == ()
        assert loaded.config.local.bind == "127.0.0.1"


def test_the_batch_files_name_every_study_and_every_series_once(tmp_path: Path) -> None:
    write_configs(tmp_path, 1, 2, instances=INSTANCES)
    for name, column in (("studies", "StudyInstanceUID"), ("series", "SeriesInstanceUID")):
        with (tmp_path / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
            cells = [row[column] for row in csv.DictReader(stream)]
        assert sorted(cells) == sorted({str(ds[column].value) for ds in INSTANCES})


def test_the_files_are_written_anew_for_the_next_demo(tmp_path: Path) -> None:
    write_configs(tmp_path, 1, 2, instances=INSTANCES)
    find, _ = write_configs(tmp_path, 3, 4, instances=INSTANCES)
    assert yaml.safe_load(find.read_text(encoding="utf-8"))["pacs"]["port"] == 3


def test_a_directory_that_is_a_file_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match="Choose a directory"):
        write_configs(tmp_path / "taken", 1, 2, instances=INSTANCES)


def test_a_directory_that_would_be_read_as_a_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="environment variable"):
        write_configs(tmp_path / "${HOME}", 1, 2, instances=INSTANCES)
