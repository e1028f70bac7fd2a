"""The two websockets of an agent, wired to its engine: ACS tells it what to do, TCS is told how that goes."""

import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from agent.backend.acs import AcsSession
from agent.backend.credentials import CredentialStore
from agent.backend.desk import Desk, Facts
from agent.backend.ecsclient import EcsClient
from agent.backend.endpoints import Endpoints
from agent.backend.tcs import TcsSession
from agent.backend.telemetry import HealthRow, Telemetry
from agent.backend.websocket import Speaker
from agent.core.events import Event
from agent.core.state import TaskState
from agent.machine.doctor import Doctor
from agent.machine.stats import Cgroups
from wire.execution import ExecuteCommandMessage


class Books(Protocol):
    """What the sessions need of the engine."""

    async def submit(self, event: Event) -> None:
        """Give it a fact; returns when everything about it is on disk."""

    def tasks(self) -> Iterable[TaskState]:
        """Every task's state, to read."""

    def health(self) -> Iterable[HealthRow]:
        """Health of every running container that Docker checks."""


def sessions(
    client: EcsClient,
    engine: Books,
    *,
    cluster: str,
    instance: str,
    agent_version: str,
    docker_version: str,
    facts: Facts,
    credentials: CredentialStore,
    doctor: Doctor,
    cgroups: Cgroups | None = None,
    sends_metrics: bool = True,
    cpu_units: int = 0,
    execute: Callable[[ExecuteCommandMessage], None] = lambda _message: None,
    set_policy: Callable[[str, str, str], None],
    renew: Callable[[], Awaitable[None]],
) -> tuple[AcsSession, TcsSession]:
    """ACS and TCS of the instance (ARN); they share the answer of DiscoverPollEndpoint. `renew` as in `AcsSession`."""
    names = {"cluster": cluster, "instance": instance}
    speaker = Speaker(**names, agent_version=agent_version, docker_version=docker_version)
    endpoints = Endpoints(client, **names)
    desk = Desk(
        submit=engine.submit,
        tasks=engine.tasks,
        facts=facts,
        credentials=credentials,
        examine=doctor.examine,
        execute=execute,
        set_policy=set_policy,
    )
    telemetry = Telemetry(
        **names,
        tasks=engine.tasks,
        health=engine.health,
        doctor=doctor,
        cgroups=cgroups or Cgroups(),
        clock=time.time,
        sends_metrics=sends_metrics,
        cpu_units=cpu_units,
    )
    return (
        AcsSession(client, endpoints, desk, speaker, renew=renew),
        TcsSession(client, endpoints, telemetry, speaker),
    )
