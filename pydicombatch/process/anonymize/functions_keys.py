"""Functions that replace identifiers: digests, lookups, shifted dates."""

from functools import partial
from typing import Final

from pydicombatch.process.anonymize import dates, hashing, javaregex, javatext
from pydicombatch.process.anonymize.compiling import Compiler, Entry, unquoted
from pydicombatch.process.anonymize.context import Context, Function, QuarantineError
from pydicombatch.process.anonymize.lookup import LookupFailure
from pydicombatch.process.anonymize.names import Block, Specifier
from pydicombatch.process.anonymize.syntax import Call

_SHORTEST_DATE: Final = 8
_LONGEST_SHIFT: Final = 3650  # days
_HASHNAME_LENGTH: Final = 4
_REMOVE: Final = "@remove()"
_EMPTY: Final = "@empty()"
_NOT_FOUND: Final = "A value is missing in the lookup table"
_NO_INTERVAL: Final = "A date interval cannot be computed"


def _hash(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    length = compiler.defined(call, 1) if len(call.args) > 1 else ""

    def run(context: Context) -> str:
        text = read(context)
        return _REMOVE if text is None else hashing.cut_by(hashing.digits(text), length)

    return run


def _hashname(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    length = compiler.defined(call, 1)
    count = compiler.defined(call, 2) if len(call.args) > 2 else ""  # noqa: PLR2004
    words = javatext.int_or(count, 0)

    def run(context: Context) -> str:
        pieces = javatext.split(read(context) or "", "^")
        name = javatext.without_whitespace("".join(pieces[:words] if words > 0 else pieces))
        for character in ",'^.":
            name = name.replace(character, "")
        return hashing.cut_by(hashing.digits(name.upper()), length, _HASHNAME_LENGTH)

    return run


def _hashptid(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 1)
    site = javatext.trim(compiler.parameter(call, 0) or "")
    length = compiler.defined(call, 2) if len(call.args) > 2 else ""  # noqa: PLR2004

    def run(context: Context) -> str:
        text = javatext.trim(read(context) or "")
        return hashing.cut_by(hashing.digits(f"[{site}]{text}"), length)

    return run


def _hashuid(call: Call, compiler: Compiler) -> Function:
    root = compiler.defined(call, 0)
    read = compiler.text(call, 1)
    other = compiler.specifier(call.args[2]) if len(call.args) > 2 else None  # noqa: PLR2004

    def run(context: Context) -> str:
        text = read(context)
        if text is None:
            return _REMOVE
        return hashing.uid(root, text + (_scripted(other, context) if other else ""))

    return run


def _scripted(specifier: Specifier, context: Context) -> str:
    """Evaluate the script of another element."""
    step = specifier.steps[-1]
    tag = step.tag(context.source) if isinstance(step, Block) else step
    program = context.programs.get(tag) if tag is not None else None
    return program(context.at(tag)) if program and tag is not None else ""


def _date_rules(text: str | None) -> str | None:
    """Return what a missing or a short date yields, nothing for others."""
    if text is None:
        return _REMOVE
    return _EMPTY if javatext.length(text) < _SHORTEST_DATE else None


def _shifted(text: str, change: dates.Change) -> str:
    try:
        return dates.changed(text, change)
    except (ValueError, OverflowError):
        return _EMPTY


def _hashdate(call: Call, compiler: Compiler) -> Function:
    read, read_key = compiler.text(call, 0), compiler.text(call, 1)

    def run(context: Context) -> str:
        text = read(context)
        if ready := _date_rules(text):
            return ready
        key = read_key(context)
        if key is None or text is None:
            return _REMOVE
        days = -(int(hashing.digits(key)[-4:]) % _LONGEST_SHIFT) or -1
        return _shifted(text, lambda number: number + days)

    return run


def _incrementdate(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    if len(call.args) > 2:  # noqa: PLR2004
        find = partial(_table_days, compiler.text(call, 1), compiler.parameter(call, 2))
    else:
        find = partial(_fixed_days, compiler.parameter(call, 1))

    def run(context: Context) -> str:
        text = read(context)
        if ready := _date_rules(text):
            return ready
        try:
            days = find(context)
        except (ValueError, LookupFailure):
            return _EMPTY
        return _shifted(text or "", lambda number: number + days)

    return run


def _fixed_days(days: str | None, context: Context) -> int:  # noqa: ARG001
    return javatext.parse_long(days or "")


def _table_days(read_key: Function, keytype: str | None, context: Context) -> int:
    return javatext.parse_long(context.lookup.find(keytype or "", read_key(context) or ""))


def _modifydate(call: Call, compiler: Compiler) -> Function:
    read = compiler.text(call, 0)
    fields = [compiler.parameter(call, index) for index in range(1, min(4, len(call.args)))]
    complete = len(fields) == 3 and None not in fields  # noqa: PLR2004
    change = dates.with_fields(*map(_field, fields)) if complete else None

    def run(context: Context) -> str:
        text = read(context)
        if ready := _date_rules(text):
            return ready
        return _shifted(text or "", change) if change else _EMPTY

    return run


def _field(text: str | None) -> int | None:
    try:
        return javatext.parse_int(javatext.trim(text or ""))
    except ValueError:
        return None


def _dateinterval(call: Call, compiler: Compiler) -> Function:
    read, keytype = compiler.text(call, 0), compiler.argument(call, 1)
    read_key = compiler.text(call, 2)
    with_origin = len(call.args) > 3  # noqa: PLR2004
    origin = compiler.parameter(call, 3) if with_origin else None

    def run(context: Context) -> str:
        level = context.source.parent or context.source
        enclosing = Context(level, context.tag, context.lookup, context.now, context.programs)
        try:
            base = dates.interval_base(context.lookup.find(keytype, read_key(enclosing) or ""))
            days = dates.day_of(read(context) or "") - base
            return dates.dicom_date(dates.day_of(origin or "") + days) if with_origin else str(days)
        except (ValueError, LookupFailure) as error:
            raise QuarantineError(_NO_INTERVAL) from error

    return run


def _lookup(call: Call, compiler: Compiler) -> Function:
    readers = [
        compiler.text_of(javatext.trim(name)) for name in compiler.argument(call, 0).split("|")
    ]
    keytype = compiler.argument(call, 1)
    action = unquoted(call.args[2]) if len(call.args) > 2 else ""  # noqa: PLR2004
    detail = unquoted(call.args[3]) if len(call.args) > 3 else None  # noqa: PLR2004
    if action == "ignore" and detail is not None:
        compiler.check_pattern(detail)

    def run(context: Context) -> str:
        key = "|".join(read(context) or "" for read in readers).replace("\\", "")
        if action == "UC":
            key = key.upper()
        try:
            return context.lookup.find(keytype, key)
        except LookupFailure:
            return _otherwise(action, detail, key)

    return run


def _otherwise(action: str, detail: str | None, key: str) -> str:
    if action in {"keep", "remove", "empty"}:
        return f"@{action}()"
    if action == "default" and detail is not None:
        return javatext.trim(detail)
    ignored = action == "ignore" and detail is not None
    if ignored and javaregex.compiled(detail or "").fullmatch(key):
        return key
    raise QuarantineError(_NOT_FOUND)


FUNCTIONS: Final = {
    "hash": Entry(_hash, lenient=True),
    "hashname": Entry(_hashname, lenient=True),
    "hashptid": Entry(_hashptid, lenient=True),
    "hashuid": Entry(_hashuid, lenient=True),
    "hashdate": Entry(_hashdate, otherwise=_EMPTY),
    "incrementdate": Entry(_incrementdate, otherwise=_EMPTY),
    "modifydate": Entry(_modifydate, otherwise=_EMPTY),
    "dateinterval": Entry(_dateinterval),
    "lookup": Entry(_lookup),
}
