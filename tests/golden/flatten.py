"""Two DICOM files compared element by element, as the golden set asks: data sets, not bytes."""

import logging
import struct
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import pydicom
from pydicom import Dataset, config
from pydicom.dataelem import RawDataElement

Flat = dict[str, tuple[str, bytes | int]]
VOLATILE_META = frozenset(("00020000", "00020012", "00020013"))
PACKED = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d"}


@contextmanager
def lenient() -> Iterator[None]:
    """Read whatever the file says: no validation, UN stays UN."""
    before = (config.settings.reading_validation_mode, config.replace_un_with_known_vr)
    config.settings.reading_validation_mode = config.IGNORE
    config.replace_un_with_known_vr = False
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        config.settings.reading_validation_mode, config.replace_un_with_known_vr = before
        logger.setLevel(level)


def differences(
    expected: BinaryIO, actual: BinaryIO, volatile: Collection[str] = ()
) -> list[tuple[str, object, object]]:
    """List the paths whose VR or value differ, with both sides; absent is None."""
    ignored = VOLATILE_META | {tag.upper() for tag in volatile}
    with lenient():
        one, other = flat(expected), flat(actual)
    return [
        (path, one.get(path), other.get(path))
        for path in sorted(one.keys() | other.keys())
        if path[-8:] not in ignored and one.get(path) != other.get(path)
    ]


def flat(stream: BinaryIO) -> Flat:
    """Spread a file over paths such as 00081110[0].00081155."""
    dataset = pydicom.dcmread(stream, force=True)
    return {**_level(dataset, ""), **_level(dataset.file_meta, "")}


def _level(dataset: Dataset, prefix: str) -> Flat:
    out: Flat = {}
    for tag in sorted(dataset.keys()):
        if not tag & 0xFFFF:
            continue
        path = f"{prefix}{tag:08X}"
        raw: Any = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and raw.VR not in {None, "SQ", "UN"}:
            out[path] = (raw.VR, (raw.value or b"").rstrip(b" \0"))
            continue
        try:
            element: Any = dataset[tag]
        except Exception:  # noqa: BLE001 - what pydicom cannot decode is compared as bytes
            element = raw
        if element.VR == "SQ":
            out[path] = ("SQ", len(element.value))
            for index, item in enumerate(element.value):
                out.update(_level(item, f"{path}[{index}]."))
            continue
        value = raw.value if isinstance(raw, RawDataElement) else _encoded(element)
        out[path] = (raw.VR or element.VR, (value or b"").rstrip(b" \0"))
    return out


def _encoded(element: Any) -> bytes:
    value = element.value
    if value is None or isinstance(value, bytes):
        return value or b""
    values = (
        list(value) if isinstance(value, (list, tuple, pydicom.multival.MultiValue)) else [value]
    )
    if kind := PACKED.get(element.VR):
        return b"".join(struct.pack("<" + kind, number) for number in values)
    return "\\".join(map(str, values)).encode()
