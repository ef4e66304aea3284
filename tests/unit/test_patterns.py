"""No expression of an operator can hang on any value (fault S12)."""

import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pydicombatch.core.patterns import PatternError, TooLongError, bounded
from pydicombatch.process.anonymize import javaregex

HANGING = [
    "(a+)+b", "(a*)*", "(x*y*)*", "(.*)*x", "([a-z]+)*$", r"(\d{1,2})+x", "(a?){30}a{30}",
    "(a|b|ab)*z", r"^(\w+\s?)*$", "(?=(a+)+b)x", r"(.+)+\1", r"^(([a-z])+.)+[A-Z]([a-z])+$",
    ".*.*.*.*.*.*x", "(a|aa)+$", "(?:a+|b)*c", "(?i)(ka|\u212aa)+x", "(é|É|éÉ)*!",
    "a?" * 30 + "a" * 30, r"([^@]+@?)+$", r"(?:\S+\w+)+!", r"(?:\w|\w)*c", "(a(b?)?)*c",
]  # fmt: skip
USUAL = [
    "mammo", "scout|localizer", r".*(test|phantom).*", r"^\s*(CT|MR)\b.*chest",
    r"\d{4}-\d{2}-\d{2}", r"(\d{2})+", r"(\d+\.)*\d+", "[A-Z]{2}[0-9]+$", r"(\w+\s)*x",
    r"^([^^]*)\^([^^]*).*$", "(?i)ab+c*", r"(?<!no )contrast", "P[0-9]{6}", "", "(foo|bar)+",
]  # fmt: skip


@pytest.mark.parametrize("expression", HANGING)
def test_what_can_take_for_ever_is_refused(expression: str) -> None:
    with pytest.raises(PatternError) as caught:
        bounded(expression)
    assert expression not in str(caught.value)


@pytest.mark.parametrize("expression", USUAL)
def test_what_people_write_is_taken_for_every_value_of_a_usual_element(expression: str) -> None:
    assert bounded(expression).longest >= 64


@pytest.mark.parametrize("expression", ["(", "a{2,1}", "[z-a]", "*", "(?P<n>a)(?P<n>b)", r"\2"])
def test_what_is_none_is_an_error_of_ours(expression: str) -> None:
    with pytest.raises(PatternError, match="not a regular expression"):
        bounded(expression)


def test_an_expression_has_a_longest_length_and_so_have_its_texts() -> None:
    with pytest.raises(PatternError, match="more than 20000"):
        bounded("a" * 20_001)
    with pytest.raises(PatternError, match="too complex"):
        bounded("a" * 3_001)
    assert bounded("|".join(f"word{number}" for number in range(300))).longest > 1000
    pattern = bounded(".*a.*")
    assert pattern.search("b" * pattern.longest + "") is None
    with pytest.raises(TooLongError):
        pattern.search("b" * (pattern.longest + 1))


PIECES = st.recursive(
    st.sampled_from(["a", "b", "[ab]", ".", r"\w", "ab"]),
    lambda inner: st.one_of(
        st.builds("{}{}".format, inner, inner),
        st.builds("(?:{}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}"])),
    ),
    max_leaves=7,
)


@given(PIECES, st.sampled_from(["a", "b", "ab", "aab"]))
@settings(max_examples=150, deadline=None)
def test_whatever_is_taken_ends_soon_on_texts_made_to_be_slow(piece: str, word: str) -> None:
    try:
        pattern = bounded(f"(?:{piece})c")
    except PatternError:
        assume(False)  # refused
        return
    length = min(pattern.longest, 200)
    begun = time.process_time()
    assert pattern.search((word * length)[:length]) is None
    assert time.process_time() - begun < 20


@given(st.text(alphabet="ab()[]{}*+?|.\\^$12,", max_size=20))
@settings(max_examples=300)
def test_any_text_is_an_expression_or_refused(expression: str) -> None:
    try:
        bounded(expression)
    except PatternError:
        return
    re.compile(expression)


def test_the_anonymizer_s_expressions_are_bounded_too() -> None:
    with pytest.raises(javaregex.RegexError):
        javaregex.compiled("(a+)+b")
    with pytest.raises(TooLongError):
        javaregex.compiled(".*a.*b.*").fullmatch("a" * 10_000)
    assert javaregex.compiled(".*mammo.*").fullmatch("a mammo b")
