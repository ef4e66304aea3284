"""One script applied to one instance: the insertion pass, and the walk over every element."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Final

from pydicombatch.process.anonymize import codes, hidden
from pydicombatch.process.anonymize.context import Context, Program, QuarantineError, SkipError
from pydicombatch.process.anonymize.instance import (
    CHARSET_TAG,
    CODE_SEQUENCE,
    CODING_SCHEME_UID,
    PIXEL_DATA,
    DataSet,
    Element,
    is_registered,
)
from pydicombatch.process.anonymize.javatext import int_or, trim
from pydicombatch.process.anonymize.lookup import LookupTable
from pydicombatch.process.anonymize.plan import Action, Plan, Step
from pydicombatch.process.anonymize.storing import StoreError, store_private, store_public
from pydicombatch.process.anonymize.tables import insert_vr

_LONGEST_BLANK: Final = 55
_DATA_GROUP: Final = 8
_KEEP: Final = "@keep()"
_REMOVE: Final = "@remove()"
_EMPTY: Final = "@empty()"
_BLANK: Final = "@blank("


@dataclass
class Run:
    """Applies a plan to one instance; strict runs refuse what the Java tool would let pass."""

    plan: Plan
    lookup: LookupTable
    now: datetime
    root: DataSet
    strict: bool

    @cached_property
    def actions(self) -> Mapping[int, Action]:
        """Scripts by tag, for this root."""
        return self.plan.actions_for(self.root)

    @cached_property
    def programs(self) -> Mapping[int, Program]:
        """Programs by tag, for functions that evaluate the script of another element."""
        return {tag: action.program for tag, action in self.actions.items()}

    def apply(self) -> DataSet:
        """Return the anonymized root; raises `QuarantineError` or `SkipError`."""
        out = DataSet(dict(self.root.elements), None, self.root.big_endian, self.root.meta)
        self._insert(out)
        self._walk(self.root, out)
        return out

    def context(self, source: DataSet, tag: int) -> Context:
        """Return the context of one element."""
        return Context(source, tag, self.lookup, self.now, self.programs)

    # insertion pass: root level only

    def _insert(self, out: DataSet) -> None:
        inserted: dict[int, Element] = {}
        for tag in self._absent(out):
            element = self._inserted(out, tag, self.actions[tag])
            if element is not None:
                out.elements[tag] = inserted[tag] = element
        if inserted:
            out.elements = dict(sorted(out.elements.items()))

    def _absent(self, out: DataSet) -> list[int]:
        tags = list(self.plan.inserting)
        if self.plan.blocks:
            tags = sorted(t for t, action in self.actions.items() if action.always or t in tags)
        return [tag for tag in tags if tag not in out.elements and tag < PIXEL_DATA]

    def _inserted(self, out: DataSet, tag: int, action: Action) -> Element | None:
        context = self.context(self.root, tag)
        if tag == CODE_SEQUENCE:
            return codes.rewritten(None, action, context)
        if tag >> 16 < _DATA_GROUP:
            action.program(context)  # for its effects: it may quarantine
            return None
        vr = insert_vr(tag)
        if vr == "SQ" and not tag >> 16 & 1:
            required = action.text.startswith("@always()@require()")
            return Element(tag, "SQ", b"", ()) if required else None
        text = trim(action.program(context))
        if text in {_KEEP, _REMOVE}:
            return None
        if text.startswith(_BLANK) or text == _EMPTY:
            text = ""
        try:
            return self._stored(self.root, out, Element(tag, vr, b""), text)
        except StoreError:
            return None

    # the walk

    def _walk(self, source: DataSet, out: DataSet) -> None:
        """Decide on every element of one level; `out` begins as a copy."""
        for element in source:
            tag = element.tag
            result = self._decided(source, out, element)
            if result is element:
                if self.strict and (element.items or element.vr in hidden.VRS):
                    self.require_clean(element, source)
                continue
            if result is None:
                del out.elements[tag]
            else:
                out.elements[tag] = result
            if self.strict and tag == CODE_SEQUENCE and result is not None:
                self.require_clean(result, source)
            if tag == CHARSET_TAG and (result is None or result.value != element.value):
                out.__dict__.pop("charset", None)

    def _decided(self, source: DataSet, out: DataSet, element: Element) -> Element | None:
        """Return what becomes of an element: itself, another, or nothing."""
        tag = element.tag
        action = self.actions.get(tag)
        step = self.plan.step(tag, scripted=action is not None)
        if step is Step.KEEP or (step is Step.ASK_CREATOR and self.plan.safe(source, tag)):
            return element
        if step is Step.RUN and action is not None:
            return self._run(source, out, element, action)
        return None

    def _run(
        self, source: DataSet, out: DataSet, element: Element, action: Action
    ) -> Element | None:
        if action.constant == _KEEP:
            return element
        if action.constant == _REMOVE:
            return None
        context = self.context(source, element.tag)
        if element.tag == CODE_SEQUENCE:
            return codes.rewritten(element, action, context)
        processed = [element]
        context.process = partial(self._process, element, out, processed)
        text = action.constant if action.constant is not None else trim(action.program(context))
        return self._result(out, processed[0], text, context)

    def _process(self, element: Element, out: DataSet, processed: list[Element]) -> None:
        if element.items is None:
            if self.strict and element.vr == "UN" and _has_value(element):
                raise QuarantineError(
                    "A sequence that the script enters has the VR UN, it would stay as it is"
                )
            return
        if processed[0] is not element:
            return
        items = []
        for item in element.items:
            copy = DataSet(dict(item.elements), out, item.big_endian)
            self._walk(item, copy)
            items.append(copy)
        processed[0] = element._replace(items=tuple(items))

    def _result(
        self, out: DataSet, element: Element, text: str, context: Context
    ) -> Element | None:
        if _REMOVE in text:
            return None
        if text == _KEEP:
            return element
        if text.startswith(_BLANK):
            text = " " * _blanks(text)
        elif text == _EMPTY:
            text = ""
        try:
            return self._stored(context.source, out, element, text)
        except StoreError:
            if self.strict and _has_value(element) and text != context.text:
                raise QuarantineError(
                    "A result of the script cannot be stored, the original would stay"
                ) from None
            return element

    def require_clean(self, element: Element, level: DataSet) -> None:
        """Strict: a sequence that stays verbatim must hold nothing that the script changes.

        Raises
        ------
        QuarantineError
            If it does.
        """
        for item in hidden.items(element, level):
            out = DataSet(dict(item.elements), item.parent, item.big_endian)
            for inner in item:
                coded = element.tag == CODE_SEQUENCE and inner.tag in codes.PARTS
                if not coded and self._would_change(item, out, inner):
                    raise QuarantineError(
                        "A sequence stays as it is, and holds a value that the script changes"
                    )
                self.require_clean(inner, item)

    def _would_change(self, item: DataSet, out: DataSet, inner: Element) -> bool:
        action = self.actions.get(inner.tag)
        if action is None or not _has_value(inner) or inner.tag == CODE_SEQUENCE:
            return False
        if inner.items is not None:
            return action.constant == _REMOVE
        if inner.vr == "UI" and (inner.tag == CODING_SCHEME_UID or is_registered(inner)):
            return False  # it says what a code means, of nobody
        try:
            result = self._run(item, out, inner, action)
        except (QuarantineError, SkipError):
            return True
        return result is None or result.value.rstrip(b" \0") != inner.value.rstrip(b" \0")

    def _stored(self, source: DataSet, out: DataSet, element: Element, text: str) -> Element:
        tag, big_endian = element.tag, out.big_endian
        if tag >> 16 & 1:
            creator = out.creator(tag) or source.creator(tag)
            return store_private(tag, text, creator, out.charset, big_endian=big_endian)
        return store_public(tag, element.vr, text, out.charset, big_endian=big_endian)


def _has_value(element: Element) -> bool:
    return bool(element.items or element.value.strip(b" \0"))


def _blanks(text: str) -> int:
    """Count the blanks that `@blank(n)` asks for: any digits between the parentheses."""
    inside = text[len(_BLANK) :].partition(")")[0]
    return min(int_or(re.sub("[^0-9]", "", inside), 0), _LONGEST_BLANK)
