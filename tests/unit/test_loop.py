"""What a test retrieval back to ourselves says about the way."""

from dataclasses import dataclass

import pytest

from pydicombatch.core.model import Answer, Tally, Verdict
from pydicombatch.runner.loop import Way, diagnose


@dataclass(frozen=True)
class Seen:
    address: str = "10.0.0.1"
    called_aet: str = "SAMPLE_AE"
    calling_aet: str = "ARCHIVE"
    asked_for: int = 0


def way(**more: object) -> Way:
    values: dict[str, object] = {
        "aet": "SAMPLE_AE", "port": 4006, "archive": "ARCHIVE", "addresses": {"10.0.0.1"},
        "calling_aets": (), "networks": (),
    }  # fmt: skip
    return Way(**values | more)  # type: ignore[arg-type]


SENT = Answer(0x0000, Verdict.DONE, tally=Tally(0, 3, 0, 0))
FAILED = Answer(0xB000, Verdict.RETRY, tally=Tally(0, 0, 3, 0))


def test_what_comes_back_from_the_archive_is_well() -> None:
    check = diagnose(way(), SENT, [Seen(asked_for=3)], 3)
    assert check.is_well
    assert check.detail == "3 instances came back"


def test_what_comes_from_elsewhere_is_said() -> None:
    check = diagnose(way(), SENT, [Seen("10.0.0.9", calling_aet="GATEWAY", asked_for=3)], 3)
    assert check.is_well
    assert "under AE title GATEWAY and from 10.0.0.9, not ARCHIVE" in check.detail


@pytest.mark.parametrize(
    ("changes", "answer", "callers", "said"),
    [
        ({}, Answer(0xA801, Verdict.STOP), [], "does not know move destination SAMPLE_AE"),
        ({}, SENT, [], "says it has sent all, but nobody connected to port 4006"),
        ({}, FAILED, [], "cannot connect to us (0xB000)"),
        ({}, Answer(0xA702, Verdict.RETRY), [], "cannot connect to us (0xA702)"),
        ({}, Answer(0xC000, Verdict.RETRY), [], "or cannot connect to it (0xC000)"),
        ({}, None, [], "not answered and nobody connects"),
        ({}, Answer(0x0124, Verdict.STOP, "Not allowed", "Ask"), [], "Not allowed"),
        ({}, FAILED, [Seen(called_aet="OTHER")], "calls us OTHER, not SAMPLE_AE"),
        ({}, FAILED, [Seen(called_aet="")], "does not speak DICOM"),
        ({}, FAILED, [Seen()], "connects to us from 10.0.0.1 but brings no instance"),
        ({}, SENT, [Seen(asked_for=2)], "Only 2 of 3"),
        ({"calling_aets": ("PACS",)}, SENT, [Seen(asked_for=3)], "AE title ARCHIVE, which may not"),
        ({"networks": ("10.1.0.0/16",)}, SENT, [Seen(asked_for=3)], "address 10.0.0.1, which may"),
    ],
)
def test_a_broken_link_is_named_with_a_remedy(
    changes: dict[str, object], answer: Answer | None, callers: list[Seen], said: str
) -> None:
    check = diagnose(way(**changes), answer, callers, 3)
    assert not check.is_well
    assert said in check.problem
    assert check.remedy
    assert check.exit_code == 3


def test_an_allowed_network_is_allowed() -> None:
    allowed = way(networks=("10.0.0.0/8",), calling_aets=("ARCHIVE",))
    assert diagnose(allowed, SENT, [Seen(asked_for=3)], 3).is_well
