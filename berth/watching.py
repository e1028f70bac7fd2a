"""Following a deployment: lines of the story into sentences, and how it stands. It asks nobody and prints nothing."""

import enum
from datetime import UTC, datetime
from typing import Any

from wire.arn import short_id
from wire.story import Kind, StoryLine

NAMED_MAX = 3
"""Tasks named in one sentence."""


class Ending(enum.IntEnum):
    """How a watch ends, as an exit code."""

    STABLE = 0
    FAILED = 3
    BLOCKED = 4


class Watched:
    """One service as it is watched."""

    def __init__(self, service: str, *, since: float, patience_seconds: float) -> None:
        self._service = service
        self._since = since
        self._patience_seconds = patience_seconds
        self._blocked_at: float | None = None
        self._why = ""

    def fold(self, line: StoryLine) -> str | None:
        """Take a line in. A sentence for people where it concerns the service and is not older than the deployment."""
        if line.subject != self._service or line.at < self._since:
            return None
        text = self._text(line)
        return f"{_clock(line.at)} {text}" if text else None

    def _text(self, line: StoryLine) -> str:
        data, text = line.data, ""
        match line.kind:
            case Kind.SERVICE_EVENT:
                text = data["message"]
            case Kind.DEPLOYMENT_STAGE:
                text = f"stage {data['stage']}, {data['production_weight']:g} % of the traffic"
            case Kind.SERVICE_DEPLOYMENT:
                text = f"service deployment {data['status']}" + (f": {data['reason']}" if data.get("reason") else "")
            case Kind.DEPLOYMENT_BLOCKED:
                if self._why != data["why"]:
                    self._blocked_at, self._why = line.at, data["why"]
                text = f"BLOCKED ({data['why']}): {_who(data)}{data['advice']}"
            case Kind.DEPLOYMENT_UNBLOCKED:
                self._blocked_at, self._why = None, ""
                text = f"no longer blocked ({data['why']})"
        return text

    def ending(self, service: dict[str, Any], course: dict[str, Any] | None, now: float) -> Ending | None:
        """How it ends, by DescribeServices' and DescribeServiceDeployments' answers; None: not yet."""
        newest = (service.get("deployments") or [{}])[0]
        status = course["status"] if course is not None else ""
        if status in {"ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED", "STOPPED"} or newest.get("rolloutState") == "FAILED":
            return Ending.FAILED
        is_whole = len(service["deployments"]) == 1 and service["runningCount"] == service["desiredCount"]
        if is_whole and newest["rolloutState"] == "COMPLETED":
            return Ending.STABLE
        if self._blocked_at is not None and (
            self._why == "settings" or now - self._blocked_at >= self._patience_seconds
        ):
            return Ending.BLOCKED
        return None


def counts(service: dict[str, Any]) -> str:
    """The deployments of a service in a line."""
    rows = (
        f"{short_id(d['taskDefinition'])} {d['runningCount']}/{d['desiredCount']}"
        + (f" +{d['pendingCount']} pending" if d["pendingCount"] else "")
        for d in service["deployments"]
    )
    return f"{service['serviceName']}: " + ", ".join(rows)


def _who(data: dict[str, Any]) -> str:
    text = ""
    if data.get("by"):
        text = f"by {_named(data['by'])}"
        if data.get("whom"):
            text = f"{_named(data['whom'])} waits for {_named(data['by'])}"
    if data.get("until") is not None:
        text += f"{', ' if text else ''}until {_clock(data['until'])} at the latest"
    return f"{text}. " if text else ""


def _named(arns: list[str]) -> str:
    more = f" and {len(arns) - NAMED_MAX} more" if len(arns) > NAMED_MAX else ""
    return ", ".join(short_id(arn)[:8] for arn in arns[:NAMED_MAX]) + more


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%H:%M:%S")
