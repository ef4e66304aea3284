"""One query from the command line: the keys of a file, those that override them, and the level."""

from collections.abc import Iterable

from pydicombatch.core.elements import DEFAULT_CHARSET, check_key
from pydicombatch.core.errors import ConfigError
from pydicombatch.core.model import Key, Request, RequestType
from pydicombatch.plan.rules import Issue, issues
from pydicombatch.select.levels import LEVELS

LEVEL = "QueryRetrieveLevel"
WORKLIST = "worklist"  # Modality Worklist has no levels (PS3.4 K.6.1.2)
MODELS = (*LEVELS, WORKLIST)
PROTOCOL = frozenset({LEVEL, "SpecificCharacterSet"})  # keys that are not asked for in return


def compose(
    own: Iterable[Key], overriding: Iterable[Key], model: str, level: str, charset: str | None
) -> tuple[Request, tuple[Issue, ...]]:
    """Make the request of a query; return what is doubtful about it, too.

    Parameters
    ----------
    own
        Keys of the query file.
    overriding
        Keys of the command line; each replaces the one of the same path.
    model
        `patient`, `study`, `psonly` or `worklist`.
    level
        Query/Retrieve Level, "" for that of the keys, or STUDY.
    charset
        Character set of text outside ASCII; ISO_IR 192 when None.

    Raises
    ------
    ConfigError
        If nothing is asked for, or the level does not exist.
    ElementError
        If a value does not fit its element.
    """
    keys = {key.path: key for key in (*own, *overriding)}
    if not keys.keys() - PROTOCOL:
        raise ConfigError.of(
            "The query has no key",
            "Name what you look for and what you want to see, as in -k PatientID=123 -k StudyDate",
        )
    chosen = _level(level or (keys[LEVEL].value if LEVEL in keys else ""), model, asked=bool(level))
    keys.pop(LEVEL, None)
    if chosen:
        keys = {LEVEL: Key(LEVEL, chosen), **keys}
    for key in keys.values():
        check_key(key, charset or DEFAULT_CHARSET)
    request = Request("", 1, RequestType.FIND, model, tuple(keys.values()))
    return request, tuple(issues(request, charset)) if chosen else ()


def shown(request: Request) -> tuple[str, ...]:
    """Return the paths that make the columns of the answers, in the order of the keys."""
    return tuple(key.path for key in request.keys if key.path not in PROTOCOL)


def _level(text: str, model: str, *, asked: bool) -> str:
    level = text.strip().upper()
    if model == WORKLIST:
        if asked:
            raise ConfigError.of(
                "A worklist has no levels", "Leave --level out, or choose another --model"
            )
        return ""
    if level and level not in LEVELS["patient"]:
        raise ConfigError.of(
            "The level of the query is none that exists",
            f"Choose one of {', '.join(LEVELS[model])}",
        )
    return level or "STUDY"
