"""Worker and sweeper over a memory store, on a clock that jumps: commits lead to looks, time leads to the rest."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import msgspec
import pytest
from virtual_time import epoch, run_virtual

from controlplane.core import lifecycle
from controlplane.core.cost import task_amounts
from controlplane.core.lifecycle import ContainerReport, TaskReport
from controlplane.core.model import Cluster, Instance, Service, Task, TaskDefinition, Token
from controlplane.core.names import Names
from controlplane.core.plan import Conflict, Plan
from controlplane.core.policy import HoldEnds, Policy
from controlplane.core.reconcile import deployments
from controlplane.core.view import Draft
from controlplane.scheduling import worker as worker_module
from controlplane.scheduling.sweeper import Sweeper
from controlplane.scheduling.worker import Worker
from controlplane.store.memory import MemoryStore
from wire.arn import ArnMaker
from wire.resources import Amounts
from wire.status import StopCode, TaskStatus

BODY = {"containerDefinitions": [{"name": "app", "cpu": 256, "memory": 512}]}
DEFINITION = TaskDefinition(arn="td", family="web", revision=1, amounts=task_amounts(BODY), body=BODY)
RUNNING = TaskReport(status=TaskStatus.RUNNING)
FAILED = TaskReport(status=TaskStatus.STOPPED, reason="CannotPullContainerError: no")
ENDED = TaskReport(status=TaskStatus.STOPPED, containers=(ContainerReport(name="app", exit_code=0),))
SERVICE = "arn/service/c/web"


class Plane:
    """The parts of a control plane that decide, without its doors."""

    def __init__(self, policy: Policy | None = None) -> None:
        self.names = Names(ArnMaker("r", "1"), Random(1))
        self.store = MemoryStore()
        self.policy = policy or Policy(healthy_after_seconds=0)
        self.worker = Worker(self.store, clock=epoch, names=self.names, dice=self.names.dice)
        self.sweeper = Sweeper(self.store, self.worker, clock=epoch, sleep=asyncio.sleep)

    async def do(self, decision: Callable[[Draft], object], cause: str = "request-1") -> None:
        draft = Draft(self.store.view(), now=epoch(), cause=cause)
        decision(draft)
        await self.store.commit(draft.plan())

    async def create(self, desired: int) -> None:
        service = Service(arn=SERVICE, name="web", cluster="c", desired_count=desired, task_definition="td")
        await self.do(lambda draft: deployments.begin(draft, service, task_definition="td", names=self.names))
        await self.quiet()

    async def observe(self, report: TaskReport) -> None:
        for task in self.live():
            await self.do(lambda draft, arn=task.arn: lifecycle.observe(draft, draft.task(arn), report))
        await self.quiet()

    async def quiet(self) -> None:
        """Let everything that is ready run, without time passing."""
        for _ in range(50):
            await asyncio.sleep(0)

    def live(self) -> list[Task]:
        return [task for task in self.store.view().tasks_of(SERVICE) if task.is_live]

    async def story(self, kind: str) -> list[object]:
        lines, _ = await self.store.story(0, 10_000)
        return [line for _, line in lines if line.kind == kind]


@asynccontextmanager
async def running(plane: Plane) -> AsyncIterator[Plane]:
    await plane.do(lambda draft: draft.put(Cluster(name="c", arn="c", policy=plane.policy)))
    await plane.do(lambda draft: draft.put(DEFINITION))
    instance = Instance(arn="i", cluster="c", registered=Amounts(2048, 8192), agent_connected=True)
    await plane.do(lambda draft: draft.put(instance))
    jobs = [asyncio.create_task(plane.worker.run()), asyncio.create_task(plane.sweeper.run())]
    await plane.quiet()
    yield plane
    for job in jobs:
        job.cancel()
    await asyncio.gather(*jobs, return_exceptions=True)


def test_a_commit_leads_to_an_evaluation_that_names_its_cause() -> None:
    async def main() -> None:
        async with running(Plane()) as plane:
            await plane.create(3)
            assert len(plane.live()) == 3
            first, *more = await plane.story("evaluation")
            assert (first.subject, first.cause, first.data) == (SERVICE, "request-1", {"why": "the service changed"})
            started = await plane.story("task.desired")
            assert {line.cause for line in started} == {first.id}
            assert not more, "an evaluation that changes nothing tells nothing"

    run_virtual(main())


def test_services_that_are_there_at_the_start_are_looked_at() -> None:
    async def main() -> None:
        plane = Plane()
        await plane.create(2)
        assert not plane.live()
        async with running(plane):
            assert len(plane.live()) == 2

    run_virtual(main())


def test_a_conflict_is_decided_anew_from_a_fresh_view(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        plane = Plane()
        commit, refused = plane.store.commit, []

        async def contended(plan: Plan) -> int:
            if len(refused) < 3 and any(line.kind == "evaluation" for line in plan.story):
                refused.append(plan)
                raise Conflict("somebody was quicker")
            return await commit(plan)

        monkeypatch.setattr(plane.store, "commit", contended)
        async with running(plane):
            await plane.create(2)
            assert len(plane.live()) == 2
            assert len(refused) == 3

    run_virtual(main())


def test_a_plan_that_conflicts_for_ever_is_tried_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rounds of a few tries with waits that double up to a minute; and once it passes, all is as before."""

    async def main() -> None:
        plane = Plane()
        commit, tried, is_blocked = plane.store.commit, [], True

        async def contended(plan: Plan) -> int:
            if is_blocked and any(line.kind == "evaluation" for line in plan.story):
                tried.append(epoch())
                raise Conflict("always")
            return await commit(plan)

        monkeypatch.setattr(plane.store, "commit", contended)
        async with running(plane):
            await plane.create(2)
            await asyncio.sleep(300)
            rounds = sorted(set(tried))
            assert len(tried) == worker_module.TRIES_MAX * len(rounds)
            assert 5 <= len(rounds) <= 15
            waits = [later - sooner for sooner, later in itertools.pairwise(rounds)]
            assert waits[-1] >= worker_module.PAUSE_SECONDS_MAX
            assert all(later >= sooner - 0.01 for sooner, later in itertools.pairwise(waits))
            is_blocked = False
            await asyncio.sleep(worker_module.PAUSE_SECONDS_MAX + 2)
            assert len(plane.live()) == 2

    run_virtual(main())


