import os
import signal
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.fake_docker import ROOT, FakeDocker

RUN = ROOT / "bin" / "run-docker-extraction.sh"
BUILD = ROOT / "bin" / "build-docker-container.sh"


def config(folder: Path, **sections: dict[str, object]) -> Path:
    base: dict[str, dict[str, object]] = {
        "pacs": {"hostname": "pacs.example.org", "port": 104, "aet": "ARCHIVE"},
        "local": {"port": 4006, "aet": "SAMPLE_AE"},
        "request": {"type": "c-move", "elements_batch_file": "batch file.csv"},
        "output": {"directory": "images"},
    }
    for name, values in sections.items():
        base[name] = {**base.get(name, {}), **values}
    (folder / "batch file.csv").write_text("StudyInstanceUID\n1.2\n")
    path = folder / "move.yml"
    path.write_text(yaml.safe_dump(base))
    return path


def run(
    script: Path, *arguments: str, folder: Path, docker: FakeDocker, **environ: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script), *arguments],
        cwd=folder,
        env={**docker.environ, **environ},
        capture_output=True,
        text=True,
        timeout=60,
    )


def bound(path: Path, *, readonly: bool = True) -> str:
    return f"type=bind,source={path},target={path}" + (",readonly" if readonly else "")


def test_a_run_gets_the_port_and_exactly_the_paths_that_its_configuration_names(
    tmp_path: Path,
) -> None:
    docker = FakeDocker(tmp_path / "bin")
    path = config(tmp_path)
    (tmp_path / "other.txt").write_text("not for the container")
    done = run(RUN, "move.yml", "--limit", "3", folder=tmp_path, docker=docker)
    assert done.returncode == 0, done.stderr
    *asked, last = docker.calls
    assert [call.arguments for call in asked] == [
        ("check", "--variables", str(path)),
        ("check", "--port", "--paths", str(path)),
    ]
    assert all(call.all("--mount") == [bound(path)] for call in asked)
    assert last.all("--mount") == [
        bound(path),
        bound(tmp_path / "batch file.csv"),
        bound(tmp_path / "images", readonly=False),
    ]
    assert last.all("--publish") == ["4006:4006"]
    assert last.all("--user") == [f"{os.getuid()}:{os.getgid()}"]
    assert last.all("--workdir") == [str(tmp_path)]
    assert last.all("--init") == [""]
    assert last.all("--tty") == []
    assert f"PYDICOMBATCH_CONFIG={path}" in last.all("--env")
    assert (last.image, last.arguments) == ("pydicom-batch", ("run", str(path), "--limit", "3"))
    assert (tmp_path / "images").stat().st_mode & 0o777 == 0o700


def test_a_query_gets_no_port_and_places_outside_of_the_output_are_bound_too(
    tmp_path: Path,
) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(
        tmp_path,
        request={"type": "c-find"},
        state={"directory": str(tmp_path / "state")},
        output={"directory": "out", "library_file": str(tmp_path / "lists" / "found.csv")},
    )
    assert run(RUN, "move.yml", folder=tmp_path, docker=docker).returncode == 0
    last = docker.calls[-1]
    assert last.all("--publish") == []
    written = [one for one in last.all("--mount") if not one.endswith(",readonly")]
    assert written == [bound(tmp_path / name, readonly=False) for name in ("out", "state", "lists")]


def test_a_variable_of_the_configuration_goes_along_by_name_and_no_other_does(
    tmp_path: Path,
) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path, pacs={"hostname": "${PACS_HOST}"}, output={"directory": "${TREE}/images"})
    values = {"PACS_HOST": "pacs.example.org", "TREE": str(tmp_path), "OTHER": "secret"}
    done = run(RUN, "move.yml", folder=tmp_path, docker=docker, **values)
    assert done.returncode == 0, done.stderr
    last = docker.calls[-1]
    assert {"PACS_HOST", "TREE"} <= set(last.all("--env"))
    assert not any("OTHER" in one or "pacs.example.org" in one for one in last.all("--env"))
    assert bound(tmp_path / "images", readonly=False) in last.all("--mount")


