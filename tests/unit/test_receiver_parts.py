"""The receiver's decisions: whose, who, how long, how fast; and what is said over the channel."""

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pydicombatch.core.adoption import Adoption, Returned
from pydicombatch.core.attribution import ATTRIBUTABLE, Expectation, attribute
from pydicombatch.core.model import Arrival, Identifiers, Origin
from pydicombatch.core.ports import Receiver
from pydicombatch.receive.process import wire
from pydicombatch.receive.process.parent import ProcessReceiver
from pydicombatch.receive.server.admission import Admission, Meter, Progress, admission, deadline
from pydicombatch.receive.server.desk import Desk
from pydicombatch.receive.server.outlet import Kept, Kind
from pydicombatch.receive.server.receiver import ThreadReceiver
from pydicombatch.receive.server.settings import Durability, Limits, Settings, TlsFiles
from pydicombatch.receive.upperlayer.phase import Phase

VALUES = st.sampled_from(["", "1", "2", "3"])
INSTANCES = st.builds(Identifiers, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES)
KEYS = st.dictionaries(
    st.sampled_from(list(ATTRIBUTABLE)), st.frozensets(VALUES, min_size=1), max_size=3
).map(lambda keys: tuple(keys.items()))
EXPECTATIONS = st.builds(Expectation, st.integers(1, 6), st.integers(1, 4), KEYS)
ORIGINS = st.builds(
    Origin,
    st.just("A"),
    st.just("127.0.0.1"),
    st.sampled_from([None, "", "OURS", "OTHER"]),
    st.none() | st.integers(0, 4),
)


@given(st.lists(EXPECTATIONS), st.lists(st.integers(1, 6)), INSTANCES, ORIGINS)
def test_the_desk_decides_as_attribution_does_over_all_expectations(
    expected: list[Expectation], settled: list[int], instance: Identifiers, origin: Origin
) -> None:
    desk = Desk("OURS")
    known: dict[int, Expectation] = {}
    for one in expected:
        desk.expect(one)
        known[one.request] = one
    for request in settled:
        desk.settle(request)
        known.pop(request, None)
    asked = origin if origin.originator_message_id else Origin("A", "127.0.0.1", None, None)
    outstanding = [known[number] for number in sorted(known)]
    for uid in ("1", instance.sop_instance_uid):  # the second time it may know it already
        again = replace(instance, sop_instance_uid=uid)
        assert desk.decide(again, origin) == attribute(again, asked, "OURS", outstanding)


def test_a_settled_request_is_forgotten_and_the_others_are_not() -> None:
    desk = Desk("OURS")
    desk.expect(Expectation(1, 9, (("PatientID", frozenset({"P"})),)))
    desk.expect(Expectation(2, 8, ()))
    stranger, own = Identifiers("c", "i"), Identifiers("c", "i", patient_id="P")
    origin = Origin("A", "x", "OURS", 8)
    assert desk.decide(stranger, origin) == (2,)
    desk.settle(2)
    desk.settle(1)
    assert desk.decide(stranger, origin) == ()
    assert desk.decide(own, Origin("A", "x")) == ()
    desk.expect(Expectation(3, 7, (("PatientID", frozenset({"P"})),)))
    assert desk.decide(own, Origin("A", "x")) == (3,)


LIMITS = Limits(connections=16, connections_per_address=8)


@pytest.mark.parametrize(
    ("open_now", "expected"),
    [
        ({}, Admission.WELCOME),
        ({"10.0.0.1": 7}, Admission.WELCOME),
        ({"10.0.0.1": 8}, Admission.FULL),
        ({"10.0.0.1": 4, "10.0.0.2": 8, "10.0.0.3": 2}, Admission.FULL),
        ({"10.0.0.2": 8, "10.0.0.3": 6}, Admission.WELCOME),
        ({"10.0.0.2": 8, "10.0.0.3": 8}, Admission.FULL),
    ],
)
def test_an_address_gets_its_share_and_the_last_places_go_to_newcomers(
    open_now: dict[str, int], expected: Admission
) -> None:
    assert admission("10.0.0.1", Counter(open_now), LIMITS, ()) is expected


@pytest.mark.parametrize(
    ("address", "welcome"),
    [("10.1.2.3", True), ("10.2.0.1", False), ("192.168.0.7", True), ("::1", False)],
)
def test_only_listed_addresses_and_networks_may_connect(address: str, welcome: bool) -> None:
    """S03."""
    verdict = admission(address, {}, LIMITS, ("10.1.0.0/16", "192.168.0.7"))
    assert (verdict is Admission.WELCOME) == welcome