def test_one_evaluation_of_a_service_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for again while one is under way: looked at once more afterwards, never side by side."""

    async def main() -> None:
        plane = Plane()
        at_once, most, times = 0, 0, 0

        async def look(_: object) -> bool:
            nonlocal at_once, most, times
            at_once, times = at_once + 1, times + 1
            most = max(most, at_once)
            await asyncio.sleep(1)
            at_once -= 1
            return True

        monkeypatch.setattr(plane.worker, "_try", look)
        async with running(plane):
            for _ in range(5):
                plane.worker.look(SERVICE, why="test")
                await asyncio.sleep(0.1)
            await asyncio.sleep(10)
        assert (most, times) == (1, 2)

    run_virtual(main())


def test_an_evaluation_that_breaks_stops_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        plane = Plane()
        reconcile, broken = worker_module.reconcile, [True]

        def faulty(draft: Draft, service: str, **rest: object) -> float | None:
            if broken[0]:
                raise AssertionError("a mistake of ours")
            return reconcile(draft, service, **rest)

        monkeypatch.setattr(worker_module, "reconcile", faulty)
        async with running(plane):
            await plane.create(1)
            assert not plane.live()
            broken[0] = False
            await asyncio.sleep(61)
            assert len(plane.live()) == 1

    run_virtual(main())


def test_a_watch_that_fell_behind_is_taken_anew() -> None:
    async def main() -> None:
        plane = Plane()
        plane.store = MemoryStore(watch_commits_max=2)
        plane.worker = Worker(plane.store, clock=epoch, names=plane.names, dice=plane.names.dice)
        async with running(plane):
            for nth in range(20):
                draft = Draft(plane.store.view(), now=0, cause="x")
                draft.put(Token(scope="s", token=str(nth), fingerprint="", created_at=epoch()))
                await plane.store.commit(draft.plan())
            await plane.create(1)
            assert len(plane.live()) == 1

    run_virtual(main())


def test_time_brings_health_and_the_end_of_the_deployment() -> None:
    async def main() -> None:
        async with running(Plane(Policy())) as plane:
            await plane.create(1)
            await plane.observe(RUNNING)
            assert plane.store.view().service(SERVICE).deployments[0].rollout_state == "IN_PROGRESS"
            await asyncio.sleep(41)
            assert plane.store.view().service(SERVICE).deployments[0].rollout_state == "COMPLETED"

    run_virtual(main())


def test_time_brings_the_next_try() -> None:
    async def main() -> None:
        async with running(Plane()) as plane:
            await plane.create(1)
            await plane.observe(FAILED)
            assert not plane.live()
            await asyncio.sleep(9)
            assert not plane.live()
            await asyncio.sleep(2)
            assert len(plane.live()) == 1

    run_virtual(main())


def test_deadlines_pass_within_a_second() -> None:
    async def main() -> None:
        async with running(Plane(Policy(healthy_after_seconds=0, hold_ends=HoldEnds.DEADLINE))) as plane:
            await plane.create(1)
            await plane.observe(RUNNING)
            arn = plane.live()[0].arn
            await plane.do(lambda draft: rollout_stop(draft, arn), cause="request-2")
            await plane.do(lambda draft: lifecycle.observe_told(draft, draft.task(arn)))
            await asyncio.sleep(29)
            assert plane.store.view().task(arn).hold is not None
            await asyncio.sleep(2)
            assert plane.store.view().task(arn).hold is None
            ended = [line for line in await plane.story("placement.ended") if line.subject == arn]
            assert [(line.data["proof"], line.cause) for line in ended] == [("DEADLINE_PASSED", "request-2")]

    def rollout_stop(draft: Draft, arn: str) -> None:
        lifecycle.request_stop(draft, draft.task(arn), stop_code=StopCode.USER_INITIATED, reason="enough")

    run_virtual(main())


def test_what_has_ended_is_kept_for_an_hour_and_a_token_for_a_day() -> None:
    async def main() -> None:
        async with running(Plane()) as plane:
            await plane.create(1)
            await plane.observe(RUNNING)
            arn = plane.live()[0].arn
            await plane.observe(ENDED)
            await plane.do(lambda draft: draft.put(Token(scope="s", token="t", fingerprint="", created_at=epoch())))
            await asyncio.sleep(3590)
            assert plane.store.view().task(arn) is not None
            await asyncio.sleep(100)
            assert plane.store.view().task(arn) is None
            assert plane.store.view().token("s t") is not None
            await asyncio.sleep(24 * 3600)
            assert plane.store.view().token("s t") is None

    run_virtual(main())


def test_tasks_on_an_instance_whose_agent_is_away_are_left_alone() -> None:
    async def main() -> None:
        async with running(Plane()) as plane:
            await plane.create(2)
            await plane.observe(RUNNING)
            away = msgspec.structs.replace(plane.store.view().instance("i"), agent_connected=False)
            await plane.do(lambda draft: draft.put(away))
            await asyncio.sleep(5 * 3600)
            assert [task.last_status for task in plane.live()] == [TaskStatus.RUNNING] * 2

    run_virtual(main())


def test_both_end_when_the_store_closes() -> None:
    async def main() -> None:
        plane = Plane()
        jobs = [asyncio.create_task(plane.worker.run()), asyncio.create_task(plane.sweeper.run())]
        await plane.quiet()
        await plane.store.close()
        _, waiting = await asyncio.wait(jobs, timeout=120)
        assert not waiting

    run_virtual(main())
