"""Rules of the house that no linter knows."""

import ast
import re
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "pydicombatch").rglob("*.py"))
LONGEST = 300  # lines
# Split, so that this file does not find itself
MACHINE = re.compile(r"(?<![\w.])/(?:wor" r"k|tm" r"p|ho" r"me/\w+|ro" r"ot)/\w")
REGISTRY = re.compile(r"(?:pypi|pythonhosted|debian)\.or" r"g", re.IGNORECASE)


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def own_files() -> list[Path]:
    """Every file that is or would be in the repository; in a plain copy, all of the usual ones."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"]
    listed = ""
    with suppress(FileNotFoundError):  # a fresh machine has no git
        listed = subprocess.run(command, capture_output=True, text=True).stdout
    if listed:
        files = [ROOT / one for one in listed.split("\0") if one]
    else:
        kept = ("pydicombatch", "tests", "benchmarks", "bin", "config")
        files = [file for folder in kept for file in (ROOT / folder).rglob("*")]
    return sorted(file for file in files if file.is_file())


def text_of(file: Path) -> str:
    return file.read_bytes().decode("utf-8", errors="ignore")


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_fits_in_the_head(module: Path) -> None:
    assert len(text_of(module).splitlines()) <= LONGEST


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_module_says_what_it_is_for(module: Path) -> None:
    assert ast.get_docstring(ast.parse(text_of(module)))


@pytest.mark.parametrize("module", MODULES, ids=name)
def test_a_folder_with_modules_is_a_package(module: Path) -> None:
    assert (module.parent / "__init__.py").is_file()


@pytest.mark.parametrize("forbidden", [MACHINE, REGISTRY], ids=["machine path", "registry host"])
def test_no_file_names_a_place_of_the_machine_it_was_written_on(
    forbidden: re.Pattern[str],
) -> None:
    guilty = {
        f"{name(file)}: {found[0]}"
        for file in own_files()
        if (found := forbidden.search(text_of(file)))
    }
    assert guilty == set()


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 10


def calls(file: Path) -> set[str]:
    """Name everything that a module calls, and the modules that it imports."""
    found = set()
    for node in ast.walk(ast.parse(text_of(file))):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
            found |= {f"{one.arg}={ast.unparse(one.value)}" for one in node.keywords}
        elif isinstance(node, ast.Import):
            found |= {f"import {one.name}" for one in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(f"import {node.module}")
    return found


def test_s11_nothing_is_run_through_a_shell_or_as_code() -> None:
    """Neither a value of a data set nor one of a configuration can become a command."""
    forbidden = {
        "os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput",
        "shell=True", "eval", "exec", "compile", "asyncio.create_subprocess_shell",
    }  # fmt: skip
    guilty = {(name(one), *found) for one in MODULES if (found := calls(one) & forbidden)}
    assert guilty == set()


def test_s20_nothing_is_unpickled_but_what_a_child_of_ours_says() -> None:
    """Neither the ledger nor the spool nor a queue holds code; YAML is loaded as plain values."""
    forbidden = {
        "import pickle", "import shelve", "import marshal", "import dill", "import cloudpickle",
        "yaml.unsafe_load", "numpy.load", "np.load",
    }  # fmt: skip
    guilty = {(name(one), *found) for one in MODULES if (found := calls(one) & forbidden)}
    assert guilty == {("pydicombatch/process/messages.py", "import pickle")}
