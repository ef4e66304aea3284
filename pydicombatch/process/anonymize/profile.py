"""The Basic Application Level Confidentiality Profile of PS3.15 Annex E, with its options."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from pydicombatch.process.anonymize import codes, dates, dummies, hidden, traces
from pydicombatch.process.anonymize.contents import TEXT, contents
from pydicombatch.process.anonymize.instance import (
    CODE_SEQUENCE,
    STUDY_INSTANCE,
    DataSet,
    Element,
    code_strings,
)
from pydicombatch.process.anonymize.profile_table import CODES, Code, Option, options_of, rules
from pydicombatch.process.anonymize.pseudonyms import Pseudonyms
from pydicombatch.process.anonymize.tables import private_tag
from pydicombatch.process.anonymize.unlisted import SCHEMES, Unlisted
from pydicombatch.process.anonymize.vocabulary import cleaned

PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
_IDENTITY_REMOVED: Final = 0x00120062
_METHOD: Final = 0x00120063
_DATES_MODIFIED: Final = 0x00280303
_BASIC: Final = "113100"
_FREE_TEXT: Final = frozenset("LO LT SH ST UC UT".split())  # noqa: SIM905
_TEMPORAL: Final = frozenset(("DA", "DT", "TM"))
_TIMES: Final = re.compile(rb"[0-9.:+\-\\ \0]*")
_DATES: Final = frozenset((Option.RETAIN_LONG_FULL_DATES, Option.RETAIN_LONG_MODIFIED_DATES))
_CODED: Final = frozenset("CS DS IS US SS UL SL FL FD".split())  # noqa: SIM905


@dataclass(frozen=True)
class Profile:
    """The profile for one choice of options, with the key of the project."""

    options: frozenset[Option]
    pseudonyms: Pseudonyms

    @classmethod
    def basic(cls, options: Collection[str], pseudonyms: Pseudonyms) -> "Profile":
        """Make the profile; raises `ConfigError` for options that do not exist or contradict."""
        return cls(options_of(options), pseudonyms)

    def apply(self, root: DataSet) -> DataSet:
        """Return the root as the profile leaves it; the original is not changed."""
        patient = _text(root, PATIENT_ID)
        listed = rules(self.options)
        found = traces.of(root, lambda tag: listed.code(tag) not in {None, Code.KEEP})
        unlisted = Unlisted(found, self.pseudonyms, Option.RETAIN_UIDS in self.options)
        worker = _Worker(self, self.pseudonyms.offset(patient), unlisted)
        out = worker.level(root, None)
        self._replace_patient(root, out, patient)
        self._declare(out)
        return out

    def _replace_patient(self, root: DataSet, out: DataSet, patient: str) -> None:
        """Z allows a dummy value, and without one all patients would be the same."""
        if patient or _text(root, PATIENT_NAME):
            pseudonym = self.pseudonyms.patient(patient or _text(root, PATIENT_NAME)).encode()
            out.elements[PATIENT_ID] = Element(PATIENT_ID, "LO", pseudonym)
            out.elements[PATIENT_NAME] = Element(PATIENT_NAME, "PN", pseudonym)

    def _declare(self, out: DataSet) -> None:
        """Say what was done (PS3.15 E.1.1, steps 6 to 8)."""
        named = [_BASIC, *sorted(CODES[option] for option in self.options)]
        items = tuple(codes.item(code, out) for code in named)
        moved = "REMOVED"
        if Option.RETAIN_LONG_FULL_DATES in self.options:
            moved = "UNMODIFIED"
        elif Option.RETAIN_LONG_MODIFIED_DATES in self.options:
            moved = "MODIFIED"
        method = "\\".join(["PS3.15 Annex E", *named]).encode()
        for element in (
            Element(_IDENTITY_REMOVED, "CS", b"YES"),
            Element(_METHOD, "LO", method),
            Element(CODE_SEQUENCE, "SQ", b"", items),
            Element(_DATES_MODIFIED, "CS", moved.encode()),
        ):
            out.elements[element.tag] = element
        out.elements = dict(sorted(out.elements.items()))


def identifiers(root: DataSet) -> tuple[str, str]:
    """Return Patient ID and Study Instance UID of a root, for a mapping of old to new."""
    return _text(root, PATIENT_ID), _text(root, STUDY_INSTANCE)


@dataclass(frozen=True)
class _Worker:
    """One instance: its options, the days its dates move by, the rule outside the table."""

    profile: Profile
    days: int
    unlisted: Unlisted

    def level(self, source: DataSet, parent: DataSet | None) -> DataSet:
        out = DataSet({}, parent, source.big_endian, source.meta)
        for found in source:
            element = hidden.named(found, source)
            result = self._element(source, element, out) if element else None
            if result is not None:
                out.elements[result.tag] = result
        if Option.RETAIN_SAFE_PRIVATE in self.profile.options:
            _drop_lonely_creators(out)
        return out

    def _element(self, source: DataSet, element: Element, out: DataSet) -> Element | None:
        code = rules(self.profile.options).code(element.tag)
        if code is None:
            return self._unlisted(source, element, out)
        if element.tag >> 16 & 1:
            return self._private(source, element, code)
        if code in {Code.SHIFT, Code.CLEAN}:
            act = self._shifted if code is Code.SHIFT else self._clean
            return act(source, element, out)
        return self._acted(element, code, out)

    def _acted(self, element: Element, code: Code, out: DataSet) -> Element | None:
        """Carry out the codes that need no look at the value."""
        match code:
            case Code.KEEP:
                return self._kept(element, out)
            case Code.EMPTY:
                return _emptied(element)
            case Code.DUMMY:
                return dummies.replaced(element, self.profile.pseudonyms)
            case Code.UID:
                return self._uid(element, out)
            case _:
                return None

    def _unlisted(self, source: DataSet, element: Element, out: DataSet) -> Element | None:
        """Keep of what the table leaves alone what is technical; sequences are entered."""
        if element.items is not None:
            return self._items(element, out)
        if element.vr in {"DA", "DT"} and self.profile.options & _DATES:
            kept = Option.RETAIN_LONG_FULL_DATES in self.profile.options
            return self._kept(element, out) if kept else self._shifted(source, element, out)
        if element.vr == "TM" and self.profile.options & _DATES:
            return self._shifted(source, element, out)
        return self.unlisted(source, element)

    def _kept(self, element: Element, out: DataSet) -> Element | None:
        """Keep what an option retains, unless it is of a kind that the option does not mean."""
        if element.items is not None:
            return self._items(element, out)
        if element.vr in _TEMPORAL and not _TIMES.fullmatch(element.value):
            return _emptied(element)
        return None if element.undefined else element

    def _items(self, element: Element, out: DataSet) -> Element:
        items = tuple(self.level(item, out) for item in element.items or ())
        return element._replace(items=items)

    def _private(self, source: DataSet, element: Element, code: Code) -> Element | None:
        """Keep what the table of private elements calls safe, and its creators."""
        if code is Code.REMOVE or element.items is not None:
            return None
        if element.tag & 0xFFFF < 0x100:  # noqa: PLR2004 - a creator, checked once the level is done
            return element
        known = private_tag(source.creator(element.tag), element.tag)
        repeats = self.unlisted.traces.within(element.value)
        return element if known and known.safe and not repeats else None

    def _uid(self, element: Element, out: DataSet) -> Element:
        if element.items is not None:
            return self._items(element, out)
        return dummies.uids(element, self.profile.pseudonyms)

    def _shifted(self, source: DataSet, element: Element, out: DataSet) -> Element | None:  # noqa: ARG002
        """Move a date; a time of day stays, and what is neither goes."""
        if element.vr == "TM":
            return element if _is_time(contents(source, element)) else _emptied(element)
        if element.vr not in {"DA", "DT"}:
            return None
        values = (contents(source, element) or "").split("\\")
        moved = [dates.moved(value.strip(), self.days) for value in values]
        return element._replace(value="\\".join(moved).encode() if all(moved) else b"")

    def _clean(self, source: DataSet, element: Element, out: DataSet) -> Element | None:
        if element.items is not None:
            items = tuple(self._clean_item(item, out) for item in element.items)
            return element._replace(items=items)
        if element.vr in _FREE_TEXT:
            return _cleaned(source, element)
        return dummies.replaced(element, self.profile.pseudonyms) if element.vr in TEXT else None

    def _clean_item(self, item: DataSet, parent: DataSet) -> DataSet:
        """Clean structured content: codes of standard schemes stay, all text is reduced."""
        out = DataSet({}, parent, item.big_endian)
        standard = bool(SCHEMES & set(_values(item, codes.SCHEME)))
        for element in item:
            result = self._clean_part(item, element, out, standard=standard)
            if result is not None:
                out.elements[element.tag] = result
        return out

    def _clean_part(
        self, item: DataSet, element: Element, out: DataSet, *, standard: bool
    ) -> Element | None:
        tag = element.tag
        if tag >> 16 & 1 or element.undefined:
            return None
        if rules(self.profile.options).code(tag) is not None:
            return self._element(item, element, out)
        if element.items is not None or (tag in codes.NAMING and not standard):
            return self._clean(item, element, out)
        return self._clean_value(item, element, standard=standard)

    def _clean_value(self, item: DataSet, element: Element, *, standard: bool) -> Element | None:
        if element.vr in _CODED or (standard and element.tag in codes.NAMING):
            return self.unlisted(item, element)
        if element.vr in _FREE_TEXT:
            return _cleaned(item, element)
        return dummies.replaced(element, self.profile.pseudonyms)


def _cleaned(source: DataSet, element: Element) -> Element:
    values = (contents(source, element) or "").split("\\")
    return element._replace(value="\\".join(map(cleaned, values)).encode("ascii", "ignore"))


def _emptied(element: Element) -> Element:
    items = () if element.items is not None else None
    return Element(element.tag, element.vr, b"", items)


def _drop_lonely_creators(out: DataSet) -> None:
    """Remove private creators whose block is empty: their text is not known to be safe."""
    used = {
        element.tag & 0xFFFF0000 | element.tag >> 8 & 0xFF
        for element in out
        if element.tag >> 16 & 1 and element.tag & 0xFFFF >= 0x100  # noqa: PLR2004
    }
    out.elements = {
        tag: element
        for tag, element in out.elements.items()
        if not (tag >> 16 & 1 and tag & 0xFFFF < 0x100) or tag in used  # noqa: PLR2004
    }


def _is_time(text: str | None) -> bool:
    return bool(text) and all(c in "0123456789.:\\" for c in text or "")


def _text(root: DataSet, tag: int) -> str:
    element = root.elements.get(tag)
    return (contents(root, element) or "").strip() if element else ""


def _values(dataset: DataSet, tag: int) -> Iterable[str]:
    element = dataset.elements.get(tag)
    return code_strings(element) if element else ()
