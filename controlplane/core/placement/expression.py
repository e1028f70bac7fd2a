"""The cluster query language: `memberOf` constraints and the filter of ListContainerInstances.

    expression := and (("or" | "||") and)*
    and        := unary (("and" | "&&") unary)*
    unary      := ("not" | "!") unary | "(" expression ")" | subject operator [value | "[" value ("," value)* "]"]

`parse` reads it and `str` prints it; what it says of an instance is `query.py`'s matter.
Source: ECS Developer Guide, "Cluster query language".
"""

import re
from collections.abc import Callable
from enum import StrEnum

import msgspec

from controlplane.core.placement.pattern import Pattern, PatternError
from controlplane.core.placement.values import is_time, is_version

CHARACTERS_MAX = 2000
DEPTH_MAX = 50
"""Parentheses and negations within each other. Ours; what needs more has gone astray."""


class Subject(StrEnum):
    """What is asked about; an attribute goes on with its name."""

    AGENT_CONNECTED = "agentConnected"
    AGENT_VERSION = "agentVersion"
    ATTRIBUTE = "attribute"
    EC2_INSTANCE_ID = "ec2InstanceId"
    REGISTERED_AT = "registeredAt"
    RUNNING_TASKS_COUNT = "runningTasksCount"
    TASK_GROUP = "task:group"


_WORDS = {
    "==": "equals", "!=": "not_equals", ">": "greater_than", ">=": "greater_than_equal", "<": "less_than",
    "<=": "less_than_equal", "exists": "exists", "!exists": "not_exists", "in": "in", "!in": "not_in",
    "=~": "matches", "!~": "not_matches",
}  # fmt: skip
_SIGN_OF = {word: sign for sign, word in _WORDS.items()}
_TEXTUAL = frozenset({"==", "!=", "in", "!in", "=~", "!~"})
_ORDERED = frozenset({"==", "!=", ">", ">=", "<", "<="})
_OPERATORS = {
    Subject.AGENT_CONNECTED: _TEXTUAL,
    Subject.AGENT_VERSION: _ORDERED,
    Subject.ATTRIBUTE: frozenset(_WORDS),
    Subject.EC2_INSTANCE_ID: _TEXTUAL,
    Subject.REGISTERED_AT: _ORDERED,
    Subject.RUNNING_TASKS_COUNT: _ORDERED,
    Subject.TASK_GROUP: _TEXTUAL,
}
_FORMS: dict[Subject, tuple[Callable[[str], object], str]] = {
    Subject.AGENT_VERSION: (is_version, "a version like 1.14.5"),
    Subject.REGISTERED_AT: (is_time, "a date like 2018-06-18 or 2018-06-18T22:28:28+00:00"),
    Subject.RUNNING_TASKS_COUNT: (re.compile(r"[0-9]{1,9}").fullmatch, "a number"),
}

_SPACE = re.compile(r"\s*")
_SUBJECT = re.compile(r"attribute:(?P<name>[\w./\\-]{1,128})|task:group|[A-Za-z][\w:]*")
_OPERATOR = re.compile(r"==|!=|>=|<=|=~|!~|>|<|!(?:in|exists)\b|[a-z_]+")
_AND = re.compile(r"&&|and\b")
_OR = re.compile(r"\|\||or\b")
_NOT = re.compile(r"!|not\b")
_QUOTED = re.compile(r"'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\"", re.DOTALL)
_BARE = re.compile(r"(?:(?!&&|\|\|)[^\s,()\[\]'\"])+")
_RESERVED = frozenset({"and", "or", "not"})
_PLAIN = re.compile(r"[\w.:+*/-]+", re.ASCII)


