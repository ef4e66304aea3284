"""A configuration to begin with, written once; what is there is never touched."""

import os
from collections.abc import Mapping
from pathlib import Path

from pydicombatch.config.load import parse
from pydicombatch.config.starter import Answers, batch, starter
from pydicombatch.core.errors import ConfigError

REMEDY = "Choose another name, or remove that file"


def write_starter(file: Path, answers: Answers, environ: Mapping[str, str]) -> list[Path]:
    """Write a configuration, and its batch file if there is none; return what was written.

    Raises
    ------
    ConfigError
        If an answer is no sound setting, or the file is there already or cannot be written.
    """
    text = starter(answers)
    parse(text, str(file), environ)
    written = [_create(file, text)]
    rows = Path(answers.batch_file)
    if answers.type != "c-echo" and not rows.exists():
        written.append(_create(rows, batch(answers)))
    return written


def _create(file: Path, text: str) -> Path:
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise ConfigError.of("The file is there already", REMEDY, str(file)) from None
    except OSError as exc:
        raise ConfigError.of(
            f"The file cannot be written ({type(exc).__name__})",
            "Choose a folder that is there and that you may write to",
            str(file),
        ) from exc
    return file
