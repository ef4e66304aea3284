"""A query in a file: a DICOM data set, the DICOM JSON model (PS3.18 F), or keywords in YAML."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import yaml
from pydicom import dcmread
from pydicom.dataset import Dataset

from pydicombatch.core.elements import check_key, parse_key, parse_path, read
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.grammar import ElementError, name_of
from pydicombatch.core.model import Key

PREFIX = slice(128, 132)  # PS3.10 7.1
LARGEST = 16_000_000  # bytes; a query has a few hundred
FIRST_GROUP, PIXELS = 0x0008, 0x7FE0
CHARSET = 0x00080005  # is chosen anew for what is sent
DEEPEST = 16  # sequences in sequences

_TAG = re.compile(r"[0-9A-Fa-f]{8}")


def read_query(path: Path) -> tuple[Key, ...]:
    """Read the keys of a query file, whatever it is.

    Raises
    ------
    ConfigError
        If it cannot be read or is none of the three.
    """
    data = _content(path)
    try:
        if data[PREFIX] == b"DICM":
            return _of_dicom(data)
        return _of_text(data)
    except ElementError as exc:
        raise ConfigError(exc.finding(str(path))) from exc
    except ConfigError:
        raise
    except Exception as exc:  # whatever a parser raises; its text may hold values
        raise ConfigError.of(
            f"The query cannot be understood ({type(exc).__name__})",
            "Give a DICOM file, DICOM JSON, or YAML with a line Keyword: value for each key",
            str(path),
        ) from exc


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as exc:
        raise ConfigError.of(
            f"The query cannot be read ({type(exc).__name__})", "Name a readable file", str(path)
        ) from exc
    if len(data) > LARGEST:
        raise ConfigError.of(
            "The query is larger than 16 MB", "Give a file with the keys alone", str(path)
        )
    return data


def _of_dicom(data: bytes) -> tuple[Key, ...]:
    return tuple(_flat(dcmread(BytesIO(data), stop_before_pixels=True)))


def _of_text(data: bytes) -> tuple[Key, ...]:
    document = yaml.load(data.decode("utf-8-sig"), Loader=yaml.BaseLoader)  # noqa: S506 - text only
    if isinstance(document, list) and document and all(isinstance(one, str) for one in document):
        return tuple(map(parse_key, document))
    if isinstance(document, list) and len(document) == 1:
        document = document[0]  # the JSON model of a query has a single object
    if not isinstance(document, dict) or not document:
        raise ElementError(
            "It is no list of keys", "Write a line Keyword: value for each key, or DICOM JSON"
        )
    if all(_TAG.fullmatch(name) and isinstance(one, dict) for name, one in document.items()):
        return tuple(_flat(Dataset.from_json(_object(data))))
    return tuple(_walk(document, ""))


def _object(data: bytes) -> dict[str, Any]:
    """Read JSON once more: in YAML, numbers were text."""
    found = json.loads(data.decode("utf-8-sig"))
    typed: dict[str, Any] = found[0] if isinstance(found, list) else found
    return typed


def _flat(dataset: Dataset) -> Iterator[Key]:
    """Turn a data set into keys; the file format, group lengths and pixels are left out."""
    for path in _paths(dataset, "", 0):
        key = Key(parse_path(path), read(dataset, path))
        check_key(key)
        yield key


def _paths(dataset: Dataset, prefix: str, depth: int) -> Iterator[str]:
    if depth > DEEPEST:
        raise ElementError("Its sequences lie too deep in each other", "Give a flatter query")
    for element in dataset:
        tag = int(element.tag)
        group = tag >> 16
        if group < FIRST_GROUP or group == PIXELS or not tag & 0xFFFF or tag == CHARSET:
            continue
        path = prefix + name_of(tag)
        if element.VR != "SQ" or not element.value:
            yield path
            continue
        for number, item in enumerate(element.value):
            inner = list(_paths(item, f"{path}[{number}].", depth + 1))
            yield from inner or [f"{path}[{number}]"]


def _walk(section: Mapping[str, Any], prefix: str) -> Iterator[Key]:
    """Turn keywords with their values into keys; a list of maps is a sequence."""
    for name, value in section.items():
        path = parse_path(prefix + str(name))
        items = [value] if isinstance(value, dict) else value
        if isinstance(items, list) and items and all(isinstance(one, dict) for one in items):
            for number, item in enumerate(items):
                inner = list(_walk(item, f"{path}[{number}]."))
                yield from inner or [Key(parse_path(f"{path}[{number}]"))]
        else:
            yield Key(path, _text(value))


def _text(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "\\".join(map(_text, value))
    if not isinstance(value, str):
        raise ElementError("A value is neither text nor a list", "Write Keyword: value")
    return "" if value in {"~", "null"} else value.strip()
