"""A compiled script: what to do with each element, decided once for all instances."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from pydicombatch.core.errors import ConfigError, Finding
from pydicombatch.process.anonymize import (
    doubts,
    functions_flow,
    functions_keys,
    functions_text,
    names,
)
from pydicombatch.process.anonymize.compiling import Compiler, Issue, constant_of
from pydicombatch.process.anonymize.context import Program
from pydicombatch.process.anonymize.instance import (
    CODE_SEQUENCE,
    SOP_CLASS,
    SOP_INSTANCE,
    STUDY_INSTANCE,
    DataSet,
)
from pydicombatch.process.anonymize.javatext import trim
from pydicombatch.process.anonymize.names import Block, Id
from pydicombatch.process.anonymize.script import Rule, Script
from pydicombatch.process.anonymize.tables import private_tag

FUNCTIONS: Final = {
    **functions_text.FUNCTIONS,
    **functions_keys.FUNCTIONS,
    **functions_flow.FUNCTIONS,
}
_PROTECTED: Final = frozenset((SOP_CLASS, SOP_INSTANCE, STUDY_INSTANCE))
_PROTECTED_GROUPS: Final = frozenset((0x0028, 0x7FE0))
_ALWAYS: Final = "@always()"


class Step(Enum):
    """What the walk does with an element."""

    KEEP = auto()
    REMOVE = auto()
    RUN = auto()
    ASK_CREATOR = auto()  # kept when its private creator makes it safe, else removed


@dataclass(frozen=True, slots=True)
class Action:
    """The program of one element, and what is known of it without running it."""

    text: str
    program: Program
    constant: str | None  # the result, trimmed, where no function is called

    @property
    def always(self) -> bool:
        """Tell whether the element is inserted where it is absent."""
        return self.text.startswith(_ALWAYS)

    @property
    def removes(self) -> bool:
        """Tell whether an element behind Pixel Data is left out."""
        return self.text.startswith("@remove()")


@dataclass(frozen=True)
class Plan:
    """Everything a script says, ready to be applied."""

    script: Script
    actions: Mapping[int, Action]
    blocks: tuple[tuple[Block, Action], ...]  # resolved in each root data set
    issues: tuple[Finding, ...]
    inserting: tuple[int, ...]
    _steps: dict[int, Step] = field(default_factory=dict, repr=False)

    def actions_for(self, root: DataSet) -> Mapping[int, Action]:
        """Return the scripts by tag; private blocks are where this root has them."""
        if not self.blocks:
            return self.actions
        found = {block.tag(root): action for block, action in self.blocks}
        return {**self.actions, **{tag: action for tag, action in found.items() if tag}}

    def step(self, tag: int, *, scripted: bool) -> Step:
        """Decide what the walk does with a tag."""
        key = tag << 1 | scripted
        step = self._steps.get(key)
        if step is None:
            step = self._steps[key] = self._decide(tag, scripted=scripted)
        return step

    def _decide(self, tag: int, *, scripted: bool) -> Step:
        remove = self.script.remove
        group = tag >> 16
        if "overlays" in remove and group & 0xFF00 == 0x6000:  # noqa: PLR2004
            return Step.REMOVE
        removed = "unspecifiedelements" in remove or ("privategroups" in remove and group % 2)
        if removed and not scripted and not self._kept(tag):
            safe = self.script.keep_safe and group % 2
            return Step.ASK_CREATOR if safe else Step.REMOVE
        return Step.RUN if scripted else Step.KEEP

    def _kept(self, tag: int) -> bool:
        group = tag >> 16
        if tag in _PROTECTED or group in _PROTECTED_GROUPS or group in self.script.keep_groups:
            return True
        if self.script.keep_safe and group % 2 and tag & 0xFFFF < 0x100:  # noqa: PLR2004
            return True
        return self._kept_by_switch(group)

    def _kept_by_switch(self, group: int) -> bool:
        """Overlays and curves stay unless their switch is on, or they are private and gone."""
        switch = {0x6000: "overlays", 0x5000: "curves"}.get(group & 0xFF00)
        private = group % 2 and "privategroups" in self.script.remove
        return switch is not None and switch not in self.script.remove and not private

    def safe(self, dataset: DataSet, tag: int) -> bool:
        """Tell whether a private element is safe to keep under its creator."""
        known = private_tag(dataset.creator(tag), tag)
        return bool(known and known.safe)

    def require_strict(self) -> None:
        """Refuse a script whose text does not do what it says.

        Raises
        ------
        ConfigError
            With every fault, each with its line.
        """
        if self.script.empty:
            raise ConfigError.of(
                "The anonymizer script changes nothing, every identifier would stay",
                "Enable its elements with en=T, or leave anonymization off",
                self.script.file,
            )
        faults = [*self.script.dropped, *(f for f in self.issues if f not in self.warnings)]
        if faults:
            raise ConfigError(*sorted(faults, key=lambda finding: finding.line))

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Return what deserves a look, but keeps no run from starting."""
        return self._warnings

    _warnings: tuple[Finding, ...] = ()


def compile_script(
    script: Script,
    parameters: Mapping[str, str] = MappingProxyType({}),
    elements: Mapping[str, str] = MappingProxyType({}),
) -> Plan:
    """Compile a script.

    Parameters
    ----------
    parameters
        Parameters from the command line; they replace those of the file.
    elements
        Scripts from the command line by element; they replace those of the file.

    Raises
    ------
    ConfigError
        If an element of the command line cannot be resolved.
    """
    rules = {**script.rules, **_from_command_line(elements)}
    private = {
        rule.name.lower(): target for target, rule in rules.items() if _private(target, rule)
    }
    values = {**script.parameters, **parameters}
    actions: dict[Id, Action] = {}
    faults: list[Finding] = []
    warnings: list[Finding] = []
    for target, rule in rules.items():
        compiler = Compiler(FUNCTIONS, values, private)
        actions[target] = _action(rule, compiler)
        for issue in compiler.issues:
            (faults if issue.fatal else warnings).append(_finding(issue, rule, script.file))
    whole = Script(
        rules,
        values,
        script.keep_groups,
        script.keep_safe,
        script.remove,
        script.file,
        script.dropped,
    )
    constants = {target: action.constant for target, action in actions.items()}
    public = {tag: action for tag, action in actions.items() if isinstance(tag, int)}
    return Plan(
        whole,
        public,
        tuple((t, action) for t, action in actions.items() if isinstance(t, Block)),
        tuple(faults),
        tuple(sorted(t for t, action in public.items() if action.always or t == CODE_SEQUENCE)),
        _warnings=(*warnings, *doubts.of(whole, constants)),
    )


def _private(target: Id, rule: Rule) -> bool:
    group = target.group if isinstance(target, Block) else target >> 16
    return bool(rule.name) and group % 2 == 1


def _from_command_line(elements: Mapping[str, str]) -> dict[Id, Rule]:
    rules: dict[Id, Rule] = {}
    for name, text in elements.items():
        target = names.resolve(name, {})
        if target is None:
            raise ConfigError.of(
                f"{name} names no element", "Write a name of the tool, or gggg,eeee"
            )
        rules[target] = Rule(trim(text), "", 0)
    return rules


def _action(rule: Rule, compiler: Compiler) -> Action:
    program = compiler.program(rule.text)
    constant = constant_of(program)
    return Action(rule.text, program, None if constant is None else trim(constant))


def _finding(issue: Issue, rule: Rule, file: str) -> Finding:
    return Finding(issue.problem, issue.remedy, file, rule.line)
