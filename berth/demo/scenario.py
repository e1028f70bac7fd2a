"""Plays one run: four old tasks, one job, one deployment, one host that joins. It watches and decides nothing else.

The story is folded as it comes; Docker's events are the evidence beside it. Every wait has a limit.
"""

import asyncio
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec
from docker.errors import DockerException

from berth.client import EcsClient
from berth.demo.evidence import Evidence, Recorder
from berth.demo.setup import CONTAINER, CPU, IMAGE, MEMORY_MIB, QUIT_SECONDS, SERVICE, STRATEGIES, TASKS, Setup
from berth.devserver import CLUSTER, DevServer, StartFailed
from controlplane.core.lifeline import Lifeline
from controlplane.core.twoledgers import TwoLedgers
from wire.errors import AwsError
from wire.status import TaskStatus
from wire.story import Kind, StoryLine

OLD, NEW = 1, 2
"""Revisions of the task definition."""
SETTLE_SECONDS = 60
"""For the four old tasks to run."""
JOIN_WITHIN_SECONDS = 8
"""After the deploy a host joins by then, whether or not the quick ones have quit."""
SLACK_SECONDS = 30
"""Beyond the end of the job."""
QUIET_SECONDS = 10
"""For the last lines of the story to arrive."""
AFTERGLOW_SECONDS = 1.5
"""Played on after the end, so that a drawing shows it."""


class RunFailed(Exception):
    """The run could not be played to its end; the message says why."""


class Watcher(Protocol):
    """Somebody who looks on."""

    def on_line(self, run: "Run", line: StoryLine) -> None:
        """A line of the story has been folded."""

    def on_phase(self, run: "Run", phase: str) -> None:
        """The next part of the run begins."""


class Run(msgspec.Struct, kw_only=True):
    """One run, while it is played and afterwards. Times are epoch seconds."""

    setup: Setup
    ledgers: TwoLedgers
    evidence: Evidence
    hosts: dict[str, str] = {}
    """Names of the hosts by the ARN of their instance."""
    joining: str = ""
    """Name of the host that joins; its instance is not known by ARN at once."""
    phase: str = ""
    job_task: str = ""
    """ARN of the old task that has the job."""
    machines: dict[str, list[float]] = {}
    """Launch and, once it has gone, end of each machine of the group."""
    looks: list[StoryLine] = []
    """Of the scaler, with what came of each."""
    asked_at: dict[str, float] = {}
    """When each task (ARN) was wanted first."""
    deploy_at: float | None = None
    ended_at: float | None = None

    def host(self, instance: str) -> str:
        """What to call an instance (ARN)."""
        return self.hosts.get(instance) or self.joining or instance[-8:]

    def tasks(self, revision: int) -> list[Lifeline]:
        """Lifelines of one revision, oldest first."""
        return [life for life in self.ledgers.lifelines.values() if revision_of(life) == revision]


def revision_of(life: Lifeline) -> int:
    """The revision that a task was made from; 0 where it is not known yet."""
    _, _, revision = life.task_definition.rpartition(":")
    return int(revision) if revision.isdecimal() else 0


