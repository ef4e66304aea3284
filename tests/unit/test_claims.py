import threading

from pydicombatch.process.claims import Claims
from tests.support.fakes import together


def test_the_first_original_keeps_an_anonymized_uid() -> None:
    claims = Claims({"a": "recorded"}.get)
    assert claims.claim("b", "one")
    assert not claims.claim("b", "two")
    assert claims.claim("b", "one")
    assert not claims.claim("a", "one")
    assert claims.claim("a", "recorded")


def test_a_claim_that_was_let_go_is_the_ledgers_to_decide() -> None:
    recorded: dict[str, str] = {}
    claims = Claims(recorded.get)
    assert claims.claim("a", "one")
    claims.release("one")
    claims.release("one")
    claims.release("never claimed")
    assert claims.claim("a", "two")
    recorded["a"] = "two"
    claims.release("two")
    assert not claims.claim("a", "three")


def test_of_many_at_the_same_time_one_wins() -> None:
    claims = Claims(lambda _: None)
    barrier = threading.Barrier(8)
    won: list[int] = []

    def job(number: int) -> None:
        barrier.wait()
        if claims.claim("a", str(number)):
            won.append(number)

    together(*(lambda number=n: job(number) for n in range(8)))
    assert len(won) == 1
