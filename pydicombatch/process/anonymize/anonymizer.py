"""The anonymizer: one compiled script, applied to files and data sets, closed when in doubt."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from errno import EIO
from io import BytesIO
from mmap import mmap
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final

import pydicom
from pydicom import Dataset

from pydicombatch.core.errors import ConfigError, RequestError
from pydicombatch.process.anonymize import files, lookup, pixelscript, script, tail
from pydicombatch.process.anonymize.context import QuarantineError, SkipError
from pydicombatch.process.anonymize.instance import (
    ENCAPSULATED_DOCUMENT,
    PIXEL_DATA,
    DataSet,
    fix_charset,
)
from pydicombatch.process.anonymize.lookup import LookupTable
from pydicombatch.process.anonymize.mapping import MappingFile
from pydicombatch.process.anonymize.pixelblank import Blanker
from pydicombatch.process.anonymize.plan import Plan, compile_script
from pydicombatch.process.anonymize.profile import Profile, identifiers
from pydicombatch.process.anonymize.reading import (
    Encoding,
    Instance,
    NotDicomError,
    TruncatedError,
    read,
)
from pydicombatch.process.anonymize.script import Script
from pydicombatch.process.anonymize.walking import Run
from pydicombatch.process.anonymize.writing import Writer, write

_TAIL_LEAKS: Final = "The script changes an element behind Pixel Data, which can only be removed"
_TRUNCATED: Final = "The file ends within Pixel Data or behind it"
_UNREADABLE: Final = "The file cannot be read"
_UNWRITABLE: Final = "The anonymized instance cannot be written"
_UNMAPPED: Final = "The mapping file cannot be written"
_FAILED: Final = "The instance could not be anonymized"
_NOT_DICOM: Final = "The file is not DICOM"
_SKIPPED: Final = "The script skips the instance"


class Mode(StrEnum):
    """`compatible` is the Java tool; `strict` sets aside what that tool would let through."""

    STRICT = "strict"
    COMPATIBLE = "compatible"


class PixelRisk(StrEnum):
    """What happens to images that usually have text burned in and that no pixel rule covers."""

    QUARANTINE = "quarantine"
    ALLOW = "allow"


class Status(StrEnum):
    """What became of an instance; output exists for `ok` alone."""

    OK = "ok"
    QUARANTINED = "quarantined"
    SKIPPED = "skipped"
    NOT_DICOM = "not_dicom"


@dataclass(frozen=True, slots=True)
class Result:
    """What became of an instance; the reason is one of our sentences, never a value."""

    status: Status
    reason: str = ""
    errno: int = 0  # of the disk that could not be written, where that is why: not the instance's


@dataclass(frozen=True, slots=True)
class _Output:
    dataset: DataSet
    syntax: str
    body: bytes
    tail: Iterable[bytes | memoryview]


@dataclass(frozen=True)
class Anonymizer:
    """A compiled script with its lookup table; one serves any number of instances.

    It holds programs, which do not travel between processes: every worker compiles its own.
    """

    plan: Plan
    lookup_table: LookupTable
    mode: Mode = Mode.STRICT
    pixels: Blanker | None = None
    pixel_risk: PixelRisk = PixelRisk.QUARANTINE
    profile: Profile | None = None
    mapping: MappingFile | None = None
    now: Callable[[], datetime] = datetime.now

    @classmethod
    def from_script(
        cls,
        path: Path | str | None,
        *,
        lookup_table: Path | str | None = None,
        mode: Mode | str = Mode.STRICT,
        parameters: Mapping[str, str] = MappingProxyType({}),
        elements: Mapping[str, str] = MappingProxyType({}),
        pixel_script: Path | str | None = None,
        decompress: bool = False,
        pixel_test: bool = False,
        pixel_risk: PixelRisk | str | None = None,
        profile: Profile | None = None,
        mapping: MappingFile | None = None,
    ) -> "Anonymizer":
        """Compile a script file.

        Parameters
        ----------
        path
            XML or properties form; none where a profile does all the work.
        lookup_table
            Properties, or CSV with two columns where the mode is strict.
        mode
            `strict` or `compatible`.
        parameters, elements
            What the Java tool takes as `-pNAME VALUE` and `-eELEMENT SCRIPT`.
        pixel_script, decompress, pixel_test
            What it takes as `-dpa`, `-dec` and `-test`.
        pixel_risk
            `quarantine` (what strict mode means) or `allow` (what compatible mode means).
        profile
            The basic profile of PS3.15, applied before the script.
        mapping
            Keeps old and new identifiers, where the operator wants them kept.

        Raises
        ------
        ConfigError
            If the script or the table is unusable; in strict mode also for every place of the
            script that would not do what it says, each with its line.
        """
        strict = Mode(mode) is Mode.STRICT
        if path is None and profile is None:
            raise ConfigError.of(
                "Anonymization has neither a script nor a profile", "Name at least one of them"
            )
        plan = compile_script(
            script.read(Path(path), lenient=not strict) if path else Script(), parameters, elements
        )
        if strict and path:
            plan.require_strict()
        table = lookup.load(Path(lookup_table), strict=strict) if lookup_table else LookupTable()
        blanker = None
        if pixel_script:
            rules = pixelscript.read(Path(pixel_script), strict=strict)
            blanker = Blanker(rules, decompress, pixel_test)
        default = PixelRisk.QUARANTINE if strict else PixelRisk.ALLOW
        return cls(
            plan, table, Mode(mode), blanker, PixelRisk(pixel_risk or default), profile, mapping
        )

    def __call__(self, dataset: Dataset) -> Dataset:
        """Return an anonymized copy of a data set.

        Raises
        ------
        RequestError
            If the data set is to be quarantined or skipped.
        """
        target = BytesIO()
        result = self.anonymize(files.file_of(dataset), target)
        if result.status is not Status.OK:
            raise RequestError(result.reason, "Look at the instance, and at the script")
        target.seek(0)
        return pydicom.dcmread(target)

    def anonymize_file(self, source: Path, target: Path) -> Result:
        """Anonymize one file into another, which appears whole or not at all.

        An existing target is replaced on success and left alone otherwise.
        """
        try:
            with files.mapped(source) as data:
                if not data:
                    return Result(Status.NOT_DICOM, _NOT_DICOM)
                return self._guarded(data, lambda: files.replacing(target))
        except OSError:
            return Result(Status.QUARANTINED, _UNREADABLE)

    def anonymize(self, data: bytes | mmap, target: BinaryIO) -> Result:
        """Anonymize the bytes of a file; the target receives nothing but a whole result."""
        return self._guarded(data, lambda: files.given(target))

    def _guarded(
        self, data: bytes | mmap, opened: Callable[[], AbstractContextManager[BinaryIO]]
    ) -> Result:
        try:
            output = self._output(data)
        except Exception as error:  # noqa: BLE001 - closed, whatever happens
            return _refusal(error)
        try:
            with opened() as stream:
                write(stream, output.dataset, output.syntax, output.body, output.tail)
        except OSError as error:
            return Result(Status.QUARANTINED, _UNWRITABLE, error.errno or EIO)
        except Exception as error:  # noqa: BLE001 - closed, whatever happens
            return Result(Status.QUARANTINED, f"{_UNWRITABLE} ({type(error).__name__})")
        return Result(Status.OK)

    def _output(self, data: bytes | mmap) -> _Output:
        instance = read(data)
        fix_charset(instance.dataset)
        strict = self.mode is Mode.STRICT
        instance = self._pixels_cleaned(instance, strict=strict)
        source = self.profile.apply(instance.dataset) if self.profile else instance.dataset
        run = Run(self.plan, self.lookup_table, self.now(), source, strict)
        dataset = run.apply()
        kept = tail.Filter(self.plan, run.actions, instance)(tail.pieces(instance))
        if self.profile:
            kept = [piece for piece in kept if piece.header.tag == PIXEL_DATA]
        if strict:
            _require_clean_tail(kept, run, instance)
        if self.mapping:
            self.mapping.record(identifiers(instance.dataset), identifiers(dataset))
        encoding = Encoding.of(instance.syntax)
        writer = Writer(encoding, swap=encoding.big_endian != instance.encoding.big_endian)
        return _Output(
            dataset,
            instance.syntax,
            writer.dataset(dataset),
            tail.encoded(kept, instance, encoding),
        )

    def _shows(self, instance: Instance) -> bool:
        """Tell whether there is something to look at: pixels, or a document that stays."""
        if instance.tail < len(instance.data):
            return True
        action = self.plan.actions.get(ENCAPSULATED_DOCUMENT)
        removed = self.profile is not None or (action is not None and action.removes)
        return ENCAPSULATED_DOCUMENT in instance.dataset.elements and not removed

    def _pixels_cleaned(self, instance: Instance, *, strict: bool) -> Instance:
        """Blank what the pixel script covers; set aside what shows text and is not covered."""
        covered = False
        risk = ""
        if self.pixel_risk is PixelRisk.QUARANTINE and self._shows(instance):
            risk = pixelscript.risk(instance.dataset)
        if self.pixels:
            instance, covered = self.pixels.apply(instance, strict=strict)
        if risk and not covered:
            raise QuarantineError(risk)
        return instance


def _require_clean_tail(kept: list[tail.Piece], run: Run, instance: Instance) -> None:
    if tail.leaking(kept, run.actions):
        raise QuarantineError(_TAIL_LEAKS)
    for element in tail.elements(kept, instance):
        run.require_clean(element, instance.dataset)


def _refusal(error: Exception) -> Result:
    match error:
        case NotDicomError():
            return Result(Status.NOT_DICOM, _NOT_DICOM)
        case SkipError():
            return Result(Status.SKIPPED, _SKIPPED)
        case QuarantineError():
            return Result(Status.QUARANTINED, error.reason)
        case OSError():  # nothing else is written before the output is whole
            return Result(Status.QUARANTINED, _UNMAPPED, error.errno or EIO)
        case TruncatedError():
            return Result(Status.QUARANTINED, _TRUNCATED)
        case _:
            return Result(Status.QUARANTINED, f"{_FAILED} ({type(error).__name__})")
