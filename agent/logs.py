"""The agent's log: standard error, or a file that rolls over. Nothing is read from it.

Source: amazon-ecs-agent README (`ECS_LOGFILE`, `ECS_LOG_ROLLOVER_TYPE`, `ECS_LOG_OUTPUT_FORMAT`, ...), `agent/logger`.
"""

import json
import logging
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

BYTES_PER_MEGABYTE = 1_000_000


class Rollover(StrEnum):
    """`ECS_LOG_ROLLOVER_TYPE`."""

    SIZE = "size"
    HOURLY = "hourly"
    NONE = "none"


class LogFormat(StrEnum):
    """`ECS_LOG_OUTPUT_FORMAT`; `text` is ours, and the default."""

    TEXT = "text"
    LOGFMT = "logfmt"
    JSON = "json"


class LogSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What the environment says about the log."""

    level: str = "info"
    file: str = ""
    """Empty: standard error."""
    rollover: Rollover = Rollover.SIZE
    file_megabytes_max: float = 5
    files_max: int = 24
    format: LogFormat = LogFormat.TEXT


LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "crit": logging.CRITICAL,
    "none": logging.CRITICAL + 1,
}
"""Amazon's names (and Python's `warning`)."""


def set_up(settings: LogSettings) -> None:
    """Log as configured from now on.

    Raises:
        OSError: the file cannot be opened.
    """
    handler = _handler(settings)
    handler.setFormatter(_Formatter(settings.format))
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(LEVELS[settings.level])


def _handler(settings: LogSettings) -> logging.Handler:
    if not settings.file:
        return logging.StreamHandler()
    from logging.handlers import RotatingFileHandler, TimedRotatingFileHandler  # noqa: PLC0415 - 0.2 MiB, rarely needed

    if settings.rollover is Rollover.HOURLY:
        return TimedRotatingFileHandler(settings.file, when="H", backupCount=settings.files_max)
    size_max = settings.file_megabytes_max * BYTES_PER_MEGABYTE if settings.rollover is Rollover.SIZE else 0
    return RotatingFileHandler(settings.file, maxBytes=int(size_max), backupCount=settings.files_max)


class _Formatter(logging.Formatter):
    def __init__(self, kind: LogFormat) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._kind = kind

    def format(self, record: logging.LogRecord) -> str:
        if self._kind is LogFormat.TEXT:
            return super().format(record)
        message = record.getMessage()
        if record.exc_info:
            message = f"{message}\n{self.formatException(record.exc_info)}"
        fields = {
            "level": record.levelname.lower(),
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "msg": message,
            "module": record.name,
        }
        if self._kind is LogFormat.JSON:
            return json.dumps(fields)
        quoted = {"msg": json.dumps(message)}
        return " ".join(f"{name}={quoted.get(name, value)}" for name, value in fields.items())
