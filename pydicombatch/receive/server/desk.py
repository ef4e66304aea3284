"""Which requests an instance belongs to, out of many thousand, in constant time."""

from collections.abc import Hashable, Iterable
from dataclasses import replace
from typing import TypeVar

from pydicombatch.core.attribution import ATTRIBUTABLE, Expectation, attribute
from pydicombatch.core.model import Identifiers, Origin

_K = TypeVar("_K", bound=Hashable)
_MOST_DECIDED = 256
_NO_MESSAGE = 0  # no C-MOVE-RQ has it: message ids are 1 to 65535 here
# The most specific key first: it names the fewest requests.
_MOST_SPECIFIC = tuple(reversed(ATTRIBUTABLE))


class Desk:
    """Every expectation of this run; answers as `core.attribution.attribute` does over all.

    Parameters
    ----------
    aet
        Our AE title, as it stands in Move Originator of what we asked for.
    """

    def __init__(self, aet: str) -> None:
        self._aet = aet
        self._by_request: dict[int, Expectation] = {}
        self._by_message: dict[int, dict[int, Expectation]] = {}
        self._by_value: dict[tuple[str, str], dict[int, Expectation]] = {}
        self._decided: dict[tuple[object, ...], tuple[int, ...]] = {}
        self.decisions = 0  # changes with every expectation
        self._naming_instances = 0  # expectations that tell the instances of a series apart

    @property
    def tells_series_apart(self) -> bool:
        """Whether instances of one series may belong to different requests."""
        return bool(self._naming_instances)

    def expect(self, expectation: Expectation) -> None:
        """Welcome the instances of a request; a second time replaces the first."""
        self._forget(expectation.request)
        number = expectation.request
        self._by_request[number] = expectation
        self._naming_instances += _names_instances(expectation)
        if expectation.message_id != _NO_MESSAGE:
            self._by_message.setdefault(expectation.message_id, {})[number] = expectation
        for place in _places(expectation):
            self._by_value.setdefault(place, {})[number] = expectation

    def settle(self, request: int) -> None:
        """Forget a request; its late instances are found in the ledger, however many it holds."""
        self._forget(request)

    def decide(self, instance: Identifiers, origin: Origin) -> tuple[int, ...]:
        """Return the requests that an instance belongs to, by number; none: unsolicited."""
        if self._naming_instances:
            return self._decide(instance, origin)
        # instances of one series that come on one association belong to the same
        key = (
            instance.study_instance_uid,
            instance.series_instance_uid,
            instance.patient_id,
            instance.accession_number,
            origin.originator_aet,
            origin.originator_message_id,
        )
        found = self._decided.get(key)
        if found is None:
            if len(self._decided) >= _MOST_DECIDED:
                self._decided.clear()
            found = self._decided[key] = self._decide(instance, origin)
        return found

    def _decide(self, instance: Identifiers, origin: Origin) -> tuple[int, ...]:
        if origin.originator_message_id == _NO_MESSAGE:  # it would name what is settled
            origin = replace(origin, originator_message_id=None)
        return attribute(instance, origin, self._aet, self._candidates(instance, origin))

    def _candidates(self, instance: Identifiers, origin: Origin) -> Iterable[Expectation]:
        found: dict[int, Expectation] = {}
        if origin.originator_message_id:
            found.update(self._by_message.get(origin.originator_message_id, {}))
        for keyword, attribute_name in ATTRIBUTABLE.items():
            found.update(self._by_value.get((keyword, getattr(instance, attribute_name)), {}))
        return [found[number] for number in sorted(found)]

    def _forget(self, request: int) -> None:
        self._decided.clear()
        self.decisions += 1
        old = self._by_request.pop(request, None)
        if old is None:
            return
        self._naming_instances -= _names_instances(old)
        _remove(self._by_message, old.message_id, request)
        for place in _places(old):
            _remove(self._by_value, place, request)


def _names_instances(expectation: Expectation) -> bool:
    return any(keyword == "SOPInstanceUID" for keyword, _ in expectation.keys)


def _places(expectation: Expectation) -> list[tuple[str, str]]:
    """Return where to look: a named instance has the expectation's most specific key."""
    keys = dict(expectation.keys)
    keyword = next((keyword for keyword in _MOST_SPECIFIC if keyword in keys), None)
    return [(keyword, value) for value in keys[keyword]] if keyword else []


def _remove(index: dict[_K, dict[int, Expectation]], place: _K, request: int) -> None:
    kept = index.get(place)
    if kept is not None:
        kept.pop(request, None)
        if not kept:
            del index[place]
