"""No retrieve that may mean everything leaves (fault F10)."""

import pytest

from pydicombatch.backends.dimse.identifier import refuse_everything
from pydicombatch.core.errors import RequestError
from pydicombatch.core.model import Key, Request, RequestType
from pydicombatch.plan import rules
from pydicombatch.select.levels import UNIQUE_KEYS

BLANKS = [
    "", "*", "?", "**", "?*?", " ", " * ", "\t", "\u00a0", "1.2\\", "\\1.2", "1.2\\*",
    "1.2\\ \\1.3", ".", "1.2.*", "1.2?",
]  # fmt: skip


@pytest.mark.parametrize("value", BLANKS)
@pytest.mark.parametrize("level", ["STUDY", "SERIES", "IMAGE"])
def test_a_unique_key_that_may_mean_everything_never_leaves(level: str, value: str) -> None:
    """F10: neither the plan nor the last look before the wire lets it pass."""
    own = UNIQUE_KEYS[level]
    keys = (Key("QueryRetrieveLevel", level), Key(own, value), Key("PatientID", "P1"))
    asked = Request("i", 1, RequestType.MOVE, "patient", keys)
    assert any(issue.is_error for issue in rules.issues(asked, None))
    with pytest.raises(RequestError, match="everything"):
        refuse_everything(asked)


def test_a_c_move_without_any_value_never_leaves() -> None:
    """F10."""
    for level in ("STUDY", "", "NONSENSE"):
        keys = (Key("QueryRetrieveLevel", level), Key("PatientID", "*"), Key("StudyDate"))
        asked = Request("i", 1, RequestType.MOVE, "study", keys)
        assert any(issue.is_error for issue in rules.issues(asked, None))
        with pytest.raises(RequestError, match="everything"):
            refuse_everything(asked)


def test_a_list_of_uids_may_leave() -> None:
    keys = (Key("QueryRetrieveLevel", "STUDY"), Key("StudyInstanceUID", "1.2\\1.3"))
    asked = Request("i", 1, RequestType.MOVE, "study", keys)
    refuse_everything(asked)
    assert not any(issue.is_error for issue in rules.issues(asked, None))