class ExpressionError(ValueError):
    """Text that is no expression. `position` counts from 1; the sentence names it."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(f"{message} at character {position}")
        self.position = position


class Comparison(msgspec.Struct, frozen=True):
    """One subject, one operator (its sign), and what it is compared with: one value, a list for `in`, or none."""

    subject: Subject
    operator: str
    values: tuple[str, ...] = ()
    attribute: str = ""
    """Name, where the subject is an attribute."""

    def __str__(self) -> str:
        subject = f"attribute:{self.attribute}" if self.subject is Subject.ATTRIBUTE else str(self.subject)
        shown = ", ".join(map(_shown, self.values))
        if self.operator in ("in", "!in"):
            shown = f"[{shown}]"
        return f"{subject} {self.operator} {shown}".rstrip()


class Not(msgspec.Struct, frozen=True):
    """What is not so."""

    operand: "Expression"

    def __str__(self) -> str:
        return f"not {_grouped(self.operand)}"


class Every(msgspec.Struct, frozen=True):
    """`and`: two operands or more."""

    operands: tuple["Expression", ...]

    def __str__(self) -> str:
        return " and ".join(map(_grouped, self.operands))


class Either(msgspec.Struct, frozen=True):
    """`or`: two operands or more."""

    operands: tuple["Expression", ...]

    def __str__(self) -> str:
        return " or ".join(map(_grouped, self.operands))


Expression = Comparison | Not | Every | Either


def parse(text: str) -> Expression:
    """Read an expression.

    Raises:
        ExpressionError: it is none; the sentence says what was expected and where.
    """
    if len(text) > CHARACTERS_MAX:
        raise ExpressionError(
            f"an expression has at most {CHARACTERS_MAX} characters, and this goes on", CHARACTERS_MAX
        )
    reader = _Reader(text)
    expression = reader.either()
    reader.end()
    return expression


class _Reader:
    """Reads from left to right; `at` is where."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def either(self) -> Expression:
        operands = [self._every()]
        while self._take(_OR):
            operands.append(self._every())
        return operands[0] if len(operands) == 1 else Either(tuple(operands))

    def end(self) -> None:
        self._skip()
        if self.at < len(self.text):
            raise self._error("'and', 'or' or the end was expected")

    def _every(self) -> Expression:
        operands = [self._unary()]
        while self._take(_AND):
            operands.append(self._unary())
        return operands[0] if len(operands) == 1 else Every(tuple(operands))

    def _unary(self) -> Expression:
        self._skip()
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise self._error(f"more than {DEPTH_MAX} parentheses and negations stand within each other")
        expression: Expression
        if self._take(_NOT):
            expression = Not(self._unary())
        elif self._sign("("):
            expression = self.either()
            self._need(")")
        else:
            expression = self._comparison()
        self.depth -= 1
        return expression

    def _comparison(self) -> Comparison:
        self._skip()
        found = _SUBJECT.match(self.text, self.at)
        name = found["name"] if found else None
        word = "attribute" if name else found[0] if found else ""
        if found is None or word not in set(Subject) or (word == "attribute" and not name):
            raise self._error("a subject (attribute:NAME, task:group, agentVersion, ...) was expected")
        self.at = found.end()
        subject = Subject(word)
        operator = self._operator(subject)
        return Comparison(subject, operator, self._values(subject, operator), name or "")

    def _operator(self, subject: Subject) -> str:
        self._skip()
        found = _OPERATOR.match(self.text, self.at)
        sign = _SIGN_OF.get(found[0], found[0]) if found else ""
        if found is None or sign not in _WORDS:
            raise self._error("an operator was expected")
        if sign not in _OPERATORS[subject]:
            raise self._error(f"{subject} does not take the operator {found[0]}")
        self.at = found.end()
        return sign

    def _values(self, subject: Subject, operator: str) -> tuple[str, ...]:
        if operator in ("exists", "!exists"):
            return ()
        if operator in ("=~", "!~"):
            return (self._pattern(),)
        if operator not in ("in", "!in"):
            return (self._value(subject),)
        self._need("[")
        values = [self._value(subject)]
        while self._sign(","):
            values.append(self._value(subject))
        self._need("]")
        return tuple(values)

    def _value(self, subject: Subject) -> str:
        self._skip()
        start = self.at
        value = self._quoted()
        if value is None:
            found = _BARE.match(self.text, self.at)
            if found is None or found[0] in _RESERVED:
                raise self._error("a value was expected")
            value, self.at = found[0], found.end()
        if subject in _FORMS:
            is_formed, form = _FORMS[subject]
            if not is_formed(value):
                self.at = start
                raise self._error(f"{form} was expected")
        return value

    def _pattern(self) -> str:
        """A regular expression. A bare one ends at a space, a connective, or a parenthesis that it did not open."""
        self._skip()
        start = self.at
        value = self._quoted()
        if value is None:
            self._skip_pattern()
            value = self.text[start : self.at]
            if not value or value in _RESERVED:
                self.at = start
                raise self._error("a regular expression was expected")
        try:
            Pattern(value)
        except PatternError as error:
            raise ExpressionError(f"in the regular expression: {error}", start + 1 + error.position) from None
        return value

    def _skip_pattern(self) -> None:
        depth = 0
        while self.at < len(self.text):
            character = self.text[self.at]
            if character.isspace() or (not depth and (character == ")" or self.text[self.at :][:2] in ("&&", "||"))):
                return
            if character == "\\":
                self.at += 1
            depth += (character in "([") - (character in ")]")
            self.at += 1
        self.at = min(self.at, len(self.text))

    def _quoted(self) -> str | None:
        found = _QUOTED.match(self.text, self.at)
        if found is None:
            if self.text[self.at : self.at + 1] in ("'", '"') and self.at < len(self.text):
                raise self._error("this quotation does not end")
            return None
        self.at = found.end()
        inside = found[2] if found[1] is None else found[1]
        return re.sub(r"\\(['\"\\])", r"\1", inside)

    def _take(self, pattern: re.Pattern[str]) -> bool:
        self._skip()
        found = pattern.match(self.text, self.at)
        if found is None:
            return False
        self.at = found.end()
        return True

    def _sign(self, sign: str) -> bool:
        self._skip()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def _need(self, sign: str) -> None:
        if not self._sign(sign):
            raise self._error(f"'{sign}' was expected")

    def _skip(self) -> None:
        found = _SPACE.match(self.text, self.at)
        assert found is not None
        self.at = found.end()

    def _error(self, message: str) -> ExpressionError:
        return ExpressionError(message, self.at + 1)


def _grouped(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, Every | Either) else str(expression)


def _shown(value: str) -> str:
    """A value as it is read back: bare where it is plain, else quoted."""
    if _PLAIN.fullmatch(value) and value not in _RESERVED:
        return value
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"
