"""What an archive must not do, and what becomes of the request then."""

import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from pydicombatch.backends.dimse import DimseArchive, Peer, Timeouts
from pydicombatch.core.elements import parse_key
from pydicombatch.core.errors import FatalError, TransientError, Unreachable
from pydicombatch.core.model import Answer, Match, Request, RequestType, Tally, Verdict
from tests.support.fake_archive import (
    CONTEXTS,
    Abort,
    Drop,
    FakeArchive,
    Final,
    Pending,
    Release,
    Script,
    Sleep,
    Step,
    Store,
)
from tests.support.instances import dataset, specs
from tests.support.ports import LOOPBACK
from tests.support.storage import StorageServer

FIND = Request(
    "identity", 1, RequestType.FIND, "study",
    tuple(map(parse_key, ["QueryRetrieveLevel=STUDY", "PatientID", "StudyInstanceUID"])),
)  # fmt: skip
MOVE = Request(
    "identity", 1, RequestType.MOVE, "study",
    tuple(map(parse_key, ["QueryRetrieveLevel=STUDY", "StudyInstanceUID=1.2.3"])),
)  # fmt: skip


def archive(
    fake: FakeArchive,
    type_: RequestType = RequestType.FIND,
    response: float = 5.0,
    last_arrival: Callable[[], float] = lambda: float("-inf"),
) -> DimseArchive:
    timeouts = Timeouts(connect=2, association=1, response=response)
    peer = Peer(LOOPBACK, fake.port, "FAKE", "SAMPLE_AE", timeouts=timeouts)
    return DimseArchive(peer, "study", type_, last_arrival)


def study(uid: str = "1.2.3", patient: str = "P1") -> Dataset:
    found = Dataset()
    found.PatientID, found.StudyInstanceUID = patient, uid
    return found


def find(script: Script) -> tuple[Answer, list[Match]]:
    found: list[Match] = []
    with FakeArchive(script) as fake:
        one = archive(fake)
        try:
            return one.find(FIND, found.append), found
        finally:
            one.close()


def move(*steps: Step) -> tuple[Answer, list[Tally]]:
    progress: list[Tally] = []
    with FakeArchive(Script([steps])) as fake:
        one = archive(fake, RequestType.MOVE)
        try:
            return one.move(MOVE, 77, "SAMPLE_AE", progress.append), progress
        finally:
            one.close()


def test_a_match_that_cannot_be_read_costs_no_other_and_is_told() -> None:
    torn = struct.pack("<HHL", 0x0010, 0x0020, 400) + b"P2"
    answer, found = find(
        Script([[Pending(match=study("1.1")), Pending(match=torn), Pending(),
                 Pending(match=study("1.2")), Final()]])
    )  # fmt: skip
    assert [dict(match.values)["StudyInstanceUID"] for match in found] == ["1.1", "1.2"]
    assert answer.verdict is Verdict.RETRY
    assert answer.reason == "2 of the archive's matches could not be read"


def test_a_requested_element_that_is_missing_is_an_empty_text() -> None:
    found_only = Dataset()
    found_only.PatientID = "P1"
    _, found = find(Script([[Pending(match=found_only), Final()]]))
    assert found == [
        Match((("QueryRetrieveLevel", ""), ("PatientID", "P1"), ("StudyInstanceUID", "")))
    ]


def test_the_comment_of_a_failure_is_kept_harmless_and_short() -> None:
    answer, _ = find(
        Script([[Final(0xA900, comment="\x1b[2J no\nway" + "x" * 999, offending=[0x00080052])]])
    )
    assert answer.verdict is Verdict.GIVE_UP
    assert answer.comment.startswith("\\x1b[2J no\\nway")
    assert len(answer.comment) == 200
    assert answer.offending == "(0008,0052)"


def test_a_move_without_counters_is_done_and_says_nothing_of_them() -> None:
    answer, progress = move(Pending(), Final())
    assert (answer.verdict, answer.tally, progress) == (Verdict.DONE, Tally(), [Tally()])


def test_success_with_failed_sub_operations_is_tried_again_with_their_uids() -> None:
    answer, _ = move(Final(0xB000, 3, 2, 0, failed_uids=["1.2.3.4", "1.2.3.5"]))
    assert answer.verdict is Verdict.RETRY
    assert answer.tally == Tally(None, 3, 2, 0)
    assert answer.failed_uids == ("1.2.3.4", "1.2.3.5")
    assert answer.reason == "2 of the archive's sub-operations failed"


