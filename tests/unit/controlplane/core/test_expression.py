"""The cluster query language: every documented example, positions of errors, and any text at all."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.core.model import Instance
from controlplane.core.placement.expression import (
    CHARACTERS_MAX,
    Comparison,
    Either,
    Every,
    Expression,
    ExpressionError,
    Not,
    Subject,
    parse,
)
from controlplane.core.placement.pattern import Pattern, PatternError
from controlplane.core.placement.query import Facts, matches
from wire.resources import Amounts

HERE = Facts(
    Instance(
        arn="i/1",
        cluster="c",
        registered=Amounts(2048, 4096),
        agent_connected=True,
        agent_version="1.14.10",
        ec2_instance_id="i-0abc",
        registered_at=1528000000.5,  # 2018-06-03T04:26:40Z
        attributes=(
            {"name": "ecs.instance-type", "value": "t2.small"},
            {"name": "ecs.availability-zone", "value": "us-east-1a"},
            {"name": "rack", "value": "10"},
            {"name": "ssd"},
        ),
    ),
    running_tasks=1,
    groups=frozenset({"service:production", "database"}),
)


@pytest.mark.parametrize(
    "text",
    [
        "attribute:ecs.instance-type == t2.small",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "attribute:ecs.instance-type =~ t2.* and attribute:ecs.availability-zone != us-east-1d",
        "(attribute:ecs.instance-type =~ (t2|g2).*) && attribute:ecs.availability-zone not_in ['us-east-1d']",
        "task:group == service:production",
        "task:group in [x, database]",
        "not(task:group == web)",
        "!(task:group == web) || runningTasksCount == 7",
        "runningTasksCount == 1",
        "runningTasksCount greater_than_equal 1",
        "agentVersion > 1.14.5",  # as text it would be less
        "agentVersion == 1.14.10",
        "agentVersion < v1.100",
        "registeredAt >= 2018-02-13",
        "registeredAt < 2018-06-18T22:28:28+00:00",
        "registeredAt == 2018-06-03T04:26:40Z",
        "registeredAt == 2018-06-03T04:26:40",
        "registeredAt == 2018-06-03T06:26:40+02:00",
        "agentConnected == true",
        "agentConnected matches tr.e",
        'ec2InstanceId in ["i-0abc", i-1]',
        "ec2InstanceId !~ .*z",
        "attribute:ssd exists",
        "attribute:hdd !exists",
        "attribute:hdd != big",
        "attribute:hdd not_in [big]",
        "attribute:hdd !~ b.*",
        "attribute:rack > 9",  # numbers
        "attribute:rack less_than 9a",  # texts
        "attribute:rack not_equals 010",
        "runningTasksCount == 0 or attribute:ssd exists and attribute:rack == 10",
    ],
)
def test_it_holds(text: str) -> None:
    assert matches(parse(text), HERE)
    assert not matches(parse(f"not ({text})"), HERE)


@pytest.mark.parametrize(
    "text",
    ["attribute:hdd == big", "attribute:hdd < 5", "attribute:hdd =~ .*", "attribute:ecs.instance-type =~ t2",
     "attribute:ecs.instance-type == T2.small", "task:group != database", "registeredAt > 2018-06-03T04:26:40Z",
     "runningTasksCount > 1 and attribute:ssd exists", "agentConnected == false"],
)  # fmt: skip
def test_it_does_not_hold(text: str) -> None:
    assert not matches(parse(text), HERE)


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("", 1, "a subject"),
        ("colour == red", 1, "a subject"),
        ("attribute:", 1, "a subject"),
        ("attribute:x", 12, "an operator"),
        ("attribute:x ~ y", 13, "an operator"),
        ("attribute:x ==", 15, "a value"),
        ("attribute:x == and", 16, "a value"),
        ("attribute:x in a", 16, "'['"),
        ("attribute:x in [a, b", 21, "']'"),
        ("attribute:x in []", 17, "a value"),
        ("attribute:x == 'a", 16, "does not end"),
        ("(attribute:x == a", 18, "')'"),
        ("attribute:x == a b", 18, "'and', 'or' or the end"),
        ("attribute:x == a and", 21, "a subject"),
        ("runningTasksCount == many", 22, "a number"),
        ("runningTasksCount =~ 1", 19, "does not take"),
        ("task:group > a", 12, "does not take"),
        ("agentVersion > new", 16, "a version"),
        ("registeredAt < 2018-02-30", 16, "a date"),
        ("attribute:x =~ a(b", 17, "not closed"),
        ("attribute:x =~ (?=a)", 16, "look-around"),
        ("attribute:x == a or attribute:y =~ *", 36, "nothing to repeat"),
        ("(" * 60, 51, "within each other"),
        ("a" * 2001, 2000, "at most 2000"),
    ],
)
def test_an_error_says_where(text: str, position: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=re.escape(words)) as raised:
        parse(text)
    assert raised.value.position == position
    assert str(raised.value).endswith(f" at character {position}")


VALUES = st.text(max_size=12)
NAMES = st.from_regex(r"[A-Za-z0-9_./-]{1,12}", fullmatch=True)
COMPARISONS = st.one_of(
    st.builds(
        Comparison, st.just(Subject.ATTRIBUTE), st.sampled_from(["==", "!=", "<", ">="]), st.tuples(VALUES), NAMES
    ),
    st.builds(Comparison, st.just(Subject.ATTRIBUTE), st.sampled_from(["exists", "!exists"]), st.just(()), NAMES),
    st.builds(
        Comparison, st.just(Subject.TASK_GROUP), st.sampled_from(["in", "!in"]), st.lists(VALUES, min_size=1).map(tuple)
    ),
    st.builds(
        Comparison,
        st.just(Subject.EC2_INSTANCE_ID),
        st.sampled_from(["=~", "!~"]),
        st.sampled_from(["a.*", "(a|b) c", "[)]'", r"\(", "x{2,3}", "a||b"]).map(lambda value: (value,)),
    ),
    st.builds(
        Comparison,
        st.just(Subject.RUNNING_TASKS_COUNT),
        st.sampled_from(["<", "=="]),
        st.integers(0, 99).map(lambda n: (str(n),)),
    ),
)


def _compound(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    pairs = st.lists(inner, min_size=2, max_size=3).map(tuple)
    return st.one_of(st.builds(Not, inner), st.builds(Every, pairs), st.builds(Either, pairs))


EXPRESSIONS = st.recursive(COMPARISONS, _compound, max_leaves=6)


@given(EXPRESSIONS)
def test_what_is_printed_is_read_back(expression: Expression) -> None:
    text = str(expression)
    if len(text) <= CHARACTERS_MAX:
        assert parse(text) == expression


FRAGMENTS = st.sampled_from(
    ["attribute:x", "task:group", "==", "=~", "in", "[", "]", "(", ")", "not", "!", "and", "||", "'", "a", "5", ",",
     "{9}", "*", "\\", "\n", "exists", "runningTasksCount", "agentVersion", "1.2"]
)  # fmt: skip


@given(
    st.one_of(st.text(max_size=60), st.lists(FRAGMENTS, max_size=20).map(" ".join), st.lists(FRAGMENTS).map("".join))
)
def test_any_text_is_an_expression_or_an_expression_error(text: str) -> None:
    expression, position = None, 1
    try:
        expression = parse(text)
    except ExpressionError as error:
        position = error.position
    assert 1 <= position <= len(text) + 1
    if expression is not None:
        assert matches(expression, HERE) in (True, False)
        assert parse(str(expression)) == expression


PATTERNS = st.recursive(
    st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\.", "", "^", "$"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("|".join).map("({})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}", "*?"])).map(
            lambda pair: f"(?:{pair[0]}){pair[1]}"
        ),
    ),
    max_leaves=6,
)


@given(PATTERNS, st.text("ab.c", max_size=8))
def test_a_pattern_means_what_pythons_engine_means(pattern: str, text: str) -> None:
    # `$` of Python also stands before a last line break; the texts have none.
    assert Pattern(pattern).matches(text) == bool(re.fullmatch(pattern, text))


@given(st.text(r"ab()[]|*+?{}\,1d^$.", max_size=30))
def test_any_pattern_is_one_or_a_pattern_error(pattern: str) -> None:
    position = 0
    try:
        Pattern(pattern).matches("abab")
    except PatternError as error:
        position = error.position
    assert 0 <= position <= len(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*b", "(.*)*x", "a*a*a*a*a*a*a*a*b", "(a{0,30}){0,30}b"])
def test_no_pattern_is_catastrophic(pattern: str) -> None:
    """Each would take a backtracking engine longer than the universe has."""
    started = time.monotonic()
    assert not Pattern(pattern).matches("a" * 200 + "!")
    assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    "pattern", ["(a{100}){100}", "((((){999}){999}){999}){999}", "(" * 40, r"(a)\1", "a*+", "(?i)a"]
)
def test_what_cannot_be_bounded_is_refused(pattern: str) -> None:
    with pytest.raises(PatternError):
        Pattern(pattern)
