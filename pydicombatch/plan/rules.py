"""What is wrong, or merely doubtful, about a request before it is sent. Pure.

The rules are those of PS3.4 C.4 and C.6; what is loose in practice is a warning, what would ask
the archive for everything is an error (F10: an empty unique key of a retrieve must never leave).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydicombatch.core.elements import DEFAULT_CHARSET, ElementError, check_key, vr
from pydicombatch.core.model import Request, RequestType
from pydicombatch.plan.dates import is_date
from pydicombatch.select.levels import LEVELS, NO_KEYS, UNIQUE_KEYS

MODELS = {"patient": "Patient Root", "study": "Study Root", "psonly": "Patient/Study Only"}


@dataclass(frozen=True, slots=True)
class Issue:
    """Something about a request; equal warnings of several rows are told once."""

    problem: str
    remedy: str
    is_error: bool = False


def is_blank(value: str) -> bool:
    """Whether a value, or one of several, matches everything: empty, or wildcards alone.

    A value names something only by a letter or a digit, whatever blanks and signs it has.
    """
    return any(not any(map(str.isalnum, part)) for part in value.split("\\"))


def issues(request: Request, charset: str | None) -> Iterator[Issue]:
    """Yield what there is to say about a request.

    Parameters
    ----------
    request
        A request that is to be sent.
    charset
        The character set of text outside ASCII; ISO_IR 192 when None.
    """
    yield from unsendable(request, charset)
    if request.type is RequestType.ECHO:
        return
    level = request.value("QueryRetrieveLevel").upper()
    if level not in UNIQUE_KEYS:
        yield _no_level(request)
        return
    if level not in LEVELS[request.model]:
        yield Issue(
            f"{MODELS[request.model]} has no {level} level; an archive may refuse the request",
            f"Choose QueryRetrieveLevel from {', '.join(LEVELS[request.model])}, or another model",
        )
    if request.value("QueryRetrieveLevel") != level:
        yield Issue("QueryRetrieveLevel is in lower case", f"Write {level}")
    rules = RETRIEVE_RULES if request.type.retrieves else FIND_RULES
    for rule in rules:
        yield from rule(request, level)


def unsendable(request: Request, charset: str | None) -> Iterator[Issue]:
    """Yield what makes an identifier impossible to send."""
    declared = request.value("SpecificCharacterSet") or charset or DEFAULT_CHARSET
    for key in request.keys:
        try:
            check_key(key, declared)
        except ElementError as error:
            yield Issue(error.problem, error.remedy, is_error=True)
        if vr(key.path) == "DA" and not is_date(key.value):
            yield Issue(
                f"{key.path} is not a date that an archive understands, or an ambiguous one",
                "Write days as 20200102, ranges as 20200102-20200203",
                is_error=not key.value.isdigit(),  # some archives know years and months
            )


def _no_level(request: Request) -> Issue:
    state = "is not one of the levels" if request.value("QueryRetrieveLevel") else "is missing"
    return Issue(
        f"QueryRetrieveLevel {state}",
        f"Add QueryRetrieveLevel={'SERIES' if request.model != 'psonly' else 'STUDY'} to "
        f"request.elements; the levels are {', '.join(LEVELS[request.model])}",
        is_error=True,
    )


def _own_key(request: Request, level: str) -> Iterator[Issue]:
    own, verb = UNIQUE_KEYS[level], request.type.upper()
    if any(key.path == own for key in request.keys):
        if is_blank(request.value(own)):
            yield Issue(
                f"{own} is empty or only a wildcard in a {verb} at {level} level, which would "
                "mean everything",
                f"Give every row a value for {own}, or choose another QueryRetrieveLevel",
                is_error=True,
            )
        yield from _wild(own, request.value(own))
        return
    given = [
        key.path for key in request.keys if key.path not in NO_KEYS and not is_blank(key.value)
    ]
    if not given:
        yield Issue(
            f"The {verb} has no key with a value, which would mean everything",
            f"Add a column or an element for {own}",
            is_error=True,
        )
        return
    yield Issue(
        f"The {verb} at {level} level is without {own} and depends on {', '.join(given)}; some "
        "archives refuse it, some send more than is meant",
        f"Find {own} with a C-FIND first, and use it here",
    )


def _wild(own: str, value: str) -> Iterator[Issue]:
    """Say that a unique key names one entity, or a list of them (PS3.4 C.4.2.2.1)."""
    if is_blank(value) or not {"*", "?"} & set(value):
        return
    yield Issue(
        f"{own} has a wildcard in a C-MOVE, which an archive may take for nearly everything",
        f"Find the values of {own} with a C-FIND first, and use them here",
        is_error=own.endswith("UID"),
    )


def _only_unique_keys(request: Request, level: str) -> Iterator[Issue]:
    names = list(UNIQUE_KEYS.values())
    allowed = {*NO_KEYS, *names[: list(UNIQUE_KEYS).index(level) + 1]}
    for key in request.keys:
        if key.path not in allowed:
            yield Issue(
                f"{key.path} is not a unique key of a {request.type.upper()} at {level} level; "
                "archives may ignore it or refuse the request",
                "Remove it unless your archive is known to use it",
            )


def _outer_keys(request: Request, level: str) -> Iterator[Issue]:
    """Say which entities above the level are not named (PS3.4 C.4.1.2, C.4.2.2)."""
    levels = LEVELS[request.model]
    above = levels[: levels.index(level)] if level in levels else ()
    missing = [UNIQUE_KEYS[one] for one in above if is_blank(request.value(UNIQUE_KEYS[one]))]
    if missing:
        yield Issue(
            f"The request at {level} level has no value for {' and '.join(missing)}; archives "
            "without relational queries refuse it",
            f"Add {' and '.join(missing)} if the archive refuses the request",
        )


def _blank_patient(request: Request, _level: str) -> Iterator[Issue]:
    listed = any(key.path == "PatientID" for key in request.keys)
    if request.model == "study" and listed and is_blank(request.value("PatientID")):
        yield Issue(
            f"PatientID is empty in a {request.type.upper()} of Study Root; it is sent as it is",
            "Remove PatientID if the archive refuses the request",
        )


Rule = Callable[[Request, str], Iterator[Issue]]
FIND_RULES: tuple[Rule, ...] = (_outer_keys,)
RETRIEVE_RULES: tuple[Rule, ...] = (_own_key, _only_unique_keys, _outer_keys, _blank_patient)
