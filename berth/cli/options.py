"""How the commands read their options: durations, instance types, presets, zones. Each refusal is one sentence.

This module checks words, never the world.
"""

import re
from typing import Any, NoReturn

import click

from berth.errors import UserError
from controlplane.core.policy import PRESETS
from wire.instance_types import INSTANCE_TYPES, InstanceType, nearest

_DURATION = re.compile(r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s)?")
_UNIT_SECONDS = (3600, 60, 1)
_ZONE = re.compile(r"[a-z0-9-]+")


def duration_seconds(text: str) -> int | None:
    """Seconds of a duration such as `90s`, `2m`, `1h30m`; None where `text` is none or is zero."""
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        return None
    return sum(int(part) * unit for part, unit in zip(match.groups("0"), _UNIT_SECONDS, strict=True)) or None


def duration_text(seconds: float) -> str:
    """A duration as the options take it: `90s`, `2m`, `1h`."""
    for unit, letter in zip(_UNIT_SECONDS, "hms", strict=True):
        if seconds >= unit and seconds % unit == 0:
            return f"{seconds // unit:.0f}{letter}"
    return f"{seconds:g}s"


class Sentence(click.ParamType[Any]):
    """A parameter whose refusal is a sentence of its own."""

    def fail(self, message: str, param: click.Parameter | None = None, ctx: click.Context | None = None) -> NoReturn:
        del param, ctx
        raise UserError(message)


class Duration(Sentence):
    """A whole number of seconds, at least one."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        seconds = duration_seconds(value)
        if seconds is None:
            self.fail(f"{value!r} is no duration: write it like 5s, 2m or 1h30m, at least 1s.", param, ctx)
        return seconds


class InstanceTypeName(Sentence):
    """The name of a known EC2 instance type."""

    name = "type"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> InstanceType:
        if isinstance(value, InstanceType):
            return value
        known = INSTANCE_TYPES.get(value)
        if known is None:
            nearest_names = ", ".join(nearest(value))
            self.fail(f"{value!r} is no instance type that berth knows; the nearest are {nearest_names}.", param, ctx)
        return known


class PresetName(Sentence):
    """The name of a preset of policies."""

    name = "preset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in PRESETS:
            self.fail(f"{value!r} is no policy preset; there are {', '.join(PRESETS)}.", param, ctx)
        return str(value)


class Zones(Sentence):
    """Availability zones, separated by commas."""

    name = "zones"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        zones = tuple(zone.strip() for zone in value.split(","))
        if not all(_ZONE.fullmatch(zone) for zone in zones):
            self.fail(f"{value!r} is no list of zones: write it like us-east-1a,us-east-1b.", param, ctx)
        return zones


class Choice(Sentence):
    """One of a few words."""

    name = "word"

    def __init__(self, *words: str) -> None:
        self.words = words

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        del param, ctx
        return "|".join(self.words)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.words:
            option = param.opts[0] if param else "value"
            self.fail(f"{option} is {value!r}, but must be {' or '.join(self.words)}.", param, ctx)
        return str(value)


class Number(Sentence):
    """A whole number within bounds."""

    name = "number"

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except ValueError:
            number = self.least - 1
        if not self.least <= number <= self.most:
            option = param.opts[0] if param else "value"
            self.fail(f"{option} is {value}, but must be a whole number from {self.least} to {self.most}.", param, ctx)
        return number


def preset_lines() -> str:
    """The presets, one line each, for a command's help."""
    return "\n".join(f"  {preset.name:10} {preset.summary}" for preset in PRESETS.values())