def progress(**changes: object) -> Progress:
    values: dict[str, object] = {
        "phase": Phase.OPEN,
        "opened": 0.0,
        "closing_since": 50.0,
        "unit_since": None,
        "last_heard": 100.0,
        "in_message": False,
        "ours_to_act": False,
        "unsent_since": None,
    }
    return Progress(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"phase": Phase.AWAITING, "last_heard": 9.0}, 10.0),
        ({"phase": Phase.CLOSING}, 55.0),
        ({"unit_since": 90.0, "in_message": True}, 120.0),
        ({"in_message": True}, 160.0),
        ({}, 1000.0),
        ({"ours_to_act": True, "in_message": True}, float("inf")),
        ({"ours_to_act": True, "unsent_since": 100.0}, 130.0),
    ],
)
def test_patience_depends_on_what_the_peer_owes_us(
    changes: dict[str, object], expected: float
) -> None:
    assert deadline(progress(**changes), Limits()) == expected


@given(st.lists(st.integers(1, 262144), min_size=5, max_size=200), st.integers(10_000, 10**7))
def test_no_more_bytes_are_read_than_the_rate_allows(sizes: list[int], rate: int) -> None:
    meter, now = Meter(rate), 1000.0
    for size in sizes:
        now += meter.wait(now)
        meter.count(size, now)
    took = now + meter.wait(now) - 1000.0
    assert sum(sizes) <= rate * (took + 0.25) + 1


def test_without_a_rate_nobody_waits() -> None:
    meter = Meter(0)
    meter.count(1 << 40, 5.0)
    assert meter.wait(5.0) == 0.0


@given(
    st.builds(
        Arrival,
        st.just(PurePath("r-1-1.dcm")),
        INSTANCES,
        VALUES,
        st.integers(0),
        st.tuples(st.integers(1), st.integers(1)),
    ),
    EXPECTATIONS,
    st.lists(st.integers(0)),
)
def test_what_is_said_over_the_channel_arrives_however_it_is_cut(
    arrival: Arrival, expectation: Expectation, cuts: list[int]
) -> None:
    one = arrival
    kind = Kind(one.identifiers, one.transfer_syntax_uid, one.requests)
    kept = [Kept(one.file.name, one.identifiers.sop_instance_uid, one.size)]
    said = wire.encode({"arrivals": [[wire.pack_kind(kind), kept]]})
    said += wire.encode({"expect": wire.pack_expectation(expectation)})
    places = sorted({0, len(said), *(cut % len(said) for cut in cuts)})
    lines, heard = wire.Lines(), []
    for begin, end in itertools.pairwise(places):
        heard += lines.take(said[begin:end])
    assert wire.unpack_kept(heard[0]["arrivals"][0]) == [arrival]
    assert wire.unpack_expectation(heard[1]["expect"]) == expectation


TEXT = st.text(max_size=20)
NUMBERS = st.integers(0, 65535)
ADOPTIONS = st.builds(
    Adoption,
    st.dictionaries(st.integers(1, 255), st.tuples(TEXT, TEXT)),
    st.frozensets(st.integers(1, 255)),
    NUMBERS,
    NUMBERS,
    NUMBERS,
    NUMBERS,
    st.builds(Origin, TEXT, TEXT, st.none() | TEXT, st.none() | NUMBERS),
    st.frozensets(TEXT),
)
RETURNS = st.builds(
    Returned,
    st.none() | st.binary(),
    st.binary(),
    TEXT,
    st.dictionaries(TEXT, st.lists(TEXT).map(tuple)),
    NUMBERS,
)


@given(ADOPTIONS, RETURNS)
def test_an_association_is_handed_over_and_back_with_all_that_is_known_of_it(
    adoption: Adoption, returned: Returned
) -> None:
    said = wire.encode({"adopt": wire.pack_adoption(adoption)})
    said += wire.encode({"back": wire.pack_returned(returned)})
    first, second = wire.Lines().take(said)
    assert wire.unpack_adoption(first["adopt"]) == adoption
    assert wire.unpack_returned(second["back"]) == returned


def test_settings_survive_the_way_to_another_process() -> None:
    settings = Settings(
        104, "OURS", "/spool", "r", calling_aets=("A",), durability=Durability.INSTANCE,
        tls=TlsFiles("c", "k"), limits=Limits(connections=3),
    )  # fmt: skip
    assert Settings.from_json(wire.Lines().take(wire.encode(settings.to_json()))[0]) == settings


@pytest.mark.parametrize("kind", [ThreadReceiver, ProcessReceiver])
def test_both_receivers_fit_the_port_of_the_engine(
    kind: type[ThreadReceiver | ProcessReceiver],
) -> None:
    one: Receiver = kind(Settings(0, "OURS", ".", "run"), lambda _: ())
    assert one.refused() == 0
    one.close()


def test_a_line_may_name_hundreds_of_thousands_of_instances() -> None:
    uids = tuple(
        f"1.2.826.0.1.3680043.10.1234.9999999999.{number:020d}" for number in range(300_000)
    )
    returned = Returned(b"rest", b"", "", {"1.2.3": uids}, 0)
    said = wire.encode({"back": wire.pack_returned(returned)})
    lines, heard = wire.Lines(), []
    for at in range(0, len(said), 1 << 16):
        heard += lines.take(said[at : at + (1 << 16)])
    assert [wire.unpack_returned(one["back"]) for one in heard] == [returned]