class Scenario:
    """Plays one run on a server of its own."""

    def __init__(self, setup: Setup, server: DevServer, watcher: Watcher) -> None:
        self.run = Run(setup=setup, ledgers=TwoLedgers(), evidence=Evidence())
        self._server = server
        self._watcher = watcher
        self._news = asyncio.Event()
        self._recorder: Recorder | None = None

    async def play(self) -> Run:
        """Play the run to its end.

        Raises:
            RunFailed: something that should have happened did not.
        """
        setup = self.run.setup
        self._phase(f"{setup.title}: a control plane and {setup.hosts} hosts start")
        try:
            await self._server.start()
            self._recorder = Recorder(self.run.evidence, self._server.run, self._news.set)
            self._recorder.start()
            if not setup.has_provider:
                await self._server.add_hosts()
                self.run.hosts = await self._server.wait_connected()
            async with EcsClient(self._server.endpoint) as client:
                await _guarded(self._play(client), self._read_story(client), self._watch_children())
        except (StartFailed, AwsError, ConnectionError, DockerException, TimeoutError) as error:
            raise RunFailed(str(error)) from error
        finally:
            if self._recorder is not None:
                self._recorder.close()
        return self.run

    async def _play(self, client: EcsClient) -> None:
        if self.run.setup.has_provider:
            self._phase("the group's hosts boot")
            ready = self._wait_for_hosts
            await self._until(ready, SETTLE_SECONDS, f"{self.run.setup.hosts} hosts of the group are connected")
        await self._start_old_tasks(client)
        await self._give_job(client)
        await self._deploy(client)
        if not self.run.setup.has_provider:
            await self._join_host()
        await self._end_protection(client)
        await self._see_the_end()

    # -- the parts -----------------------------------------------------------------------------------------------------

    async def _start_old_tasks(self, client: EcsClient) -> None:
        setup = self.run.setup
        self._phase(f"service {SERVICE} starts with {TASKS} tasks of revision {OLD}")
        await client.call("RegisterTaskDefinition", **task_definition(setup))
        strategy = setup.remedies.strategy
        await client.call(
            "CreateService",
            cluster=CLUSTER,
            serviceName=SERVICE,
            taskDefinition=f"{SERVICE}:{OLD}",
            desiredCount=TASKS,
            availabilityZoneRebalancing="DISABLED",
            deploymentConfiguration={
                "minimumHealthyPercent": 0,
                "maximumPercent": setup.remedies.maximum_percent,
            },
            **({"placementStrategy": [STRATEGIES[strategy]]} if strategy else {}),
        )
        await self._until(self._old_tasks_run, SETTLE_SECONDS, f"{TASKS} tasks of revision {OLD} run")

    def _wait_for_hosts(self) -> bool:
        ready = [i for i in self.run.ledgers.instances.values() if i.is_connected]
        return len(ready) >= self.run.setup.hosts

    def _old_tasks_run(self) -> bool:
        old = self.run.tasks(OLD)
        return (
            self.run.evidence.running(OLD) >= TASKS
            and len(old) >= TASKS
            and all(life.last == TaskStatus.RUNNING and life.started_at for life in old)
        )

    async def _give_job(self, client: EcsClient) -> None:
        old = sorted(self.run.tasks(OLD), key=lambda life: self.run.host(life.instance))
        by_host: dict[str, int] = {}
        for life in old:
            by_host[life.instance] = by_host.get(life.instance, 0) + 1
        if set(by_host.values()) != {self.run.setup.slots}:
            spread = ", ".join(f"{self.run.host(arn)} has {count}" for arn, count in by_host.items())
            raise RunFailed(f"The old tasks should fill every host with {self.run.setup.slots}, but {spread}.")
        self.run.job_task = old[-1].task
        if self.run.setup.remedies.is_protected:
            self._phase(f"a job of {self.run.setup.job_seconds} s arrives at one of them and protects its task")
            await self._protect(client, is_on=True)
            return
        self._phase(f"a job of {self.run.setup.job_seconds} s arrives at one of them (SIGUSR1)")
        assert self._recorder is not None
        await self._recorder.give_job(self.run.job_task)

    async def _protect(self, client: EcsClient, *, is_on: bool) -> None:
        """What the job's program does at its agent's endpoint, done for it: the same rule behind both."""
        answer = await client.call(
            "UpdateTaskProtection",
            cluster=CLUSTER,
            tasks=[self.run.job_task],
            protectionEnabled=is_on,
            **({"expiresInMinutes": math.ceil(self.run.setup.job_seconds / 60) + 1} if is_on else {}),
        )
        if answer["failures"]:
            raise RunFailed(f"The job's task could not be protected: {answer['failures'][0]['reason']}.")

    async def _end_protection(self, client: EcsClient) -> None:
        if not self.run.setup.remedies.is_protected or self.run.deploy_at is None:
            return
        await asyncio.sleep(max(0.0, self.run.deploy_at + self.run.setup.job_seconds - time.time()))
        self._phase("the job is done and ends its protection")
        await self._protect(client, is_on=False)

    async def _deploy(self, client: EcsClient) -> None:
        await client.call("RegisterTaskDefinition", **task_definition(self.run.setup))
        self.run.deploy_at = time.time()
        told = TASKS - self.run.setup.remedies.is_protected
        self._phase(f"deploy of revision {NEW}: {told} of {TASKS} old tasks are told to stop")
        await client.call("UpdateService", cluster=CLUSTER, service=SERVICE, taskDefinition=f"{SERVICE}:{NEW}")

    async def _join_host(self) -> None:
        await self._wait(lambda: self.run.evidence.gone(OLD) >= TASKS - 1, JOIN_WITHIN_SECONDS)
        self.run.joining = await self._server.add_host()
        self._phase(f"{self.run.joining} joins")
        self.run.hosts = await self._server.wait_connected()

    async def _see_the_end(self) -> None:
        self._phase("until the new tasks run and the job has ended")
        patience = self.run.setup.job_ends_seconds + SLACK_SECONDS
        await self._until(lambda: self.run.evidence.gone(OLD) >= TASKS, patience, "the job's container ends")
        await self._wait(lambda: self.run.evidence.running(NEW) >= TASKS, SLACK_SECONDS)
        await self._wait(self._story_is_quiet, QUIET_SECONDS)
        await asyncio.sleep(AFTERGLOW_SECONDS)
        if self.run.evidence.trouble:
            raise RunFailed(f"Docker's record of the run is not whole: {self.run.evidence.trouble}.")
        self.run.ended_at = time.time()
        self._phase("done")

    def _story_is_quiet(self) -> bool:
        old, new = self.run.tasks(OLD), self.run.tasks(NEW)
        return all(life.is_stopped and life.admissions for life in old) and all(
            life.is_stopped or (life.last == TaskStatus.RUNNING and life.started_at) for life in new
        )

    # -- watching ------------------------------------------------------------------------------------------------------

    async def _read_story(self, client: EcsClient) -> None:
        async for _, line in client.story():
            self.run.ledgers.fold(line)
            note(self.run, line)
            self._watcher.on_line(self.run, line)
            self._news.set()

    async def _watch_children(self) -> None:
        death = await self._server.deaths.get()
        raise RunFailed(death.obituary)

    async def _until(self, is_so: Callable[[], bool], seconds: float, what: str) -> None:
        if not await self._wait(is_so, seconds):
            raise RunFailed(f"It did not happen within {seconds} s that {what}.")

    async def _wait(self, is_so: Callable[[], bool], seconds: float) -> bool:
        """Wait until it is so; False where it is not within that time."""
        end = time.monotonic() + seconds
        while not is_so():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._news.clear()
            try:
                async with asyncio.timeout(left):
                    await self._news.wait()
            except TimeoutError:
                continue
        return True

    def _phase(self, phase: str) -> None:
        self.run.phase = phase
        self._watcher.on_phase(self.run, phase)


