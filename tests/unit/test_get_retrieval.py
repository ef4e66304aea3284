"""The rounds of a C-GET: what is asked again, with which contexts, and what it amounts to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from pydicombatch.backends.dimse.contexts import Proposal
from pydicombatch.backends.dimse.kept import Kept, SubOperations
from pydicombatch.backends.dimse.negotiation import Agreement, Context
from pydicombatch.backends.dimse.retrieval import ROOM, Retrieval
from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.errors import FatalError, RequestError
from pydicombatch.core.model import Answer, Key, Match, Origin, Request, RequestType, Tally, Verdict
from pydicombatch.core.ports import Adopter

CT, MR, PRIVATE = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.9.1"
EXPLICIT, JPEG, RLE = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.5"
ORIGIN = Origin("ARCHIVE", "archive")
Held = tuple[str, str, str]  # SOP class, instance UID, transfer syntax


class Nothing:
    """An association that nobody serves any more."""

    def fileno(self) -> int:
        return -1

    def hear(self) -> Returned | None:
        raise ConnectionResetError

    def send(self, data: bytes) -> None:
        raise ConnectionResetError

    def end(self) -> None: ...

    def close(self) -> None: ...


class Spool:
    """A receiver that keeps UIDs, and refuses those it is told to."""

    def __init__(self, refuses: Sequence[str] = ()) -> None:
        self.kept: list[str] = []
        self.refuses = refuses

    def adopt(self, connection: int, adoption: Adoption) -> Nothing:
        return Nothing()


@dataclass
class Lent:
    """An association on which an archive sends these instances, if it is agreed that it sends."""

    agreed: Agreement
    sent: Sequence[Held]
    completed: int = 0
    adoptions: list[Adoption] = field(default_factory=list)

    def lend(
        self, adopter: Adopter, adoption: Adoption, last_arrival: Callable[[], float], _: float
    ) -> Returned:
        assert isinstance(adopter, Spool)
        self.adoptions.append(adoption)
        stored: dict[str, tuple[str, ...]] = {}
        refused = 0
        for sop_class, uid, _syntax in self.sent:
            if uid in adopter.refuses:
                refused += 1
                continue
            self.completed += 1
            if uid not in adoption.known and uid not in stored.get(sop_class, ()):
                adopter.kept.append(uid)
            stored[sop_class] = (*stored.get(sop_class, ()), uid)
        return Returned(b"", stored=stored, refused=refused)


@dataclass
class Session:
    """An archive that sends what it holds as it holds it, on the first context it looks at."""

    holds: Sequence[Held]
    looks_at_first: bool = False
    sends: bool = True
    status: int = 0xB000
    rounds: list[tuple[Proposal, ...]] = field(default_factory=list)
    adoptions: list[Adoption] = field(default_factory=list)

    def find(self, request: Request, on_match: Callable[[Match], None]) -> Answer:
        raise RequestError("no", "no")

    def get_once(
        self, request: Request, message_id: int, storage: tuple[Proposal, ...], kept: Kept
    ) -> tuple[Answer, Agreement]:
        self.rounds.append(storage)
        sent = []
        for sop_class, uid, syntax in self.holds:
            mine = [one for one in storage if one.sop_class == sop_class]
            mine = mine[:1] if self.looks_at_first else mine
            if self.sends and any(syntax in one.transfer_syntaxes for one in mine):
                sent.append((sop_class, uid, syntax))
        agreed = Agreement({"find": Context(1, EXPLICIT)}, 0, {}, sends=self.sends)
        lent = Lent(agreed, sent)
        SubOperations(kept, ORIGIN).carry_out(lent, 1, message_id, lambda: 0.0, 1e9)
        self.adoptions += lent.adoptions
        failed = len(self.holds) - lent.completed
        tally = Tally(0, lent.completed, failed, 0)
        verdict = Verdict.RETRY if failed else Verdict.DONE
        code = self.status if failed else 0x0000
        return Answer(code, verdict, tally=tally), agreed


def request(identity: str = "identity") -> Request:
    keys = (Key("QueryRetrieveLevel", "STUDY"), Key("StudyInstanceUID", "1.2"))
    return Request(identity, 1, RequestType.GET, "study", keys)


def at_once() -> None:
    pass


def test_every_further_request_waits_for_its_turn() -> None:
    turns: list[int] = []
    session = Session([(CT, "1", EXPLICIT), (MR, "2", RLE)], looks_at_first=True)
    Retrieval(session).carry_out(request(), 1, Spool(), lambda: turns.append(1))
    # the query before them leaves in place of the first round
    assert len(turns) == len(session.rounds) > 1


def test_one_round_is_enough_when_everything_has_a_context() -> None:
    session, spool = Session([(CT, "1", EXPLICIT), (MR, "2", JPEG)]), Spool()
    answer = Retrieval(session).carry_out(request(), 1, spool, at_once)
    assert (answer.status, spool.kept, len(session.rounds)) == (0, ["1", "2"], 1)


@pytest.mark.parametrize("status", [0xB000, 0x0000, 0xA702, 0xC000])
def test_an_archive_that_looks_at_the_first_context_gets_one_syntax_at_a_time(status: int) -> None:
    held = [(CT, "1", EXPLICIT), (MR, "2", RLE), (CT, "3", JPEG)]
    session, spool = Session(held, looks_at_first=True, status=status), Spool()
    answer = Retrieval(session).carry_out(request(), 1, spool, at_once)
    assert sorted(spool.kept) == ["1", "2", "3"]
    assert (answer.status, answer.verdict, answer.tally.sent) == (0, Verdict.DONE, 3)
    assert answer.tally.failed == 0


def test_what_was_useful_once_is_tried_early() -> None:
    session = Session([(CT, "1", EXPLICIT), (CT, "3", "1.2.840.10008.1.2.4.80")], True)
    retrieval = Retrieval(session)
    retrieval.carry_out(request(), 1, Spool(), at_once)
    first = len(session.rounds)
    retrieval.carry_out(request("another"), 2, Spool(), at_once)
    assert len(session.rounds) - first == 3 < first


def test_every_round_fits_into_an_association() -> None:
    session = Session([(PRIVATE, "1", EXPLICIT)])
    Retrieval(session).carry_out(request(), 1, Spool(), at_once)
    assert all(0 < len(one) <= ROOM for one in session.rounds)
    assert len(session.rounds) > 10


def test_an_instance_that_is_kept_is_not_kept_again() -> None:
    session = Session([(CT, "1", EXPLICIT), (CT, "1", JPEG), (PRIVATE, "2", JPEG)])
    spool = Spool()
    Retrieval(session).carry_out(request(), 1, spool, at_once)
    assert spool.kept == ["1"]
    assert [sorted(one.known) for one in session.adoptions][:2] == [[], ["1"]]


def test_the_receiver_is_told_which_contexts_are_for_instances_and_whose_they_are() -> None:
    session = Session([(CT, "1", EXPLICIT)])
    Retrieval(session).carry_out(request(), 7, Spool(), at_once)
    (told,) = session.adoptions
    assert (told.context, told.message_id, told.others) == (1, 7, frozenset({1}))
    assert (told.origin, told.longest) == (ORIGIN, 1 << 17)


def test_what_never_comes_is_counted_as_failed_and_not_tried_for_ever() -> None:
    session, spool = Session([(CT, "1", EXPLICIT), (PRIVATE, "2", "1.2.3.4")]), Spool()
    retrieval = Retrieval(session)
    answer = retrieval.carry_out(request(), 1, spool, at_once)
    assert (answer.verdict, answer.tally.failed, answer.tally.sent) == (Verdict.RETRY, 1, 1)
    assert answer.status == 0xB000
    rounds = len(session.rounds)
    retrieval.carry_out(request(), 2, spool, at_once)
    assert len(session.rounds) == rounds + 1  # the same request once more
    for number in range(5):
        retrieval.carry_out(request(f"other {number}"), 3, Spool(), at_once)
    before = len(session.rounds)
    retrieval.carry_out(request("last"), 4, Spool(), at_once)
    assert len(session.rounds) == before + 1  # other contexts never brought anything here


def test_what_we_refuse_is_not_asked_for_again() -> None:
    session = Session([(CT, "1", EXPLICIT), (CT, "2", EXPLICIT)])
    answer = Retrieval(session).carry_out(request(), 1, Spool(refuses=["2"]), at_once)
    assert (len(session.rounds), answer.tally.failed) == (1, 1)


@pytest.mark.parametrize("status", [0xFE00, 0xA900, 0x0122])
def test_other_failures_are_not_about_contexts(status: int) -> None:
    session = Session([(PRIVATE, "1", EXPLICIT)], status=status)
    answer = Retrieval(session).carry_out(request(), 1, Spool(), at_once)
    assert (answer.status, len(session.rounds)) == (status, 1)


def test_an_archive_that_does_not_send_to_us_is_named() -> None:
    session = Session([(CT, "1", EXPLICIT)], sends=False)
    with pytest.raises(FatalError, match="SCP role"):
        Retrieval(session).carry_out(request(), 1, Spool(), at_once)


def test_contexts_stay_while_they_are_good_enough() -> None:
    session = Session([(CT, "1", EXPLICIT)])
    retrieval = Retrieval(session)
    for number in range(3):
        retrieval.carry_out(request(str(number)), number, Spool(), at_once)
    assert len(set(session.rounds)) == 1