def test_the_network_of_the_machine_needs_no_port_to_be_published(tmp_path: Path) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path)
    run(RUN, "move.yml", folder=tmp_path, docker=docker, PYDICOMBATCH_NETWORK="host")
    last = docker.calls[-1]
    assert (last.all("--network"), last.all("--publish")) == (["host"], [])


@pytest.mark.parametrize("code", [1, 143])
def test_the_exit_code_is_the_program_s(tmp_path: Path, code: int) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path)
    done = run(RUN, "move.yml", folder=tmp_path, docker=docker, CODE=str(code))
    assert done.returncode == code


def test_a_wrong_configuration_ends_before_anything_is_run(tmp_path: Path) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path, local={"port": 70000})
    done = run(RUN, "move.yml", folder=tmp_path, docker=docker)
    assert done.returncode == 2
    assert "local.port is above 65535" in done.stderr
    assert all(call.arguments[0] == "check" for call in docker.calls)
    assert not (tmp_path / "images").exists()


def test_ctrl_c_reaches_the_container(tmp_path: Path) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path)
    process = subprocess.Popen(
        ["bash", str(RUN), "move.yml"], cwd=tmp_path, env={**docker.environ, "WAITS": "1"},
        stdout=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "waits\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130


def test_podman_keeps_the_caller_s_user(tmp_path: Path) -> None:
    docker = FakeDocker(tmp_path / "bin", "podman")
    config(tmp_path)
    engine = {"PYDICOMBATCH_ENGINE": "podman", "PYDICOMBATCH_IMAGE": "mine"}
    assert run(RUN, "move.yml", folder=tmp_path, docker=docker, **engine).returncode == 0
    last = docker.calls[-1]
    assert last.image == "mine"
    assert last.all("--userns") == ([] if os.getuid() == 0 else ["keep-id"])


@pytest.mark.parametrize(
    ("arguments", "environ", "said"),
    [
        ([], {}, "name the configuration first"),
        (["--limit"], {}, "name the configuration first"),
        (["no.yml"], {}, "no.yml is not there"),
        (["move.yml"], {"PYDICOMBATCH_ENGINE": "lxc-nothing"}, "which is not here"),
    ],
)
def test_what_is_missing_is_said_in_a_sentence(
    tmp_path: Path, arguments: list[str], environ: dict[str, str], said: str
) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path)
    done = run(RUN, *arguments, folder=tmp_path, docker=docker, **environ)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_path_that_no_option_can_hold_is_refused(tmp_path: Path) -> None:
    docker = FakeDocker(tmp_path / "bin")
    config(tmp_path, output={"directory": "a,readonly=false"})
    done = run(RUN, "move.yml", folder=tmp_path, docker=docker)
    assert done.returncode == 2
    assert "comma" in done.stderr


def test_the_image_is_built_from_the_checkout_with_the_registry_as_a_secret(
    tmp_path: Path,
) -> None:
    docker = FakeDocker(tmp_path / "bin")
    done = run(
        BUILD, "--build-arg", "BASE=mine", folder=tmp_path, docker=docker,
        PIP_CONFIG_FILE="/etc/some.conf", PYDICOMBATCH_ENGINE="docker",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (words,) = docker.words
    assert words == [
        "build", "--tag", "pydicom-batch", "--secret", "id=pip,src=/etc/some.conf",
        "--build-arg", "BASE=mine", str(ROOT),
    ]  # fmt: skip


@pytest.mark.parametrize("script", [RUN, BUILD], ids=lambda one: one.name)
def test_a_script_explains_itself(tmp_path: Path, script: Path) -> None:
    docker = FakeDocker(tmp_path / "bin")
    if script == RUN:
        done = run(script, "--help", folder=tmp_path, docker=docker)
        assert done.returncode == 0
        assert "PYDICOMBATCH_NETWORK" in done.stdout
    assert os.access(script, os.X_OK)
