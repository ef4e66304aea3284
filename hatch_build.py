"""Compiles what of the receiver is written in C, where a compiler and Python's headers are.

Without them the package is pure Python, slower and otherwise the same. Run as a script it compiles
in place, for a checkout: `python hatch_build.py`.
"""

import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("pydicombatch/receive/server/_whole.c")
TARGET = SOURCE.with_suffix(".abi3.so")
FLAGS = (
    "-O2 -std=c11 -fPIC -shared -fvisibility=hidden -fstack-protector-strong -D_FORTIFY_SOURCE=2 "
    "-Wall -Wextra -Werror"
)


def compile_in_place(root: Path) -> str:
    """Compile; return what stands in the way, or nothing.

    Parameters
    ----------
    root
        The folder of pyproject.toml.
    """
    problem = _compile(root) if sys.platform.startswith("linux") else "only Linux is known"
    if problem:
        (root / TARGET).unlink(missing_ok=True)  # an older one must not stay
    return problem


def _compile(root: Path) -> str:
    new = TARGET.with_name(f".{TARGET.name}.{os.getpid()}")
    compiler = shlex.split(os.environ.get("CC") or "cc")
    headers = sysconfig.get_paths()["include"]
    command = [*compiler, *shlex.split(FLAGS), f"-I{headers}", "-o", str(new), str(SOURCE)]
    try:
        done = subprocess.run(  # noqa: S603 - the compiler that the environment names
            command, cwd=root, capture_output=True, text=True, check=False
        )
    except OSError as exc:
        return f"there is no compiler ({type(exc).__name__})"
    if done.returncode:
        return done.stderr.strip() or "the compiler fails"
    (root / new).replace(root / TARGET)  # at once: others may be using the old one
    return ""


class CompiledHook(BuildHookInterface[Any]):
    """Adds the compiled module to a wheel, whose tag then names the platform."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, or say why the wheel is pure Python."""
        problem = compile_in_place(Path(self.root))
        if problem:
            self.app.display_warning(f"without the compiled part of the receiver: {problem}")
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
        build_data["artifacts"].append(f"/{TARGET.as_posix()}")


if __name__ == "__main__":
    sys.exit(compile_in_place(Path(__file__).parent) or None)
