"""What a final status means for the request that earned it. Pure tables (PS3.4 C.4, PS3.7 C)."""

from dataclasses import dataclass

from pydicombatch.core.model import PENDING, RequestType, Tally, Verdict

SUCCESS = 0x0000
SUB_OPERATIONS_FAILED = 0xB000
OUT_OF_RESOURCES = 0xA700  # to 0xA7FF
UNABLE = 0xC000  # to 0xCFFF


@dataclass(frozen=True, slots=True)
class Meaning:
    """A verdict with the sentence that explains it and its remedy; empty on success."""

    verdict: Verdict
    reason: str = ""
    remedy: str = ""


DONE = Meaning(Verdict.DONE)

_WAIT = "The request is tried again later; use fewer threads if it goes on"
_LOG = "Look at the archive's log, or ask its administrator"
_KEYS = "Check the model and the keys of the request: their level, and what the archive supports"

_COMMON = {
    SUCCESS: DONE,
    0x0105: Meaning(Verdict.GIVE_UP, "The archive knows no such attribute", _KEYS),
    0x0106: Meaning(Verdict.GIVE_UP, "The archive found an attribute value invalid", _KEYS),
    0x0110: Meaning(Verdict.RETRY, "The archive failed to process the request", _LOG),
    0x0112: Meaning(Verdict.GIVE_UP, "The archive knows no such SOP instance", _KEYS),
    0x0115: Meaning(Verdict.GIVE_UP, "The archive found an argument invalid", _KEYS),
    0x0117: Meaning(Verdict.GIVE_UP, "The archive found an instance UID invalid", _KEYS),
    0x0118: Meaning(Verdict.GIVE_UP, "The archive knows no such SOP class", _KEYS),
    0x0122: Meaning(
        Verdict.STOP, "The archive does not support this operation", "Try another request.model"
    ),
    0x0124: Meaning(
        Verdict.STOP,
        "The archive does not allow us this operation",
        "Ask its administrator to authorise our AE title",
    ),
    0x0210: Meaning(Verdict.RETRY, "The archive had seen our message id before", _WAIT),
    0x0211: Meaning(Verdict.STOP, "The archive does not recognise this operation", _LOG),
    0x0212: Meaning(Verdict.GIVE_UP, "The archive found an argument mistyped", _KEYS),
    0x0213: Meaning(Verdict.RETRY, "The archive is short of resources", _WAIT),
    0xA900: Meaning(Verdict.GIVE_UP, "The keys do not fit the archive's information model", _KEYS),
    0xFE00: Meaning(
        Verdict.RETRY, "The request was cancelled", "It is asked for again when the run goes on"
    ),
}
_FIND = _COMMON | {
    0xA700: Meaning(
        Verdict.RETRY,
        "The archive is out of resources for this query",
        "Narrow the query, for instance by date, if it goes on",
    ),
    0xB001: Meaning(
        Verdict.GIVE_UP,
        "The archive reached its limit of matches",
        "Narrow the query, for instance by date",
    ),
}
_MOVE = _COMMON | {
    0xA701: Meaning(
        Verdict.RETRY,
        "The archive is out of resources and cannot count the matches",
        "Ask for series in place of studies if it goes on",
    ),
    0xA702: Meaning(
        Verdict.RETRY,
        "The archive cannot send: it is out of resources, or {destination} refuses or is full",
        "Check that the archive reaches {destination}; use fewer threads if it goes on",
    ),
    0xA801: Meaning(
        Verdict.STOP,
        "The archive does not know move destination {destination}",
        "Ask its administrator to register {destination} with our host and port",
    ),
    0xAA00: Meaning(Verdict.GIVE_UP, "The archive found none of the frames", _KEYS),
    0xAA01: Meaning(Verdict.GIVE_UP, "The archive cannot make an instance of the frames", _KEYS),
    0xAA02: Meaning(Verdict.GIVE_UP, "The archive cannot extract the frames", _KEYS),
    0xAA03: Meaning(Verdict.GIVE_UP, "The instance has no frames by time", _KEYS),
    0xAA04: Meaning(Verdict.GIVE_UP, "The archive found the frame request invalid", _KEYS),
}
_GET = _MOVE | {
    0xA702: Meaning(
        Verdict.RETRY,
        "The archive cannot send: it is out of resources, or the association was lost to it",
        "Use fewer threads if it goes on",
    ),
    0xA801: Meaning(Verdict.STOP, "The archive mistook our C-GET for a C-MOVE", _LOG),
}
_TABLES = {
    RequestType.ECHO: _COMMON,
    RequestType.FIND: _FIND,
    RequestType.MOVE: _MOVE,
    RequestType.GET: _GET,
}

_UNABLE = Meaning(Verdict.RETRY, "The archive was unable to process the request", _LOG)
# Orthanc answers 0xC000 for an unknown destination, no match, and a store that failed alike.
_UNABLE_TO_MOVE = Meaning(
    Verdict.RETRY,
    "The archive was unable to process the request",
    "Check that it holds what the keys name, that it knows move destination {destination}, "
    "and that it can reach it",
)
_FAILED = "{failed} of the archive's sub-operations failed"
_SOME_FAILED = "Some of the archive's sub-operations failed"
_FAILED_REMEDY = "Check that the archive can read these instances and reaches {destination}"


def meaning(
    operation: RequestType, status: int, tally: Tally | None = None, destination: str = ""
) -> Meaning:
    """Decide what a final status means; sub-operations that failed outrank it.

    Parameters
    ----------
    operation
        What was asked for.
    status
        Final DIMSE status, 0x0000 to 0xFFFF (PS3.4 C.4.1.1.4, C.4.2.1.5; PS3.7 annex C).
    tally
        Sub-operation counts of the same response, in instances.
    destination
        AE title a C-MOVE sends to.

    Raises
    ------
    ValueError
        If `status` is pending and therefore not final.
    """
    if status in PENDING:
        raise ValueError(f"0x{status:04X} is pending, not final")
    counts = tally or Tally()
    known = _sub_operations(status, counts) if operation.retrieves else None
    known = known or _TABLES[operation].get(status) or _by_range(operation, status)
    return Meaning(
        known.verdict,
        known.reason.format(destination=destination, failed=counts.failed),
        known.remedy.format(destination=destination or "us"),
    )


def _sub_operations(status: int, tally: Tally) -> Meaning | None:
    if status not in {SUCCESS, SUB_OPERATIONS_FAILED}:
        return None
    if tally.failed:
        return Meaning(Verdict.RETRY, _FAILED, _FAILED_REMEDY)
    if status == SUCCESS or (tally.failed == 0 and tally.warning):
        return DONE  # stored with a warning is stored
    return Meaning(Verdict.RETRY, _SOME_FAILED, _FAILED_REMEDY)


def _by_range(operation: RequestType, status: int) -> Meaning:
    code = f"0x{status:04X}"
    if status & 0xF000 == UNABLE:
        unable = _UNABLE_TO_MOVE if operation is RequestType.MOVE else _UNABLE
        return Meaning(unable.verdict, f"{unable.reason} ({code})", unable.remedy)
    if status & 0xFF00 == OUT_OF_RESOURCES:
        return Meaning(Verdict.RETRY, f"The archive is out of resources ({code})", _WAIT)
    return Meaning(Verdict.RETRY, f"The archive answered with status {code}", _LOG)
