"""Regular expressions whose time grows with the text alone: `=~` of the cluster query language.

A pattern becomes a small machine without backtracking (Thompson's construction), so none is catastrophic. Java's syntax
as far as it describes such a machine: literals, `.`, classes, groups, `|`, `* + ? {m,n}`, `^ $`, and the usual escapes.
Look-around, back references, flags and possessive quantifiers are refused. It knows nothing of instances.
"""

import re
import warnings
from collections.abc import Callable

import msgspec

WORK_MAX = 4000
"""Steps to build a machine at most: `(a{100}){100}` is refused, not built."""
DEPTH_MAX = 30
"""Groups within groups."""

_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:[dDwWsStnrf]|[^A-Za-z0-9])", re.DOTALL)
_REPEAT = re.compile(r"(?:[*+?]|\{(\d{1,4})(,(\d{0,4}))?\})(\??)(\+?)")
_END = -1


def _is_no_line_end(character: str) -> bool:
    return character not in "\n\r\x85\u2028\u2029"


class PatternError(ValueError):
    """A pattern that is none, or none that is served. `position` is where in it, from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class One(msgspec.Struct, frozen=True):
    """One character that `fits`."""

    fits: Callable[[str], object]


class Edge(msgspec.Struct, frozen=True):
    """`^` or `$`."""

    at_start: bool


class Row(msgspec.Struct, frozen=True):
    """One part after the other."""

    parts: list["Part"]


class Choice(msgspec.Struct, frozen=True):
    """One part or another."""

    parts: list["Part"]


class Repeat(msgspec.Struct, frozen=True):
    """A part, `least` to `most` times; None: without end."""

    part: "Part"
    least: int
    most: int | None


Part = One | Edge | Row | Choice | Repeat


class Step(msgspec.Struct):
    """A step of the machine: a `test` to pass, or none, and where it goes on."""

    test: One | Edge | None
    after: tuple[int, ...]


class Pattern:
    """A compiled pattern."""

    def __init__(self, text: str) -> None:
        """Compile `text`.

        Raises:
            PatternError: it cannot be.
        """
        self._steps: list[Step] = []
        self._work = 0
        self._first = self._build(_Reader(text).read(), _END)

    def matches(self, text: str) -> bool:
        """Whether `text` as a whole is described (Java's `matches`)."""
        now = self._reach({self._first}, at_start=True, at_end=not text)
        for position, character in enumerate(text):
            after: set[int] = set()
            for index in now - {_END}:
                step = self._steps[index]
                if isinstance(step.test, One) and step.test.fits(character):
                    after.update(step.after)
            now = self._reach(after, at_start=False, at_end=position + 1 == len(text))
        return _END in now

    def _reach(self, indexes: set[int], *, at_start: bool, at_end: bool) -> set[int]:
        """All steps that stand open without another character."""
        reached: set[int] = set()
        waiting = list(indexes)
        while waiting:
            index = waiting.pop()
            if index in reached:
                continue
            reached.add(index)
            if index == _END:
                continue
            step = self._steps[index]
            if step.test is None or (isinstance(step.test, Edge) and (at_start if step.test.at_start else at_end)):
                waiting += step.after
        return reached

    def _add(self, test: One | Edge | None, *after: int) -> int:
        self._steps.append(Step(test, after))
        return len(self._steps) - 1

    def _build(self, part: Part, after: int) -> int:
        """Put `part` before the step `after`; returns where it begins."""
        self._work += 1
        if self._work > WORK_MAX:
            raise PatternError("the pattern is too large", 0)
        match part:
            case One() | Edge():
                return self._add(part, after)
            case Row(parts):
                for each in reversed(parts):
                    after = self._build(each, after)
                return after
            case Choice(parts):
                return self._add(None, *(self._build(each, after) for each in parts))
            case Repeat(inner, least, most):
                return self._build_repeat(inner, least, most, after)

    def _build_repeat(self, part: Part, least: int, most: int | None, after: int) -> int:
        if most is None:
            loop = self._add(None, after)
            self._steps[loop].after = (self._build(part, loop), after)
            after = loop
        else:
            end = after
            for _ in range(most - least):
                after = self._add(None, self._build(part, after), end)
        for _ in range(least):
            after = self._build(part, after)
        return after


class _Reader:
    """Reads a pattern from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def read(self) -> Part:
        part = self._choice()
        if self.at < len(self.text):
            raise PatternError("this ')' closes nothing", self.at)
        return part

    def _choice(self) -> Part:
        rows: list[Part] = [self._row()]
        while self._next() == "|":
            self.at += 1
            rows.append(self._row())
        return rows[0] if len(rows) == 1 else Choice(rows)

    def _row(self) -> Part:
        parts: list[Part] = []
        while self._next() not in ("", "|", ")"):
            parts.append(self._repeated(self._atom()))
        return Row(parts)

    def _repeated(self, part: Part) -> Part:
        found = _REPEAT.match(self.text, self.at)
        if found is None:
            return part
        if found[5]:
            raise PatternError("possessive quantifiers are not served", found.start(5))
        if found[1] is None:
            least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[found[0][0]]
        else:
            least = int(found[1])
            most = least if found[2] is None else int(found[3]) if found[3] else None
        if most is not None and most < least:
            raise PatternError("a repetition's end lies before its beginning", self.at)
        self.at = found.end()
        return Repeat(part, least, most)

    def _atom(self) -> Part:
        character = self._next()
        if character == "(":
            return self._group()
        if character in "*+?{":
            raise PatternError("there is nothing to repeat", self.at)
        if character in "^$":
            self.at += 1
            return Edge(at_start=character == "^")
        if character in "[\\":
            found = (_CLASS if character == "[" else _ESCAPE).match(self.text, self.at)
            if found is None or "&&" in found[0]:
                raise PatternError("this class or escape is not served", self.at)
            return One(self._single(found[0]))
        self.at += 1
        return One(_is_no_line_end if character == "." else character.__eq__)

    def _group(self) -> Part:
        opened = self.at
        self.depth += 1
        self.at += 3 if self.text.startswith("(?:", opened) else 1
        if self.depth > DEPTH_MAX:
            raise PatternError("the groups are nested too deeply", opened)
        if self._next() == "?":
            raise PatternError("look-around, names and flags are not served", opened)
        part = self._choice()
        if self._next() != ")":
            raise PatternError("this '(' is not closed", opened)
        self.at += 1
        self.depth -= 1
        return part

    def _single(self, text: str) -> Callable[[str], object]:
        """A class or an escape: one character's worth of Python's own engine, which cannot backtrack there."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)
                fits = re.compile(text, re.ASCII).match
        except re.error as error:
            raise PatternError(f"the class is not well formed ({error.msg})", self.at) from None
        self.at += len(text)
        return fits

    def _next(self) -> str:
        return self.text[self.at : self.at + 1]
