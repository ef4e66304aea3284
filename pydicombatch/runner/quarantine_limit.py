"""When so much is quarantined at the beginning of a run that going on would be a waste."""

from collections.abc import Iterable

from pydicombatch.core.errors import FatalError
from pydicombatch.core.model import Quarantined, Stored

FIRST = 100  # instances that are looked at
REASONS = 3  # that are named


class QuarantineLimit:
    """Counts the first instances of a run.

    Parameters
    ----------
    percent
        More quarantined ones than this share of the first 100 end the run, as soon as that is
        certain; 100 never does.
    """

    def __init__(self, percent: float) -> None:
        self._percent = percent
        self._seen = 0
        self._reasons: dict[str, int] = {}

    def count(self, results: Iterable[Stored | Quarantined]) -> None:
        """Take what became of instances, in the order in which it was decided.

        Raises
        ------
        FatalError
            If too many are quarantined; it names the reasons.
        """
        for one in results:
            if self._seen == FIRST:
                return
            self._seen += 1
            if isinstance(one, Quarantined):
                self._reasons[one.reason] = self._reasons.get(one.reason, 0) + 1
                self._judge()

    def _judge(self) -> None:
        count = sum(self._reasons.values())
        if count * 100 <= self._percent * FIRST:
            return
        common = sorted(self._reasons.items(), key=lambda pair: (-pair[1], pair[0]))[:REASONS]
        named = "; ".join(f"{number} times: {reason}" for reason, number in common)
        raise FatalError(
            f"{count} of the first {self._seen} instances were quarantined ({named})",
            "Mend the script or the lookup table, look with `pydicombatch check --sample 20 "
            "CONFIG`, then run again; or raise anonymization.quarantine_limit",
        )
