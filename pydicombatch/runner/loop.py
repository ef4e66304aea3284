"""What a test retrieval back to ourselves says about the way. Pure: seen things in, a check out."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Protocol

from pydicombatch.core.model import Answer, Verdict
from pydicombatch.runner.preflight import Check

SUBJECT = "loop"
UNKNOWN_DESTINATION = 0xA801  # PS3.4 C.4.2.1.5
UNABLE = 0xC000  # what Orthanc says for an unknown destination, and for one it cannot reach


class Seen(Protocol):
    """Somebody who connected to us."""

    @property
    def address(self) -> str:
        """Where from."""

    @property
    def called_aet(self) -> str:
        """How it called us; "" if it spoke no DICOM."""

    @property
    def calling_aet(self) -> str:
        """Its title."""

    @property
    def asked_for(self) -> int:
        """Instances of the test that it brought."""


@dataclass(frozen=True, slots=True)
class Way:
    """How it should be."""

    aet: str  # our title, and the move destination
    port: int  # ours
    archive: str  # its AE title
    addresses: Collection[str]  # of the archive
    calling_aets: Collection[str]  # that may store here; empty: all
    networks: Collection[str]  # that may connect here; empty: all


def diagnose(way: Way, answer: Answer | None, callers: Sequence[Seen], wanted: int) -> Check:
    """Name the link that is broken.

    Parameters
    ----------
    way
        How it should be.
    answer
        The final response of the C-MOVE; None if there was none in time.
    callers
        Who connected to us meanwhile.
    wanted
        Instances of the series that was asked for.
    """
    bringers = [one for one in callers if one.asked_for]
    if bringers:
        return _arrived(way, bringers, wanted)
    if answer is not None and answer.status == UNKNOWN_DESTINATION:
        return _broken(
            f"C-FIND works, but {way.archive} does not know move destination {way.aet} (0xA801)",
            f"Ask its administrator to register {way.aet} with our host and port {way.port}",
        )
    if callers:
        return _came_to_nothing(way, callers)
    return _nobody_came(way, answer)


def _arrived(way: Way, bringers: Sequence[Seen], wanted: int) -> Check:
    for one in bringers:
        if way.calling_aets and one.calling_aet not in way.calling_aets:
            return _broken(
                f"Instances come from AE title {one.calling_aet}, which may not store here",
                f"Add {one.calling_aet} to local.accept.calling_aets",
            )
        if way.networks and not _is_in(one.address, way.networks):
            return _broken(
                f"Instances come from address {one.address}, which may not connect here",
                f"Add {one.address} to local.accept.addresses",
            )
    count = sum(one.asked_for for one in bringers)
    if count < wanted:
        return _broken(
            f"Only {count} of {wanted} instances came back",
            "Ask the archive's administrator what it did not send, and why",
        )
    return Check(SUBJECT, f"{count} instances came back{_elsewhere(way, bringers)}")


def _elsewhere(way: Way, bringers: Sequence[Seen]) -> str:
    """Say where they came from, if not from the archive as we know it."""
    one = bringers[0]
    odd = [f"under AE title {one.calling_aet}"] if one.calling_aet != way.archive else []
    if way.addresses and one.address not in way.addresses:
        odd.append(f"from {one.address}")
    return f", {' and '.join(odd)}, not {way.archive} itself" if odd else ""


def _came_to_nothing(way: Way, callers: Sequence[Seen]) -> Check:
    strangers = [one for one in callers if one.called_aet and one.called_aet != way.aet]
    if strangers:
        other = strangers[0]
        return _broken(
            f"{other.calling_aet} connects to us but calls us {other.called_aet}, not {way.aet}",
            f"Ask the archive's administrator to register our title as {way.aet}, "
            "or change local.aet",
        )
    if not any(one.called_aet for one in callers):
        return _broken(
            f"Something connects to port {way.port} from {callers[0].address} but does not speak "
            "DICOM as we expect it",
            "Check that both sides agree on TLS: local.tls here, and the archive's entry for us",
        )
    return _broken(
        f"{callers[0].calling_aet} connects to us from {callers[0].address} but brings no instance",
        "Look at the archive's log for the reason",
    )


def _nobody_came(way: Way, answer: Answer | None) -> Check:
    place = f"Ask its administrator which host and port it has for {way.aet}: it must be this host "
    remedy = f"{place}and port {way.port}; and check that no firewall stands in between"
    if answer is None:
        return _broken(
            f"C-FIND works, but the C-MOVE is not answered and nobody connects to port {way.port}",
            remedy,
        )
    if answer.verdict is Verdict.DONE and not answer.tally.failed:
        return _broken(
            f"{way.archive} says it has sent all, but nobody connected to port {way.port}",
            remedy,
        )
    if answer.status & 0xF000 == UNABLE:
        return _broken(
            f"C-FIND works, but {way.archive} does not know {way.aet} as a move destination, "
            f"or cannot connect to it (0x{answer.status:04X})",
            remedy,
        )
    if answer.verdict is Verdict.STOP:
        return _broken(answer.reason, answer.remedy)
    return _broken(
        f"C-FIND works, but {way.archive} cannot connect to us (0x{answer.status:04X})", remedy
    )


def _broken(problem: str, remedy: str) -> Check:
    return Check(SUBJECT, "", problem, remedy, 3)


def _is_in(address: str, networks: Collection[str]) -> bool:
    peer = ip_address(address.partition("%")[0])
    return any(peer in ip_network(one, strict=False) for one in networks)