def test_progress_is_handed_over_as_it_comes() -> None:
    _, progress = move(
        Pending(remaining=2, completed=0, failed=0, warning=0),
        Pending(remaining=1, completed=1, failed=0, warning=0),
        Final(0, 2, 0, 0),
    )
    assert [(tally.remaining, tally.expected) for tally in progress] == [(2, 2), (1, 2)]


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (Abort(), "The archive aborted the association"),
        (Drop(), "The archive closed the connection"),
        (Release(), "The archive released the association too early"),
        (Sleep(1.5), "The archive was silent for 0.5 s"),
    ],
)
@pytest.mark.parametrize("first", [[], [Pending(match=study())]], ids=["at once", "midway"])
def test_an_association_that_ends_midway_is_transient_and_a_new_one_serves_the_next(
    first: Sequence[Step], step: Step, sentence: str
) -> None:
    found: list[Match] = []
    with FakeArchive(Script([[*first, step], [Pending(match=study()), Final()]])) as fake:
        one = archive(fake, response=0.5)
        with pytest.raises(TransientError) as caught:
            one.find(FIND, found.append)
        assert caught.value.problem == sentence
        assert type(caught.value) is TransientError
        assert len(found) == len(first)
        assert one.find(FIND, found.append).verdict is Verdict.DONE
        assert fake.associations == 2
        one.close()


@pytest.mark.parametrize("script", [Script(idle_abort=True), Script(idle_release=True)],
                         ids=["abort", "release"])  # fmt: skip
def test_an_association_dropped_while_idle_is_no_failure(script: Script) -> None:
    with FakeArchive(script) as fake:
        one = archive(fake)
        for _ in range(4):
            assert one.find(FIND, print).verdict is Verdict.DONE
            time.sleep(0.1)
        assert fake.associations == 4
        assert len(fake.asked) == 4
        one.close()


