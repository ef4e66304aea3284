"""Where an instance lands below the output directory. Pure: values in, path out."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import PurePosixPath
from urllib.parse import quote

SUFFIX = ".dcm"
RESERVED = frozenset('%/\\:*?"<>|')
# Windows opens a device under these names, whatever the suffix
DEVICE = re.compile(
    r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])(?:\.|$)", re.IGNORECASE
)
LONGEST = 200  # bytes of one component; file systems allow 255, a collision adds to it
DIGEST = 16  # hexadecimal digits
EMPTY = "%"  # no value yields it: a percent sign of a value is escaped


def component(value: str) -> str:
    """Turn one element value into one path component; printable text stays as it is.

    Different values give different components. Never empty, `.` or `..`, never with a separator,
    a control character, a space or full stop at the end, or over 200 bytes.
    """
    kept = value
    if not value.isprintable() or not RESERVED.isdisjoint(value):  # hardly ever
        kept = "".join(c if c.isprintable() and c not in RESERVED else _escape(c) for c in value)
    name = _without_traps(kept)
    raw = name.encode()
    # a value that looks like a shortened one is shortened too, so that it cannot pass for it
    if len(raw) <= LONGEST and not _LOOKS_SHORTENED.search(name):
        return name or EMPTY
    digest = sha256(raw).hexdigest()[:DIGEST]
    return f"{raw[: LONGEST - DIGEST - 1].decode(errors='ignore')}~{digest}"


def relative_path(values: Iterable[str]) -> PurePosixPath:
    """Join element values, outermost first; the last gets `.dcm` unless it ends in it."""
    return _joined(tuple(values))


@lru_cache(maxsize=256)  # it is asked for twice: who is first to have a path, and then where
def _joined(values: tuple[str, ...]) -> PurePosixPath:
    *directories, name = map(component, values)
    file = name if name.lower().endswith(SUFFIX) and name != SUFFIX else name + SUFFIX
    return PurePosixPath(*directories, file)


def beside(path: PurePosixPath, sop_instance_uid: str, digits: int = DIGEST) -> PurePosixPath:
    """Return the name of an instance whose plain path another instance has; always the same.

    Parameters
    ----------
    path
        The plain path.
    sop_instance_uid
        Of the instance that comes second.
    digits
        How many hexadecimal digits of its digest go into the name.
    """
    digest = sha256(sop_instance_uid.encode(errors="surrogatepass")).hexdigest()[:digits]
    return path.with_name(f"{path.name[: -len(SUFFIX)]}~{digest}{SUFFIX}")


@dataclass(frozen=True, slots=True)
class Layout:
    """`output.directory_structure` and `output.filename` as canonical element paths."""

    directories: tuple[str, ...]
    filename: str

    @property
    def paths(self) -> tuple[str, ...]:
        """Every element whose value is needed."""
        return (*self.directories, self.filename)

    def plan(self, values: Mapping[str, str]) -> PurePosixPath:
        """Return where an instance with these values lands; an absent value is an empty one."""
        return relative_path(values.get(path, "") for path in self.paths)


_LOOKS_SHORTENED = re.compile(rf"~[0-9a-f]{{{DIGEST},}}$")


def _without_traps(name: str) -> str:
    if name in {".", ".."}:
        return name.replace(".", _percent("."))
    if name and name[-1] in " .":  # Windows and SMB drop them, so two names would become one
        name = name[:-1] + _percent(name[-1])
    if name.startswith(" "):
        name = _percent(" ") + name[1:]
    return _percent(name[0]) + name[1:] if DEVICE.match(name) else name


def _percent(character: str) -> str:
    return f"%{ord(character):02X}"


def _escape(character: str) -> str:
    return quote(character, safe="", errors="surrogatepass")
