"""The data set that a connection is sending, from the events of its association."""

from pydicombatch.core.adoption import Adoption
from pydicombatch.core.model import Origin
from pydicombatch.receive.server.incoming import KEPT, Incoming, Refusal
from pydicombatch.receive.server.intake import Intake
from pydicombatch.receive.upperlayer import events
from pydicombatch.receive.upperlayer.command import Command


class Delivery:
    """Gathers the fragments of one read and has them written together.

    Parameters
    ----------
    intake
        Where data sets go.
    address
        The peer's.
    adoption
        What is known of an association of ours; None: the peer has asked for it.
    """

    def __init__(self, intake: Intake, address: str, adoption: Adoption | None = None) -> None:
        self.broken = ""  # how the peer broke the protocol
        self._adoption = adoption
        self._complete: Incoming | None = None
        self._intake = intake
        self._address = address
        self._incoming: Incoming | None = None
        self._fragments: list[memoryview] = []
        self._calling_aet = ""
        self._last_origin: Origin | None = None

    def take(self, happened: list[events.Event]) -> int:
        """Act on events; return how large the data set is by now, bytes."""
        for event in happened:
            if type(event) is events.Fragment:
                self._fragments.append(event.data)
            elif isinstance(event, events.StoreEnded):
                self._complete = self._incoming
            elif isinstance(event, events.StoreBegun):
                self._incoming = self._begin(event)
            elif isinstance(event, events.Associated):
                self._calling_aet = event.calling_aet
            elif isinstance(event, events.Aborted) and not event.by_peer:
                self.broken = event.reason
        return self._write() if self._fragments else 0

    def finished(self) -> Incoming | None:
        """Hand over the data set that is complete, if there is one."""
        complete = self._complete
        if complete is not None:
            self._complete = self._incoming = None
        return complete

    def refuse(self, refusal: Refusal) -> None:
        """Keep nothing of what is being received."""
        if self._incoming is not None:
            self._incoming.refuse(refusal)

    def drop(self) -> None:
        """Forget what is not complete."""
        if self._incoming is not None:
            self._intake.drop(self._incoming)
        self._incoming, self._fragments = None, []

    def _begin(self, begun: events.StoreBegun) -> Incoming:
        known = self._adoption.known if self._adoption is not None else ()
        incoming = self._intake.begin(begun, self._origin(begun.command))
        if begun.command.sop_instance_uid in known:
            incoming.refuse(KEPT)
        return incoming

    def _write(self) -> int:
        fragments, self._fragments = self._fragments, []
        if self._incoming is None:
            return 0
        self._incoming.write(fragments)
        return self._incoming.size

    def _origin(self, one: Command) -> Origin:
        """Return where the instance of a command comes from."""
        if self._adoption is not None:
            return self._adoption.origin
        last, titles = self._last_origin, (one.originator_aet, one.originator_message_id)
        if last is None or (last.originator_aet, last.originator_message_id) != titles:
            last = self._last_origin = Origin(self._calling_aet, self._address, *titles)
        return last