def test_an_error_of_the_caller_leaves_no_answer_behind_for_the_next_request() -> None:
    answers = [Pending(match=study(str(number))) for number in range(5)]
    found: list[Match] = []
    with FakeArchive(Script([[*answers, Final()], [Pending(match=study("9")), Final()]])) as fake:
        one = archive(fake)
        with pytest.raises(ZeroDivisionError):
            one.find(FIND, lambda _: found.append(1 // 0))  # type: ignore[arg-type]
        one.find(FIND, found.append)
        one.close()
    assert [dict(match.values)["StudyInstanceUID"] for match in found] == ["9"]


def test_pendings_keep_a_slow_move_alive() -> None:
    steps: list[Step] = []
    for number in range(4):
        steps += [Sleep(0.3), Pending(remaining=4 - number, completed=number)]
    with FakeArchive(Script([[*steps, Final(0, 4, 0, 0)]])) as fake:
        one = archive(fake, RequestType.MOVE, response=0.6)
        assert one.move(MOVE, 1, "SAMPLE_AE", lambda _: None).verdict is Verdict.DONE
        one.close()


def test_arrivals_keep_a_move_without_pendings_alive() -> None:
    with FakeArchive(Script([[Sleep(1.2), Final(0, 4, 0, 0)]])) as fake:
        one = archive(fake, RequestType.MOVE, 0.3, last_arrival=time.monotonic)
        assert one.move(MOVE, 1, "SAMPLE_AE", lambda _: None).verdict is Verdict.DONE
        one.close()


def test_a_cancel_from_another_thread_reaches_the_archive() -> None:
    steps: list[Step] = [Pending(remaining=2), Sleep(0.5), Final(0xFE00, 1, 0, 0)]
    with FakeArchive(Script([steps])) as fake:
        one = archive(fake, RequestType.MOVE)
        started = threading.Event()

        def cancel() -> None:
            started.wait(5)
            one.cancel()

        canceller = threading.Thread(target=cancel)
        canceller.start()
        answer = one.move(MOVE, 4242, "SAMPLE_AE", lambda _: started.set())
        canceller.join()
        assert (answer.status, answer.verdict) == (0xFE00, Verdict.RETRY)
        assert fake.cancelled == [4242]
        one.cancel()
        assert one.echo().status == 0
        one.close()


def test_opening_makes_sure_that_the_model_is_offered() -> None:
    with FakeArchive(Script(contexts=CONTEXTS[:3])) as fake:
        one = archive(fake)
        with pytest.raises(FatalError, match="does not offer the study model for C-FIND"):
            one.open()
        assert one.echo().status == 0
        one.close()
    with FakeArchive(Script()) as fake:
        one = archive(fake)
        one.open()
        one.open()
        assert fake.associations == 1
        one.close()


def test_an_archive_that_refuses_every_context_is_told_from_one_that_is_down() -> None:
    """F21."""
    fatal = pytest.raises(FatalError, match="does not offer C-ECHO")
    with FakeArchive(Script(contexts=["1.2.840.10008.5.1.4.1.1.2"])) as fake, fatal:
        archive(fake).echo()


def test_an_abort_from_another_thread_does_not_wait_for_the_archive() -> None:
    with FakeArchive(Script([[Sleep(3), Final()]])) as fake:
        one = archive(fake)
        timer = threading.Timer(0.2, one.abort)
        timer.start()
        began = time.monotonic()
        with pytest.raises(TransientError, match="We aborted the association"):
            one.find(FIND, print)
        assert time.monotonic() - began < 1.5
        timer.join()


@pytest.mark.parametrize(
    ("reject", "kind", "words"),
    [
        ((1, 1, 3), FatalError, "does not recognise our AE title SAMPLE_AE"),
        ((1, 1, 7), FatalError, "does not answer to the AE title FAKE"),
        ((1, 1, 1), FatalError, "rejected our association for good"),
        ((1, 1, 2), FatalError, "application context not supported"),
        ((1, 2, 2), FatalError, "protocol version not supported"),
        ((2, 1, 1), Unreachable, "takes no more associations for now"),
        ((2, 3, 1), Unreachable, "temporary congestion"),
        ((2, 3, 2), Unreachable, "local limit is exceeded"),
        ((1, 3, 2), Unreachable, "local limit is exceeded"),
    ],
)
def test_a_rejection_for_good_is_fatal_and_one_for_now_is_not(
    reject: tuple[int, int, int], kind: type[Exception], words: str
) -> None:
    with FakeArchive(Script(reject=[reject])) as fake:
        one = archive(fake)
        with pytest.raises(kind, match=words):
            one.find(FIND, print)
        assert one.find(FIND, print).verdict is Verdict.DONE
        one.close()


def test_an_archive_may_store_under_any_name_and_leave_its_origin_out() -> None:
    with StorageServer() as storage:
        several = [dataset(spec) for spec in specs(instances=3)]
        steps: list[Step] = [
            Store(several[0]),
            Store(several[1], originator_message_id=0, calling_aet="FEEDER7"),
            Store(several[2], originator_aet="SAMPLE_AE"),
            Final(0, 3, 0, 0),
        ]
        with FakeArchive(Script([steps], destinations={storage.aet: storage.port})) as fake:
            one = archive(fake, RequestType.MOVE)
            assert one.move(MOVE, 99, storage.aet, lambda _: None).tally.sent == 3
            one.close()
        origins = [(it.originator_aet, it.originator_message_id) for it in storage.received]
        assert origins == [("", 99), ("", None), ("SAMPLE_AE", 99)]
        assert [it.calling_aet for it in storage.received] == ["FAKE", "FEEDER7", "FAKE"]


def test_nothing_of_the_libraries_reaches_log_or_terminal() -> None:
    """S14."""
    sent = b"1.2.CANARY" + b"\0" + b"\xff" * 60  # no UID, no ASCII, odd length
    match = struct.pack("<HHL", 0x0020, 0x000D, len(sent)) + sent
    program = (
        "import logging, sys\n"
        "logging.basicConfig(level=logging.WARNING)\n"
        "from tests.integration.test_dimse_misbehaviour import *\n"
        "import pydicom.misc\n"
        "one = archive(type('At', (), {'port': int(sys.argv[1])})())\n"
        "found = []\n"
        "print(one.find(FIND, found.append).verdict, len(found), file=sys.stdout)\n"
        "threading.Thread(target=pydicom.misc.warn_and_log, args=('CANARY',)).start()\n"
        "logging.getLogger('pynetdicom.acse').error('CANARY')\n"
        "logging.getLogger('pydicom').critical('CANARY')\n"
    )
    with FakeArchive(Script([[Pending(match=match), Final(0, comment="CANARY")]])) as fake:
        done = subprocess.run(
            [sys.executable, "-c", program, str(fake.port)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=Path(__file__).parents[2],
        )
    assert done.stdout == "Verdict.DONE 1\n", done.stderr
    assert done.stderr == ""
