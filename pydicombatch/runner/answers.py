"""Answers held against what was asked, before anybody believes them (faults F10, F11, F13, F14).

An answer of another level, or with another value than a matching key has, was not asked for: it is
left out, or kept where the operator says so. What an answer lacks, or spells oddly, is kept and
counted. Each kind of doubt is told once in a run.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum

from pydicombatch.core.elements import vr
from pydicombatch.core.errors import Finding
from pydicombatch.core.matching import STEERING, Fit, fit, is_uid, is_universal
from pydicombatch.core.model import Key, Match
from pydicombatch.core.values import has_escapes
from pydicombatch.select.levels import UNIQUE_KEYS

LEVEL = "QueryRetrieveLevel"


class Kind(Enum):
    """What is odd about an answer."""

    LEVEL = "level"
    DIFFERS = "differs"
    SILENT = "silent"
    NO_KEY = "no unique key"
    ODD_UID = "odd UID"
    BYTES = "bytes"

    @property
    def drops(self) -> bool:
        """Whether such an answer was not asked for."""
        return self in {Kind.LEVEL, Kind.DIFFERS}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something odd about an answer; `path` names the element, never its value."""

    kind: Kind
    path: str = ""


def doubts(keys: tuple[Key, ...], match: Match) -> Iterator[Doubt]:
    """Say what is odd about an answer to these keys. Pure."""
    found, items = dict(match.values), dict(match.items)
    level = next((key.value.strip().upper() for key in keys if key.path == LEVEL), "")
    if level and found.get(LEVEL, "").strip().upper() not in {"", level}:
        yield Doubt(Kind.LEVEL, LEVEL)
    for key in keys:
        if key.path in STEERING or "." in key.path or is_universal(key.value):
            continue
        yield from _unfit(key.path, fit(vr(key.path), key.value, found.get(key.path, "")))
    yield from _nested(keys, items)
    yield from _identity(UNIQUE_KEYS.get(level, ""), found)
    if any(has_escapes(text) for text in found.values()):
        yield Doubt(Kind.BYTES)


def _unfit(path: str, how: Fit) -> Iterator[Doubt]:
    if how is Fit.DIFFERS:
        yield Doubt(Kind.DIFFERS, path)
    elif how is Fit.SILENT:
        yield Doubt(Kind.SILENT, path)


def _nested(keys: tuple[Key, ...], items: dict[str, tuple[str, ...]]) -> Iterator[Doubt]:
    """Look for one item that has all that was asked of a sequence (PS3.4 C.2.2.2.6)."""
    sequences: dict[str, list[Key]] = {}
    for key in keys:
        if "." in key.path and not is_universal(key.value):
            sequences.setdefault(key.path.partition(".")[0], []).append(key)
    for path, several in sequences.items():
        count = max(len(items.get(key.path, ())) for key in several)
        fits = [[_item_fit(key, items, at) for key in several] for at in range(count)]
        if not any(Fit.DIFFERS not in row for row in fits):
            yield Doubt(Kind.DIFFERS if fits else Kind.SILENT, path)


def _item_fit(key: Key, items: dict[str, tuple[str, ...]], at: int) -> Fit:
    texts = items.get(key.path, ())
    return fit(vr(key.path), key.value, texts[at] if at < len(texts) else "")


def _identity(own: str, found: dict[str, str]) -> Iterator[Doubt]:
    """Look at the unique key of the level, if it was asked for."""
    if own not in found:
        return
    if not found[own]:
        yield Doubt(Kind.NO_KEY, own)
    elif own.endswith("UID") and not is_uid(found[own]):
        yield Doubt(Kind.ODD_UID, own)


class Reviewer:
    """Counts the answers of a run and what is odd about them; safe for threads.

    Parameters
    ----------
    keep
        Whether answers that were not asked for are kept all the same.
    tell
        Hears of every kind of doubt once, when it is first met.
    """

    def __init__(
        self, *, keep: bool = False, tell: Callable[[Finding], None] = lambda _: None
    ) -> None:
        self._keep = keep
        self._tell = tell
        self._lock = threading.Lock()
        self._counts: dict[Doubt, int] = {}
        self._answers = 0

    def admits(self, keys: tuple[Key, ...], match: Match) -> bool:
        """Note an answer; return whether it is one to what was asked."""
        odd = tuple(doubts(keys, match))
        with self._lock:
            self._answers += 1
            new = [one for one in odd if one not in self._counts]
            for one in odd:
                self._counts[one] = self._counts.get(one, 0) + 1
        for one in new:
            self._tell(_sentence(one, "An answer", kept=self._keep))
        return self._keep or not any(one.kind.drops for one in odd)

    def summary(self) -> tuple[Finding, ...]:
        """Say how often each kind of doubt was met."""
        with self._lock:
            counts, answers = dict(self._counts), self._answers
        return tuple(
            _sentence(one, _share(count, answers), kept=self._keep, every=count == answers)
            for one, count in counts.items()
        )


def _share(count: int, answers: int) -> str:
    return f"{count} of {answers} answers" if answers > 1 else "The only answer"


def _sentence(doubt: Doubt, who: str, *, kept: bool, every: bool = False) -> Finding:
    left = "kept, as request.mismatches says" if kept else "left out"
    remedy = (
        "Set request.mismatches to drop to leave such answers out"
        if kept
        else "Set request.mismatches to keep if the archive is right and you want them"
    )
    path = doubt.path
    if doubt.kind is Kind.LEVEL:
        return Finding(f"{who} of another level than was asked for: {left}", remedy)
    if doubt.kind is Kind.DIFFERS:
        ignored = f"; the archive seems to ignore {path}" if every else ""
        return Finding(
            f"{who} with another value of {path} than was asked for: {left}{ignored}", remedy
        )
    if doubt.kind is Kind.SILENT:
        return Finding(
            f"{who} without a value of {path} that could be compared with the one asked for: kept",
            f"Check such rows yourself: the archive may ignore {path}",
        )
    if doubt.kind is Kind.NO_KEY:
        return Finding(
            f"{who} without {path}: kept, but nothing can be retrieved by it",
            f"Leave rows without {path} out of a batch file for a C-MOVE",
        )
    if doubt.kind is Kind.ODD_UID:
        return Finding(
            f"{who} with a {path} that is no UID by the standard: kept as it came",
            "Retrieve it as it is spelled; tell the archive's administrator if that fails",
        )
    return Finding(
        f"{who} with bytes that its character set does not know: kept as \\xNN",
        "Set pacs.charset to the character set of the archive",
    )
