"""Script text to programs: once per script, with every doubtful place reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from pydicombatch.process.anonymize import javaregex, names, syntax
from pydicombatch.process.anonymize.contents import contents
from pydicombatch.process.anonymize.context import Context, Function, Program, QuarantineError
from pydicombatch.process.anonymize.javaregex import RegexError
from pydicombatch.process.anonymize.names import PrivateNames, Specifier
from pydicombatch.process.anonymize.syntax import Call


class MissingArgumentError(Exception):
    """A call has fewer arguments than its function needs."""


class UndefinedParameterError(Exception):
    """A call names a parameter that neither the script nor the command line defines."""


@dataclass(frozen=True, slots=True)
class Issue:
    """Something doubtful in a script; a strict run refuses the fatal ones."""

    problem: str
    remedy: str
    fatal: bool = True


Factory = Callable[[Call, "Compiler"], Function]


@dataclass(frozen=True, slots=True)
class Entry:
    """A function of the language; a lenient one yields its arguments, or a text, where it fails."""

    factory: Factory
    lenient: bool = False
    otherwise: str = ""

    def fallback(self, call: Call) -> str | None:
        """Return what the call yields when it fails; nothing if that ends the instance."""
        if self.otherwise:
            return self.otherwise
        return call.argument_text if self.lenient else None


@dataclass
class Compiler:
    """Turns the scripts of one file into programs, and gathers the issues."""

    functions: Mapping[str, Entry]
    parameters: Mapping[str, str]
    private_names: PrivateNames
    issues: list[Issue] = field(default_factory=list)

    def program(self, text: str) -> Program:
        """Compile a script; it always compiles, what is wrong shows when it runs."""
        parsed = syntax.parse(text)
        for fault in parsed.faults:
            self._report(fault, "Close it, or write \\@ for a literal @")
        parts = [self._part(part) for part in parsed.parts]
        if all(isinstance(part, str) for part in parts):
            return partial(_constant, "".join(map(str, parts)))
        if len(parts) == 1 and not isinstance(parts[0], str):
            return partial(_single, parts[0])
        return partial(_joined, tuple(parts))

    def _part(self, part: syntax.Part) -> str | Function:
        if isinstance(part, str):
            return part
        entry = self.functions.get(part.name)
        if entry is None:
            if not syntax.uninterpreted(part.name):
                self._report(f"There is no function @{part.name}", "Correct its name")
            return part.text
        fallback = entry.fallback(part)
        try:
            function = entry.factory(part, self)
        except (MissingArgumentError, UndefinedParameterError, RegexError) as error:
            self._report_failure(part, error)
            return _failing if fallback is None else fallback
        return function if fallback is None else partial(_lenient, function, fallback)

    def _report_failure(self, call: Call, error: Exception) -> None:
        if isinstance(error, MissingArgumentError):
            self._report(f"@{call.name} misses an argument", "Add it")
        elif isinstance(error, RegexError):
            self._report(f"@{call.name} has a bad regular expression", "Correct it")

    def check_pattern(self, pattern: str) -> None:
        """Report a regular expression that cannot be used, which may never be needed."""
        try:
            javaregex.compiled(pattern)
        except RegexError:
            self._report("A regular expression is bad", "Correct it")

    def _report(self, problem: str, remedy: str, *, fatal: bool = True) -> None:
        issue = Issue(problem, remedy, fatal)
        if issue not in self.issues:
            self.issues.append(issue)

    def argument(self, call: Call, index: int) -> str:
        """Return an argument as it stands; raises `MissingArgumentError`."""
        if index >= len(call.args):
            raise MissingArgumentError
        return call.args[index]

    def parameter(self, call: Call, index: int) -> str | None:
        """Return an argument that may name a parameter; nothing if that is undefined."""
        return self.expand(self.argument(call, index))

    def expand(self, text: str) -> str | None:
        """Replace `@NAME` or `$NAME` by the parameter; nothing if it is undefined."""
        if text[:1] not in {"@", "$"}:
            return text
        value = self.parameters.get(text[1:])
        if value is None:
            self._report(
                f"Parameter {text[1:]} is not defined", "Define it with <p>, or on the command line"
            )
        return value

    def defined(self, call: Call, index: int) -> str:
        """Return a parameter that must be defined; raises `UndefinedParameterError`."""
        value = self.parameter(call, index)
        if value is None:
            raise UndefinedParameterError
        return value

    def specifier(self, text: str) -> Specifier:
        """Read a path to an element; one that resolves to nothing is reported."""
        specifier = Specifier.of(text, self.private_names)
        if text and not specifier.resolved:
            self._report(f"{text} names no element", names.remedy(text), fatal=False)
        return specifier

    def text(self, call: Call, index: int) -> Function:
        """Return a function that reads an element named by an argument; nothing if absent."""
        return self.text_of(self.argument(call, index))

    def text_of(self, name: str) -> Function:
        """Return a function that reads the element of a name."""
        if name == "this":
            return _this_text
        if not name:
            return _nothing
        return partial(_named_text, self.specifier(name))


def unquoted(text: str) -> str:
    """Strip one pair of enclosing double quotes."""
    quoted = len(text) > 1 and text[0] == text[-1] == '"'
    return text[1:-1] if quoted else text


def _this_text(context: Context) -> str | None:
    return context.text


def _nothing(context: Context) -> str | None:  # noqa: ARG001 - one signature for all readers
    return None


def _named_text(specifier: Specifier, context: Context) -> str | None:
    found = specifier.find(context.source)
    return None if found is None else contents(*found)


def _constant(text: str, context: Context) -> str:  # noqa: ARG001
    return text


def _single(function: Function, context: Context) -> str:
    result = function(context)
    return "null" if result is None else result


def _joined(parts: tuple[str | Function, ...], context: Context) -> str:
    return "".join(part if isinstance(part, str) else _single(part, context) for part in parts)


def _lenient(function: Function, otherwise: str, context: Context) -> str | None:
    try:
        return function(context)
    except Exception:  # noqa: BLE001 - the language: whatever fails yields the arguments
        return otherwise


def _failing(context: Context) -> str | None:  # noqa: ARG001
    raise QuarantineError("A function of the script cannot be carried out")


def constant_of(program: Program) -> str | None:
    """Return the text of a program that calls nothing."""
    if isinstance(program, partial) and program.func is _constant:
        return str(program.args[0])
    return None