def note(run: Run, line: StoryLine) -> None:
    """What the ledgers do not keep: who was bought when, what the scaler saw, when a task was wanted."""
    if line.kind == Kind.INSTANCE_REGISTERED and run.setup.has_provider:
        run.hosts.setdefault(line.subject, f"host-{len(run.hosts) + 1}")
    elif line.kind == Kind.MACHINE_STATE and line.data["state"] == "Pending":
        run.machines[line.subject] = [line.at]
    elif line.kind == Kind.MACHINE_STATE and line.data["state"] == "Terminated":
        run.machines[line.subject].append(line.at)
    elif line.kind == Kind.SCALER_LOOK:
        run.looks.append(line)
    elif line.kind == Kind.TASK_DESIRED and line.data["desired"] == "RUNNING":
        run.asked_at.setdefault(line.subject, line.at)


def task_definition(setup: Setup) -> dict[str, Any]:
    """The task definition of both revisions: quits quickly, unless a job has arrived."""
    environment = {"ON_TERM": "quit", "QUIT_SECONDS": str(QUIT_SECONDS), "JOB_SECONDS": str(setup.job_seconds)}
    return {
        "family": SERVICE,
        "requiresCompatibilities": ["EC2"],
        "containerDefinitions": [
            {
                "name": CONTAINER,
                "image": IMAGE,
                "cpu": CPU,
                "memory": MEMORY_MIB,
                "essential": True,
                "stopTimeout": setup.stop_timeout_seconds,
                "environment": [{"name": name, "value": value} for name, value in environment.items()],
            }
        ],
    }


async def _guarded(work: Coroutine[Any, Any, None], *guards: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end while the guards watch; a guard that ends first ends it, by its exception."""
    working = asyncio.create_task(work)
    watching = [asyncio.create_task(guard) for guard in guards]
    try:
        await asyncio.wait((working, *watching), return_when=asyncio.FIRST_COMPLETED)
        for task in (working, *watching):
            if task.done():
                task.result()
                return
    finally:
        for task in (working, *watching):
            task.cancel()
        await asyncio.gather(working, *watching, return_exceptions=True)
