"""The record of the shim is read in an order in which its calls can have had their effect."""

from tests.support.shim import Call, Event, in_effect


def event(call: Call, start: int, end: int, path: str) -> Event:
    return Event(call, start, end, 0, 0, path, "", b"", call is Call.SYNC)


def test_a_directory_is_made_before_what_another_thread_put_into_it() -> None:
    made = event(Call.MKDIR, 1, 6, "/out/P1")
    inner = event(Call.MKDIR, 2, 7, "/out/P1/S1")
    file = event(Call.CREATE, 3, 4, "/out/P1/S1/1.dcm")
    assert in_effect([file, made, inner]) == [made, inner, file]


def test_its_fsync_by_another_thread_comes_after_it() -> None:
    made = event(Call.MKDIR, 1, 4, "/out/P1")
    synced = event(Call.SYNC, 2, 3, "/out/P1")
    assert in_effect([made, synced]) == [made, synced]


def test_a_directory_that_is_made_again_is_made_twice() -> None:
    first = event(Call.MKDIR, 1, 2, "/out/P1")
    removed = event(Call.RMDIR, 3, 4, "/out/P1")
    second = event(Call.MKDIR, 5, 8, "/out/P1")
    file = event(Call.CREATE, 6, 7, "/out/P1/1.dcm")
    late = event(Call.RMDIR, 9, 10, "/out/P1")
    given = [first, removed, second, file, late]
    assert in_effect(given) == given


def test_all_else_stays_as_it_ended() -> None:
    one = event(Call.WRITE, 1, 4, "/out/a")
    two = event(Call.WRITE, 2, 3, "/out/b")
    assert in_effect([one, two]) == [two, one]
