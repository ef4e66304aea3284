"""What is kept of the matches of a row, and what that means for the row. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicombatch.core.model import Key, Outcome
from pydicombatch.select.levels import DEPTH, INSTANCES, LEVELS, MODALITIES, UNIQUE_KEYS
from pydicombatch.select.rules import Rules, Values

NAMES = {"PATIENT": "patients", "STUDY": "studies", "SERIES": "series", "IMAGE": "instances"}
MOST_NAMED = 3  # elements named in a reason


@dataclass(frozen=True, slots=True)
class Chosen:
    """One entity that is to be retrieved."""

    keys: tuple[Key, ...]  # of its retrieve
    values: Mapping[str, str] = field(hash=False)  # what the archive said about it

    def instances(self, level: str) -> int | None:
        """Return how many instances it has; None: not known."""
        if level == "IMAGE":
            return 1
        text = self.values.get(INSTANCES.get(level, ""), "").strip()
        return int(text) if text.isdecimal() else None

    def modality(self, level: str) -> str:
        """Return its modality, several joined by a backslash, "" when it is not known."""
        named = self.values.get("Modality") or self.values.get(MODALITIES.get(level, ""), "")
        return named.strip()


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a row."""

    outcome: Outcome  # COMPLETE: go on and retrieve
    chosen: tuple[Chosen, ...] = ()
    reason: str = ""
    remedy: str = ""


class Choice:
    """Takes entities one by one; knows when it has seen enough.

    Parameters
    ----------
    rules
        What is selected.
    model
        Information model of the retrieves.
    """

    def __init__(self, rules: Rules, model: str) -> None:
        self._rules = rules
        self._model = model
        self._chosen: dict[str, Chosen] = {}
        self._seen: dict[str, set[str]] = {level: set() for level in UNIQUE_KEYS}
        self._unfit: Counter[str] = Counter()
        self._untold: Counter[str] = Counter()
        self._answers = 0
        self.nameless = 0  # entities that nothing can be retrieved by

    def drop(self, culprits: tuple[str, ...], found: Values) -> None:
        """Note an entity that does not fit, and which elements say so or are not there."""
        self._answers += 1
        self._unfit.update(culprits)
        self._untold.update(path for path in culprits if not found.get(path, "").strip())

    def add(self, found: Values) -> bool:
        """Take an entity that fits; return whether more of them could change anything."""
        own = found.get(UNIQUE_KEYS[self._rules.level], "").strip()
        keys = retrieve_keys(found, self._model, self._rules.level)
        if not own or keys is None:
            self.skip()
            return True
        self._answers += 1
        for level, key in UNIQUE_KEYS.items():
            if value := found.get(key, "").strip():
                self._seen[level].add(value)
        self._chosen.setdefault("\\".join(key.value for key in keys), Chosen(keys, found))
        return not self.is_full and not self._exceeded()

    def skip(self) -> None:
        """Note an entity without its unique key, such as a patient without PatientID."""
        self._answers += 1
        self.nameless += 1

    @property
    def has_answers(self) -> bool:
        """Whether anything was found, whether it fits or not."""
        return self._answers > 0

    @property
    def is_full(self) -> bool:
        """Whether there are as many as are to be kept, and nothing else is to be counted."""
        first = self._rules.first
        return first is not None and not self._rules.at_most and len(self._chosen) >= first

    def decide(self) -> Decision:
        """Say what becomes of the row."""
        exceeded = self._exceeded() or self._too_many_instances()
        if exceeded:
            return Decision(Outcome.AMBIGUOUS, (), *exceeded)
        if not self._chosen and self.nameless:
            return Decision(
                Outcome.FAILED,
                (),
                f"The archive gave {self.nameless} answers without the unique keys of a retrieve",
                "Choose another select.level or request.model",
            )
        if not self._chosen:
            return Decision(Outcome.EMPTY, (), *self._why_none())
        return Decision(Outcome.COMPLETE, tuple(self._chosen.values())[: self._rules.first])

    def _exceeded(self) -> tuple[str, str] | None:
        for level, most in self._rules.at_most:
            if len(self._seen.get(level, ())) > most:
                return self._ambiguous(level, most)
        return None

    def _ambiguous(self, level: str, most: int) -> tuple[str, str]:
        name = NAMES[level]
        return (
            f"It matches more than {most} {name}, which is what select.at_most allows",
            f"Name it more exactly, add a condition to select.where, or raise at_most.{name}",
        )

    def _too_many_instances(self) -> tuple[str, str] | None:
        most = self._rules.most("INSTANCES")
        if most is None:
            return None
        counts = [one.instances(self._rules.level) for one in self._chosen.values()]
        if None in counts:
            return (
                "Nobody knows how many instances it matches, which select.at_most limits",
                "Remove at_most.instances, or limit studies or series",
            )
        return self._ambiguous("IMAGE", most) if sum(filter(None, counts)) > most else None

    def _why_none(self) -> tuple[str, str]:
        if not self._answers:
            return "The archive found nothing for this request", "Check the values of this row"
        reason = f"The archive gave {self._answers} answers, none of which fits"
        blamed = [path for path, _ in self._unfit.most_common(MOST_NAMED)]
        untold = [path for path in blamed if self._untold[path] == self._unfit[path]]
        if untold:
            named = " or ".join(untold)
            remedy = "If the archive never does, add missing: keep to the condition or leave it out"
            return f"{reason}, as none tells {named}", remedy
        named = f" ({', '.join(blamed)})" if blamed else ""
        return f"{reason}{named}", "Check the row and select.where"


def retrieve_keys(found: Values, model: str, level: str) -> tuple[Key, ...] | None:
    """Make the keys of a retrieve: the level and the unique keys down to it (PS3.4 C.4.2.2.1).

    None when one of them is not known.
    """
    keys = [Key("QueryRetrieveLevel", level)]
    for one in LEVELS[model]:
        if DEPTH[one] > DEPTH[level]:
            break
        value = found.get(UNIQUE_KEYS[one], "").strip()
        if not value or {"*", "?", "\\"} & set(value):
            return None
        keys.append(Key(UNIQUE_KEYS[one], value))
    return tuple(keys)
